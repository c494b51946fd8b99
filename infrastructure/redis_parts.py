"""Parts that are kept in Redis. Imported where `REDIS_URL` is set: redis-py takes 7 MB in every worker."""

from dataclasses import dataclass

from adapters.cache.redis import RedisCache
from adapters.cache.redis_signals import RedisSignals
from adapters.limits.memory import MemoryCounters
from adapters.limits.memory_capacity import MemoryCapacity
from adapters.limits.redis import RedisCounters
from adapters.limits.redis_capacity import RedisCapacity
from adapters.redis_link import RedisLink, connect
from application.breaker import Breaker
from application.ports import Cache, Capacity, Counters, Record, Signals


@dataclass(frozen=True, slots=True)
class RedisParts:
    link: RedisLink

    def counters(self, local: MemoryCounters, workers: int) -> Counters:
        return RedisCounters(self.link, local, workers)

    def capacity(self, local: MemoryCapacity) -> Capacity:
        return RedisCapacity(self.link, local)

    def cache(self) -> Cache:
        return RedisCache(self.link)

    def signals(self) -> Signals:
        return RedisSignals(self.link)

    def trouble(self) -> str | None:
        return self.link.trouble()


def linked(url: str, breaker: Breaker, record: Record) -> RedisParts:
    """Connects with the first command. Raises ValueError for an address that is not valid."""
    return RedisParts(RedisLink(connect(url), breaker, record))
