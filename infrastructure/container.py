"""Which adapter plays which part. A table: no branches, no logic."""

from functools import partial

from dependency_injector import containers, providers

from adapters.ai.catalog import load_catalog
from adapters.clock import SystemClock, new_id, new_secret
from adapters.persistence.ledger import SqlApply
from adapters.persistence.rollups import SqlRollups
from adapters.persistence.unit_of_work import SqlBegin
from adapters.recorders.logs import LogRecorder
from adapters.recorders.prometheus import PrometheusRecorder
from application.breaker import Breaker
from application.catalog import CatalogService
from application.chat import ChatService
from application.completions import CompletionService
from application.generations import Generations
from application.identity import IdentityService
from application.in_flight import InFlight
from application.sessions import SessionService
from application.usage import UsageService
from infrastructure import parts, schema
from infrastructure.database import create_engine_for
from infrastructure.settings import Settings


class Container(containers.DeclarativeContainer):
    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)

    prometheus = providers.Singleton(PrometheusRecorder)
    logs = providers.Singleton(LogRecorder)
    record = providers.Singleton(parts.all_of, prometheus, logs)

    clock = providers.Singleton(SystemClock)
    new_id = providers.Object(new_id)
    total_seconds = settings.provided.total_seconds
    send_seconds = settings.provided.server["client_send"]
    body_seconds = settings.provided.server["body_read"]
    in_flight = providers.Singleton(InFlight, settings.provided.server["in_flight"])

    engine = providers.Singleton(create_engine_for, settings.provided.database_url, settings.provided.home)
    database_breaker = providers.Singleton(Breaker, "database", clock, record)
    begin = providers.Singleton(SqlBegin, engine, database_breaker)
    apply = providers.Singleton(SqlApply, engine)
    rollups = providers.Singleton(SqlRollups, engine)

    redis_breaker = providers.Singleton(Breaker, "redis", clock, record)
    redis = providers.Singleton(parts.redis_link, settings, redis_breaker, record)
    counters = providers.Singleton(parts.counters, settings, redis, clock)
    signals = providers.Singleton(parts.signals, redis)

    configured = providers.Singleton(parts.configured_providers, settings)
    models = providers.Singleton(
        load_catalog,
        configured,
        record,
        retries=settings.provided.retries["per_deployment"],
        retry_budget=settings.provided.retries["budget"],
        connections=settings.provided.server["in_flight"],
    )
    prices = providers.Singleton(parts.price_book, settings, configured)
    journal = providers.Singleton(parts.journal, settings, apply, record, prices, clock)
    generations = providers.Singleton(
        Generations, journal, prices, clock, record, gate_seconds=settings.provided.server["gate"]
    )

    find_key = providers.Singleton(parts.key_finder, begin, clock)
    passwords = providers.Singleton(parts.Argon2)
    identity = providers.Singleton(
        IdentityService,
        begin=begin,
        find_key=find_key,
        clock=clock,
        new_id=new_id,
        new_secret=providers.Object(new_secret),
        passwords=passwords,
    )
    sessions = providers.Singleton(SessionService, begin, models, clock, new_id)
    completions = providers.Singleton(CompletionService, models, generations)
    chat = providers.Singleton(
        ChatService,
        begin,
        models,
        generations,
        in_flight,
        signals,
        clock,
        new_id,
        turn_seconds=settings.provided.turn_seconds,
    )
    usage = providers.Singleton(UsageService, begin, clock)
    catalog = providers.Singleton(CatalogService, models, prices)
    schema_state = providers.Singleton(partial, schema.state, engine)
    health = providers.Singleton(parts.health, settings, in_flight, schema_state, journal, database_breaker, redis)
