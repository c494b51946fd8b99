"""Counters that are exact across workers and machines, and go on locally while Redis is away."""

from hashlib import sha1
from typing import Any

from redis.exceptions import NoScriptError

from adapters.limits.memory import MemoryCounters
from adapters.redis_link import RedisLink

# The server's clock alone decides. The key is given a new window when it has none, and also when its window ends
# later than possible, which means that the server's clock was set back.
SCRIPT = """
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
local left = redis.call('PTTL', KEYS[1])
local window = tonumber(ARGV[2])
if left < 0 or left > window then
  count, left = tonumber(ARGV[1]), window
  redis.call('SET', KEYS[1], count, 'PX', window)
end
return {count, left}
"""
SCRIPT_ID = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()  # the name that Redis gives a script


class RedisCounters:
    """One round trip per hit. Without an answer each worker counts in `fallback`, where a hit weighs `workers` hits.

    So all workers together stay within any limit; only the first hit of a window weighs as it is, lest a limit that
    is smaller than the number of workers shut everyone out.
    """

    def __init__(self, link: RedisLink, fallback: MemoryCounters, workers: int, prefix: str = "parley:count:") -> None:
        """`workers` are those of all machines together."""
        self._link = link
        self._client: Any = link.client  # the types of `evalsha` know strings only
        self._fallback = fallback
        self._workers = workers
        self._prefix = prefix

    def hit(self, key: str, window: int, amount: int = 1) -> tuple[int, float]:
        found = self._link.ask(self._count, self._prefix + key, amount, window * 1_000)
        if found is None:
            return self._hit_locally(key, window, amount)
        count, left = found
        return count, left / 1_000

    def peek(self, key: str) -> tuple[int, float]:
        found = self._link.ask(self._read, self._prefix + key)
        if found is None:
            return self._fallback.peek(key)
        count, left = found
        return (int(count), left / 1_000) if count and left > 0 else (0, 0.0)

    def _count(self, name: str, amount: int, window_ms: int) -> tuple[int, int]:
        try:
            count, left = self._client.evalsha(SCRIPT_ID, 1, name, amount, window_ms)
        except NoScriptError:
            count, left = self._client.eval(SCRIPT, 1, name, amount, window_ms)
        return count, left

    def _read(self, name: str) -> tuple[bytes | None, int]:
        count, left = self._client.pipeline(transaction=False).get(name).pttl(name).execute()
        return count, left

    def _hit_locally(self, key: str, window: int, amount: int) -> tuple[int, float]:
        weight = amount * self._workers
        count, left = self._fallback.hit(key, window, weight)
        return (amount if count == weight else count), left
