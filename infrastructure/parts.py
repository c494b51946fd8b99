"""Parts that need a decision before they can be built; the container only names them."""

import random
import time
from collections.abc import Callable

from adapters.ai.live_catalog import LiveCatalog
from adapters.cache.memory import MemoryCache
from adapters.cache.redis import RedisCache
from adapters.cache.signals import MemorySignals, RedisSignals
from adapters.journal.journal import FileJournal, JournalOptions
from adapters.limits.memory import MemoryCounters
from adapters.limits.memory_capacity import MemoryCapacity
from adapters.limits.redis import RedisCounters
from adapters.limits.redis_capacity import RedisCapacity
from adapters.redis_link import RedisLink, connect
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

_LAG_SECONDS = 10.0


def all_of(*recorders: Record) -> Record:
    def record(fact: object) -> None:
        for recorder in recorders:
            recorder(fact)

    return record


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


def capacity(settings: Settings, link: RedisLink | None, clock: Clock) -> Capacity:
    local = MemoryCapacity(clock, settings.workers)
    return local if link is None else RedisCapacity(link, local)


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


def cache(link: RedisLink | None, clock: Clock) -> Cache:
    return MemoryCache(clock) if link is None else RedisCache(link)


def signals(link: RedisLink | None) -> Signals:
    return MemorySignals() if link is None else RedisSignals(link)


def journal(settings: Settings, apply: Apply, record: Record, prices: LiveCatalog, clock: Clock) -> FileJournal:
    options = JournalOptions(mode=settings.server["journal"])
    return FileJournal(settings.home / "journal", apply, record, cost=prices.cost, clock=clock, options=options)


def health(
    in_flight: InFlight,
    schema_state: Callable[[], tuple[str | None, str]],
    journal: FileJournal,
    database: Breaker,
    link: RedisLink | None,
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
        optional={"redis": link.trouble, "journal": journal_state} if link else {"journal": journal_state},
        schema=schema.head,
        config=config,
    )
