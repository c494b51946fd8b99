"""Which adapter plays which part. A table: no branches, no logic."""

from functools import partial
from random import random

from dependency_injector import containers, providers

from adapters.accounts.argon2 import Argon2Hasher
from adapters.accounts.known_passwords import ListedPasswords
from adapters.accounts.one_time_codes import TotpCodes
from adapters.accounts.vault import Vault
from adapters.ai.catalog import load_catalog
from adapters.ai.live_catalog import LiveCatalog
from adapters.ai.token_counts import TokenCounts
from adapters.clock import SystemClock, new_id, new_secret
from adapters.persistence.ledger import SqlApply
from adapters.persistence.rollups import SqlRollups
from adapters.persistence.unit_of_work import SqlBegin
from adapters.recorders.logs import LogRecorder
from adapters.recorders.prometheus import PrometheusRecorder
from api.errors import unexpected
from application.accounts import AccountService
from application.admission import Admission
from application.answer_cache import AnswerCache
from application.auditing import Auditor
from application.breaker import Breaker
from application.catalog import CatalogService
from application.chat import ChatService
from application.completions import CompletionService
from application.embeddings import EmbeddingService
from application.files import FileService
from application.generations import Generations
from application.guardrails import Guardrails
from application.idempotency import IdempotencyService
from application.identity import IdentityService
from application.image_jobs import ImageJobService
from application.images import ImageService, ImageStudio
from application.in_flight import InFlight
from application.installation import Installation
from application.keys import KeyService
from application.limit_admin import LimitAdmin
from application.logins import LoginService
from application.overview import Overview
from application.passwords import PasswordRules
from application.provider_admin import ProviderAdmin
from application.revocation import RevocationWatch
from application.routing import Router
from application.second_factor import SecondFactorService
from application.sessions import SessionService
from application.summaries import Summaries
from application.team_admin import TeamAdmin
from application.teams import TeamService
from application.token_count import TokenCountService
from application.usage import UsageService
from application.user_admin import UserAdmin
from infrastructure import account_parts, file_parts, guardrail_parts, parts, provider_parts, route_parts, schema
from infrastructure.beside import Beside
from infrastructure.database import create_engine_for, pool_state
from infrastructure.live_configuration import LiveConfiguration
from infrastructure.secret_key import secret_keys
from infrastructure.settings import Settings
from infrastructure.worker_states import Gauges, WorkerStateReport, watched


