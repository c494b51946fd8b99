"""Parts that need a decision before they can be built; the container only names them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import argon2
import orjson

from adapters.ai.catalog import ProviderConfig, known_profiles, list_prices
from adapters.ai.deadlines import Deadlines
from adapters.ai.profile import Profile
from adapters.cache.fresh import Fresh
from adapters.cache.signals import MemorySignals, RedisSignals
from adapters.journal.journal import FileJournal, JournalOptions
from adapters.limits.memory import MemoryCounters
from adapters.limits.redis import RedisCounters
from adapters.redis_link import RedisLink, connect
from application.breaker import Breaker
from application.health import HealthService
from application.identity import FindKey, KeyOwner
from application.in_flight import InFlight
from application.ports import Apply, Begin, Clock, Counters, Record, Signals
from domain.errors import Unavailable
from domain.usage import PriceBook
from infrastructure import schema
from infrastructure.configuration import ConfigurationError
from infrastructure.settings import Settings

_LAG_SECONDS = 10.0


class Argon2:
    """Argon2id with OWASP's parameters (cheat sheet: 19 MiB, 2 iterations, 1 lane)."""

    def __init__(self) -> None:
        self._hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, salt_len=16)

    def hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except argon2.exceptions.VerificationError:
            return False


def all_of(*recorders: Record) -> Record:
    def record(fact: object) -> None:
        for recorder in recorders:
            recorder(fact)

    return record


def configured_providers(settings: Settings) -> tuple[ProviderConfig, ...]:
    """Those of the file, then those whose key or address is in the environment, then those that need neither."""
    profiles = known_profiles()
    from_file = [_provider(settings, profiles.get(name), name, table) for name, table in settings.providers.items()]
    others = [profile for name, profile in sorted(profiles.items()) if name not in settings.providers]
    from_environment = [
        _provider(settings, profile, profile.name, {}) for profile in others if _is_on(settings, profile)
    ]
    return tuple(sorted((*from_file, *from_environment), key=lambda provider: provider.profile.built_in))


def _is_on(settings: Settings, profile: Profile) -> bool:
    named = (*profile.key_env, _variable(profile.name, "BASE_URL"))
    return profile.built_in or any(settings.environment.get(name) for name in named)


def _provider(settings: Settings, known: Profile | None, name: str, table: Mapping[str, Any]) -> ProviderConfig:
    profile = known or Profile(name, table.get("base_url", ""), wire=table["wire"])
    base_url = table.get("base_url") or settings.environment.get(_variable(name, "BASE_URL")) or profile.base_url
    if known is None and not base_url:
        raise ConfigurationError(f"providers.{name}: base_url is missing.")
    return ProviderConfig(
        name=name,
        profile=profile,
        base_url=base_url,
        credentials=_credentials(settings, profile, name, table),
        models=tuple(table.get("models", ("*",))),
        deadlines=_deadlines(settings, table.get("deadlines", {})),
    )


def _deadlines(settings: Settings, own: Mapping[str, float]) -> Deadlines:
    """A limit on headers that nobody set must not cut an answer that takes minutes to generate, and is billed."""
    chosen = {**settings.deadlines, **own}
    deadlines = Deadlines(**chosen, heartbeat=settings.server["heartbeat"])
    return replace(deadlines, answer=chosen.get("headers", deadlines.total))


def _credentials(settings: Settings, profile: Profile, name: str, table: Mapping[str, Any]) -> tuple[str, ...]:
    named = table.get("api_key_env")
    if named and not settings.environment.get(named):
        raise ConfigurationError(f"providers.{name}: the environment variable {named} is not set.")
    names = (named,) if named else (*profile.key_env, _variable(name, "API_KEY"))
    return tuple(value for value in [next(filter(None, map(settings.environment.get, names)), None)] if value)


def _variable(provider: str, suffix: str) -> str:
    return f"{provider.upper().replace('-', '_')}_{suffix}"


def price_book(settings: Settings, configured: Sequence[ProviderConfig]) -> PriceBook:
    """The providers' list prices, overridden by the file's; the version is the hash of the whole set."""
    prices = {**list_prices(configured), **settings.prices}
    canonical = orjson.dumps(sorted((name, repr(price)) for name, price in prices.items()))
    return PriceBook(hashlib.sha256(canonical).hexdigest()[:12], prices)


def redis_link(settings: Settings, breaker: Breaker, record: Record) -> RedisLink | None:
    if settings.redis_url is None:
        return None
    try:
        return RedisLink(connect(settings.redis_url), breaker, record)
    except ValueError as error:
        raise ConfigurationError(f"REDIS_URL: {error}") from None


def counters(settings: Settings, link: RedisLink | None, clock: Clock) -> Counters:
    local = MemoryCounters(clock)
    return local if link is None else RedisCounters(link, local, settings.workers)


def signals(link: RedisLink | None) -> Signals:
    return MemorySignals() if link is None else RedisSignals(link)


def journal(settings: Settings, apply: Apply, record: Record, prices: PriceBook, clock: Clock) -> FileJournal:
    options = JournalOptions(mode=settings.server["journal"])
    return FileJournal(settings.home / "journal", apply, record, cost=prices.cost, clock=clock, options=options)


def key_finder(begin: Begin, clock: Clock) -> FindKey:
    def load(kid: str) -> KeyOwner | None:
        with begin() as work:
            return work.keys.by_kid(kid)

    return Fresh(load, clock=clock).get


def health(
    settings: Settings,
    in_flight: InFlight,
    schema_state: Callable[[], tuple[str | None, str]],
    journal: FileJournal,
    database: Breaker,
    link: RedisLink | None,
) -> HealthService:
    def database_state() -> str | None:
        if database.is_open:
            return f"database: {database.reason}"
        try:
            revision, head = schema_state()
        except Unavailable as error:
            return error.code
        return None if revision == head else f"schema_mismatch: {revision} instead of {head}"

    def journal_state() -> str | None:
        records, seconds = journal.lag()
        return f"{records} records, the oldest {seconds:.0f} s" if seconds > _LAG_SECONDS else None

    return HealthService(
        in_flight=in_flight,
        required={"database": database_state},
        optional={"redis": link.trouble, "journal": journal_state} if link else {"journal": journal_state},
        schema=schema.head,
        config=settings.config_hash,
    )
