"""Parts that need a decision before they can be built; the container only names them."""

import random
import time
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from adapters.ai.live_catalog import LiveCatalog
from adapters.cache.memory import MemoryCache
from adapters.cache.signals import MemorySignals
from adapters.journal.journal import FileJournal, JournalOptions
from adapters.limits.memory import MemoryCounters
from adapters.limits.memory_capacity import MemoryCapacity
from application.admission import Defaults
from application.breaker import Breaker
from application.health import HealthService
from application.in_flight import InFlight
from application.ports import Cache, Capacity, Clock, Counters, Record, Signals
from application.store import Apply
from domain.errors import Unavailable
from infrastructure import schema
from infrastructure.configuration import ConfigurationError
from infrastructure.settings import Settings

if TYPE_CHECKING:
    from infrastructure.redis_parts import RedisParts

_LAG_SECONDS = 10.0


def all_of(*recorders: Record) -> Record:
    def record(fact: object) -> None:
        for recorder in recorders:
            recorder(fact)

    return record


def redis(settings: Settings, breaker: Breaker, record: Record) -> "RedisParts | None":
    if settings.redis_url is None:
        return None
    try:
        made: RedisParts = import_module("infrastructure.redis_parts").linked(settings.redis_url, breaker, record)
    except ValueError as error:
        raise ConfigurationError(f"REDIS_URL: {error}") from None
    return made


def counters(settings: Settings, redis: "RedisParts | None", clock: Clock) -> Counters:
    local = MemoryCounters(clock)
    return local if redis is None else redis.counters(local, settings.workers)


def capacity(settings: Settings, redis: "RedisParts | None", clock: Clock) -> Capacity:
    local = MemoryCapacity(clock, settings.workers)
    return local if redis is None else redis.capacity(local)


def default_limits(settings: Settings) -> Defaults:
    defaults = Defaults(workers=settings.workers)
    adopt_limits(defaults, settings)
    return defaults


def adopt_limits(defaults: Defaults, settings: Settings) -> None:
    limits = settings.limits
    defaults.tpm, defaults.concurrency = limits["tpm"], limits["concurrency"]
    defaults.shadow, defaults.outage_cap = limits["shadow"], limits["outage_cap"]


def away(breaker: Breaker) -> Callable[[], bool]:
    return lambda: breaker.is_open


def short_pause() -> None:
    time.sleep(random.uniform(0.01, 0.05))  # noqa: S311 - spreads two writers, guards nothing


def cache(redis: "RedisParts | None", clock: Clock) -> Cache:
    return MemoryCache(clock) if redis is None else redis.cache()


def signals(redis: "RedisParts | None") -> Signals:
    return MemorySignals() if redis is None else redis.signals()


def journal(settings: Settings, apply: Apply, record: Record, prices: LiveCatalog, clock: Clock) -> FileJournal:
    options = JournalOptions(mode=settings.server["journal"])
    return FileJournal(settings.home / "journal", apply, record, cost=prices.cost, clock=clock, options=options)


def health(
    in_flight: InFlight,
    schema_state: Callable[[], tuple[str | None, str]],
    journal: FileJournal,
    database: Breaker,
    redis: "RedisParts | None",
    config: Callable[[], str],
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
        optional={"redis": redis.trouble, "journal": journal_state} if redis else {"journal": journal_state},
        schema=schema.head,
        config=config,
    )