class Container(containers.DeclarativeContainer):
    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)

    prometheus = providers.Singleton(PrometheusRecorder)
    logs = providers.Singleton(LogRecorder)
    record = providers.Singleton(parts.all_of, prometheus, logs)

    clock = providers.Singleton(SystemClock)
    new_id = providers.Object(new_id)
    new_secret = providers.Object(new_secret)
    total_seconds = settings.provided.total_seconds
    send_seconds = settings.provided.server["client_send"]
    body_seconds = settings.provided.server["body_read"]
    public_url = settings.provided.web.public_url
    in_flight = providers.Singleton(InFlight, settings.provided.server["in_flight"])

    secrets = providers.Singleton(secret_keys, settings)
    vault = providers.Singleton(Vault, secrets)
    csrf = providers.Singleton(account_parts.csrf_guard, settings, secrets)
    origin_policy = providers.Singleton(account_parts.origin_policy, settings)

    engine = providers.Singleton(create_engine_for, settings.provided.database_url, settings.provided.home)
    database_breaker = providers.Singleton(Breaker, "database", clock, record)
    begin = providers.Singleton(SqlBegin, engine, database_breaker)
    apply = providers.Singleton(SqlApply, engine)
    rollups = providers.Singleton(SqlRollups, engine)

    redis_breaker = providers.Singleton(Breaker, "redis", clock, record)
    redis = providers.Singleton(parts.redis, settings, redis_breaker, record)
    counters = providers.Singleton(parts.counters, settings, redis, clock)
    capacity = providers.Singleton(parts.capacity, settings, redis, clock)
    signals = providers.Singleton(parts.signals, redis)
    cache = providers.Singleton(parts.cache, redis, clock)

    load_models = providers.Callable(
        load_catalog,
        record=record,
        connections=settings.provided.server["in_flight"],
    )
    configured = providers.Singleton(provider_parts.configured_providers, settings)
    routes = providers.Singleton(route_parts.configured_routes, settings, configured)
    first_book = providers.Singleton(provider_parts.price_book, settings, configured)
    models = providers.Singleton(LiveCatalog, providers.Callable(load_models, configured, routes=routes), first_book)
    journal = providers.Singleton(parts.journal, settings, apply, record, models, clock)
    default_limits = providers.Singleton(parts.default_limits, settings)
    admission = providers.Singleton(
        Admission,
        begin,
        capacity,
        models,
        clock,
        record,
        defaults=default_limits,
        database_away=providers.Singleton(parts.away, database_breaker),
        pause=providers.Object(parts.short_pause),
    )
    guardrails = providers.Singleton(
        Guardrails, providers.Callable(guardrail_parts.rules, settings.provided.guardrails), record
    )
    answers = providers.Singleton(AnswerCache, cache, record, settings.provided.cache["seconds"])
    generations = providers.Singleton(
        Generations,
        journal,
        models,
        clock,
        record,
        admission,
        guardrails,
        answers,
        gate_seconds=settings.provided.server["gate"],
        beside=providers.Singleton(Beside, in_flight),
    )

    fresh_keys = providers.Singleton(account_parts.fresh_keys, begin, clock)
    fresh_logins = providers.Singleton(account_parts.fresh_logins, begin, clock)
    identity = providers.Singleton(IdentityService, begin, fresh_keys.provided.get, fresh_logins.provided.get, clock)
    revocations = providers.Singleton(RevocationWatch, identity, in_flight)
    auditor = providers.Singleton(Auditor, clock, new_id)
    passwords = providers.Singleton(Argon2Hasher)
    factors = providers.Singleton(
        SecondFactorService, begin, clock, new_secret, providers.Singleton(TotpCodes), vault, auditor
    )
    logins = providers.Singleton(
        LoginService, begin, clock, new_id, new_secret, passwords, factors, auditor, fresh_logins.provided.forget
    )
    accounts = providers.Singleton(
        AccountService,
        begin,
        clock,
        new_id,
        new_secret,
        passwords,
        providers.Singleton(PasswordRules, providers.Singleton(ListedPasswords)),
        auditor,
        registration=settings.provided.accounts["registration"],
        mails=settings.provided.sends_mail,
        fixed_addresses=settings.provided.fixed_addresses,
    )
    mails = providers.Singleton(account_parts.mails, settings, begin, clock, record)
    oidc_label = providers.Callable(account_parts.oidc_label, settings)
    oidc = providers.Singleton(account_parts.oidc, settings, begin, clock, logins, vault, auditor)
    keys = providers.Singleton(KeyService, begin, clock, new_id, new_secret, auditor, fresh_keys.provided.forget)
    teams = providers.Singleton(TeamService, begin, auditor)
    installation = providers.Singleton(Installation, begin, clock, new_id, keys)

    router = providers.Singleton(Router, models, providers.Object(random))
    sessions = providers.Singleton(SessionService, begin, models, clock, new_id, signals)
    completions = providers.Singleton(CompletionService, router, generations)
    embeddings = providers.Singleton(EmbeddingService, router, generations)
    blobs = providers.Singleton(file_parts.blobs, settings)
    files = providers.Singleton(FileService, begin, blobs, clock)
    studio = providers.Singleton(ImageStudio, router, generations, begin, blobs, clock, new_id)
    images = providers.Singleton(ImageService, studio)
    image_jobs = providers.Singleton(
        ImageJobService,
        studio,
        in_flight,
        signals,
        spawn=providers.Object(file_parts.spawn),
        report=providers.Object(unexpected),
        total_seconds=total_seconds,
        turn_seconds=settings.provided.turn_seconds,
    )
    tokenizers = providers.Singleton(TokenCounts)
    token_counts = providers.Singleton(TokenCountService, router, tokenizers)
    summaries = providers.Singleton(
        Summaries, begin, router, generations, clock, new_id, model=settings.provided.context["summary_model"]
    )
    chat = providers.Singleton(
        ChatService,
        begin,
        router,
        generations,
        in_flight,
        signals,
        clock,
        new_id,
        summaries,
        tokenizers,
        turn_seconds=settings.provided.turn_seconds,
    )
    idempotency = providers.Singleton(
        IdempotencyService,
        begin,
        clock,
        record,
        turn_seconds=settings.provided.turn_seconds,
        pause=providers.Object(parts.short_pause),
    )
    usage = providers.Singleton(UsageService, begin, clock)
    catalog = providers.Singleton(CatalogService, models, models)

    user_admin = providers.Singleton(
        UserAdmin, begin, clock, new_id, new_secret, auditor, mails=settings.provided.sends_mail
    )
    team_admin = providers.Singleton(TeamAdmin, begin, clock, new_id, auditor)
    limit_admin = providers.Singleton(LimitAdmin, begin, clock, auditor, fresh_keys.provided.forget)
    live_configuration = providers.Singleton(
        LiveConfiguration, settings, begin, vault, models, load_models.provider, prometheus.provided.know
    )
    provider_admin = providers.Singleton(
        ProviderAdmin,
        begin,
        clock,
        new_id,
        vault,
        auditor,
        models,
        live_configuration.provided.names,
        live_configuration.provided.states,
    )
    gauges = providers.Singleton(
        Gauges,
        in_flight,
        providers.Callable(watched, settings, database_breaker, redis_breaker),
        journal.provided.lag,
        providers.Callable(partial, pool_state, engine),
        live_configuration.provided.config_hash,
        models.provided.rests,
    )
    state_report = providers.Singleton(WorkerStateReport.begin_life, begin, clock, gauges)
    overview = providers.Singleton(Overview, begin, clock, state_report.provided.write)

    schema_state = providers.Singleton(partial, schema.state, engine)
    health = providers.Singleton(
        parts.health,
        in_flight,
        schema_state,
        journal,
        database_breaker,
        redis,
        live_configuration.provided.config_hash,
    )
