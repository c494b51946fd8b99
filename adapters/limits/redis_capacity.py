"""Capacity that is exact across workers and machines, and goes on locally while Redis is away."""

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from redis.exceptions import NoScriptError

from adapters.limits.memory_capacity import MemoryCapacity
from adapters.limits.verdicts import LEASE, WINDOW, Row, verdict_of
from adapters.redis_link import RedisLink
from application.ports import Share, Verdict

# The server's clock alone decides. KEYS come in pairs, one pair per share: a hash with the tokens of a minute and its
# end, and a sorted set of the running calls by the end of their leases. Nothing is written before every share was
# looked at. An end that is further away than possible means that the server's clock was set back.
RESERVE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local tokens, window, lease = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local rows, refused = {}, false
for i = 1, #KEYS / 2 do
  local tpm, most = tonumber(ARGV[3 * i + 2]), tonumber(ARGV[3 * i + 3])
  local used, ends, over = 0, now + window, 0
  if most >= 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[2 * i], '-inf', now)
    redis.call('ZREMRANGEBYSCORE', KEYS[2 * i], '(' .. now + lease, '+inf')
    if redis.call('ZCARD', KEYS[2 * i]) >= most then over = 2 end
  end
  if tpm >= 0 then
    local found = redis.call('HMGET', KEYS[2 * i - 1], 'used', 'ends')
    local until_ = tonumber(found[2] or 0)
    if until_ > now and until_ <= ends then used, ends = tonumber(found[1]), until_ end
    if used + math.max(1, math.min(tokens, tpm)) > tpm then over = 1 end
  end
  refused = refused or (over > 0 and ARGV[3 * i + 4] == '1')
  rows[i] = {used, ends, ends - now, over}
end
if refused then return rows end
for i = 1, #KEYS / 2 do
  if tonumber(ARGV[3 * i + 2]) >= 0 then
    redis.call('HSET', KEYS[2 * i - 1], 'used', rows[i][1] + tokens, 'ends', rows[i][2])
    redis.call('PEXPIREAT', KEYS[2 * i - 1], rows[i][2])
  end
  if tonumber(ARGV[3 * i + 3]) >= 0 then
    redis.call('ZADD', KEYS[2 * i], now + lease, ARGV[1])
    redis.call('PEXPIRE', KEYS[2 * i], lease)
  end
end
return rows
"""

SETTLE = """
for i = 1, #KEYS / 2 do
  if redis.call('HGET', KEYS[2 * i - 1], 'ends') == ARGV[i + 2] then
    redis.call('HINCRBY', KEYS[2 * i - 1], 'used', ARGV[2])
  end
  redis.call('ZREM', KEYS[2 * i], ARGV[1])
end
return 1
"""

RENEW = """
local time = redis.call('TIME')
local ends = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
for i = 1, #KEYS do
  redis.call('ZADD', KEYS[i], ends, ARGV[i + 1])
  redis.call('PEXPIRE', KEYS[i], ARGV[1])
end
return 1
"""

_UNLIMITED = -1


class _Script:
    def __init__(self, client: Any, text: str) -> None:
        self._client = client
        self._text = text
        self._id = sha1(text.encode(), usedforsecurity=False).hexdigest()  # the name that Redis gives a script

    def __call__(self, keys: Sequence[str], *values: object) -> Any:
        try:
            return self._client.evalsha(self._id, len(keys), *keys, *values)
        except NoScriptError:
            return self._client.eval(self._text, len(keys), *keys, *values)


class _Held:
    """What a running call has reserved: the keys of its shares, their minutes' ends, and where it has a place."""

    __slots__ = ("ends", "keys", "places", "tokens")

    def __init__(self, keys: list[str], shares: Sequence[Share], ends: list[str], tokens: int) -> None:
        self.keys = keys
        self.ends = ends
        self.tokens = tokens
        self.places = [key for key, share in zip(keys[1::2], shares, strict=True) if share.concurrency is not None]


class RedisCapacity:
    """One round trip to reserve, one to settle. Without an answer `fallback` counts, and settles what it counted.

    A place whose release never reached the server is free when its lease is over. A call that is larger than the
    whole limit of a minute may have a minute of its own.
    """

    def __init__(
        self,
        link: RedisLink,
        fallback: MemoryCapacity,
        *,
        lease: float = LEASE,
        size: int = 10_000,
        prefix: str = "parley:capacity:",
    ) -> None:
        """Of at most `size` running calls the places are renewed and the tokens settled."""
        client = link.client
        self._link = link
        self._fallback = fallback
        self._lease = round(lease * 1_000)
        self._size = size
        self._prefix = prefix
        self._reserve, self._settle, self._renew = (
            _Script(client, RESERVE),
            _Script(client, SETTLE),
            _Script(client, RENEW),
        )
        self._held: dict[str, _Held] = {}

    def reserve(self, request_id: str, shares: Sequence[Share], tokens: int) -> Verdict:
        keys = [self._prefix + kind + share.key for share in shares for kind in ("tokens:", "running:")]
        limits = [value for share in shares for value in _limits(share)]
        found = self._link.ask(self._reserve, keys, request_id, tokens, WINDOW * 1_000, self._lease, *limits)
        if found is None:
            return self._fallback.reserve(request_id, shares, tokens)
        rows = [
            Row(used, left / 1_000, over, share.tpm) for (used, _, left, over), share in zip(found, shares, strict=True)
        ]
        verdict = verdict_of(shares, rows, tokens)
        if verdict.refused is None:
            ends = ["" if share.tpm is None else str(row[1]) for row, share in zip(found, shares, strict=True)]
            self._keep(request_id, _Held(keys, shares, ends, tokens))
        return verdict

    def settle(self, request_id: str, tokens: int) -> None:
        held = self._held.pop(request_id, None)
        if held is None:
            self._fallback.settle(request_id, tokens)
        else:
            self._link.ask(self._settle, held.keys, request_id, tokens - held.tokens, *held.ends)

    def renew(self) -> None:
        """Also puts back what a server that was restarted has forgotten."""
        self._fallback.renew()
        places = [(key, request_id) for request_id, held in self._held.items() for key in held.places]
        if not places:
            return
        self._link.ask(self._renew, [key for key, _ in places], self._lease, *(request_id for _, request_id in places))
        for key, request_id in places:
            if request_id not in self._held:  # it ended meanwhile, and may have been put back
                self._link.ask(self._link.client.zrem, key, request_id)

    def _keep(self, request_id: str, held: _Held) -> None:
        if len(self._held) >= self._size:
            del self._held[next(iter(self._held))]
        self._held[request_id] = held


def _limits(share: Share) -> tuple[int, int, int]:
    tpm = _UNLIMITED if share.tpm is None else share.tpm
    most = _UNLIMITED if share.concurrency is None else share.concurrency
    return tpm, most, int(share.enforced)
