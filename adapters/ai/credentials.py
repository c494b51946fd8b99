"""The credentials of one provider: whose turn it is, and what each is known to be good for just now.

What is known comes from the calls that were made, and is only of this worker. Nothing is ever probed but by a call that
somebody wants anyway.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil

from adapters.ai.breakers import REFUSED, Breaking, Circuit
from application.facts import CredentialChanged
from application.model_ports import Rest
from application.ports import Record
from domain.errors import CircuitOpen, ParleyError
from domain.provider_errors import (
    UpstreamAddressRefused,
    UpstreamAuth,
    UpstreamBadContent,
    UpstreamBadJson,
    UpstreamConnectTimeout,
    UpstreamDns,
    UpstreamFailed,
    UpstreamForbidden,
    UpstreamIdleTimeout,
    UpstreamMalformed,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamTls,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from domain.ranking import by_affinity

ANY_MODEL = "*"
LONGEST_LIMIT = 120
"""Seconds that a rate limit is believed for."""

_BREAKING = (
    UpstreamAddressRefused,
    UpstreamBadContent,
    UpstreamBadJson,
    UpstreamConnectTimeout,
    UpstreamDns,
    UpstreamFailed,
    UpstreamIdleTimeout,
    UpstreamMalformed,
    UpstreamOverloaded,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamTls,
    UpstreamTruncated,
    UpstreamUnreachable,
)
"""The provider's failures. What it says of a request, and what was too long or too large, counts for nothing."""

_KEPT = 512
"""Models of which something is remembered: their names may come from clients."""
_NEWEST = 0.3
"""The part of the newest call in a latency."""


@dataclass(frozen=True, slots=True)
class Credential:
    """An empty `secret` is none. Of several, each gets its part of the calls by `weight`."""

    secret: str = field(repr=False)
    weight: int = 1


class _Account:
    """What concerns one credential whatever the model. `turn` is its standing in the smooth weighted round robin."""

    __slots__ = ("refused", "turn", "weight")

    def __init__(self, weight: int, now: Callable[[], float]) -> None:
        self.weight = weight
        self.turn = 0
        self.refused = Circuit(REFUSED, now)


class _Way:
    """What concerns one credential and one model."""

    __slots__ = ("broken", "limited_until", "refused")

    def __init__(self, rule: Breaking, now: Callable[[], float]) -> None:
        self.broken = Circuit(rule, now)
        self.refused = Circuit(REFUSED, now)
        self.limited_until = 0.0


class Credentials:
    """At least one, even if it is empty; `now` is monotonic."""

    def __init__(
        self, provider: str, given: Sequence[Credential], rule: Breaking, now: Callable[[], float], record: Record
    ) -> None:
        self._provider = provider
        self._rule = rule
        self._now = now
        self._record = record
        self._accounts = [_Account(credential.weight, now) for credential in given]
        self._ways: OrderedDict[tuple[int, str], _Way] = OrderedDict()
        self._latencies: OrderedDict[str, float] = OrderedDict()

    def lease(self, model: str, avoid: int | None = None, affinity: str = "") -> "Lease | None":
        """The one whose turn it is, among those that may be called now; `avoid` only if it is the only one.

        With an `affinity` it is always the same one as long as that may be called.
        """
        ready = [at for at in range(len(self._accounts)) if self._wait(at, model) <= 0]
        others = [at for at in ready if at != avoid] or ready
        if not others:
            return None
        at = others[0] if len(self._accounts) == 1 else self._next(others, affinity)
        return Lease(self, at, model, tuple(circuit for circuit in self._circuits(at, model) if circuit.enter()))

    def is_ready(self, model: str, besides: int | None = None) -> bool:
        return any(at != besides and self._wait(at, model) <= 0 for at in range(len(self._accounts)))

    def wait(self, model: str) -> float:
        """Seconds until the first of them may be called; 0 when one may be called now."""
        return min(self._wait(at, model) for at in range(len(self._accounts)))

    def latency(self, model: str) -> float | None:
        return self._latencies.get(model)

    def refusal(self, model: str) -> ParleyError:
        """Why none of them may be called now."""
        accepted = [at for at in range(len(self._accounts)) if not self._is_refused(at, model)]
        if not accepted:
            return UpstreamAuth(provider=self._provider)
        seconds = max(1, ceil(min(self._wait(at, model) for at in accepted)))
        if all(self._is_limited(at, model) for at in accepted):
            return UpstreamRateLimited(retry_after=seconds, provider=self._provider)
        return CircuitOpen(retry_after=seconds, provider=self._provider)

    def rests(self) -> Iterator[Rest]:
        for at, account in enumerate(self._accounts):
            if account.refused.is_open:
                yield self._rest(at, ANY_MODEL, "refused", account.refused.wait(), account.refused.reason)
        for (at, model), way in self._ways.items():
            if way.refused.is_open:
                yield self._rest(at, model, "refused", way.refused.wait(), way.refused.reason)
            if way.broken.is_open:
                seconds = way.broken.wait()
                state = "half_open" if way.broken.is_probed or not seconds else "open"
                yield self._rest(at, model, state, seconds, way.broken.reason)
            if way.limited_until > self._now():
                left = way.limited_until - self._now()
                yield self._rest(at, model, "limited", left, UpstreamRateLimited.code)

    # ── what leases tell ─────────────────────────────────────────────────────────────────────────────────────────

    def heard(self, at: int, model: str, seconds: float) -> None:
        """It answers, `seconds` after it was asked."""
        before = self._latencies.get(model, seconds)
        self._latencies[model] = before + _NEWEST * (seconds - before)
        self._latencies.move_to_end(model)
        if len(self._latencies) > _KEPT:
            self._latencies.popitem(last=False)
        rested = any(circuit.is_open for circuit in self._circuits(at, model))
        self._accounts[at].refused.succeeded()
        way = self._ways.get((at, model))
        if way is not None:
            way.refused.succeeded()
            way.broken.answered()
        if rested:
            self._record(CredentialChanged(self._provider, _label(at), model, "closed", 0.0, ""))

    def succeeded(self, at: int, model: str) -> None:
        """It answered to the end."""
        way = self._ways.get((at, model))
        if way is not None:
            way.broken.succeeded()
            if way.limited_until <= self._now() and way.refused.is_clean:
                del self._ways[at, model]

    def failed(self, at: int, model: str, error: BaseException) -> None:
        opened = False
        circuit, of, state = self._accounts[at].refused, ANY_MODEL, "refused"
        if isinstance(error, UpstreamForbidden):
            circuit, of = self._way(at, model).refused, model
            opened = circuit.failed(error.code)
        elif isinstance(error, UpstreamAuth):
            opened = circuit.failed(error.code)
        elif isinstance(error, UpstreamRateLimited):
            way = self._way(at, model)
            until = self._now() + min(LONGEST_LIMIT, max(1, error.retry_after or 1))
            way.limited_until = max(way.limited_until, until)
        elif isinstance(error, _BREAKING):
            circuit, of, state = self._way(at, model).broken, model, "open"
            opened = circuit.failed(error.code)
        if opened:
            seconds = circuit.wait()
            self._record(CredentialChanged(self._provider, _label(at), of, state, seconds, circuit.reason))

    # ── state ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _next(self, ready: Sequence[int], affinity: str) -> int:
        """Smooth weighted round robin, as nginx does it: a 3 and b 1 are called a a b a, not a a a b."""
        accounts = self._accounts
        if affinity:
            return ready[by_affinity(affinity, list(map(_label, ready)), [accounts[at].weight for at in ready])[0]]
        for at in ready:
            accounts[at].turn += accounts[at].weight
        chosen = max(ready, key=lambda at: accounts[at].turn)
        accounts[chosen].turn -= sum(accounts[at].weight for at in ready)
        return chosen

    def _circuits(self, at: int, model: str) -> tuple[Circuit, ...]:
        way = self._ways.get((at, model))
        refused = self._accounts[at].refused
        return (refused,) if way is None else (refused, way.refused, way.broken)

    def _wait(self, at: int, model: str) -> float:
        way = self._ways.get((at, model))
        seconds = self._accounts[at].refused.wait()
        if way is None:
            return seconds
        return max(seconds, way.refused.wait(), way.broken.wait(), way.limited_until - self._now())

    def _is_refused(self, at: int, model: str) -> bool:
        way = self._ways.get((at, model))
        return self._accounts[at].refused.is_open or (way is not None and way.refused.is_open)

    def _is_limited(self, at: int, model: str) -> bool:
        way = self._ways.get((at, model))
        return way is not None and way.limited_until > self._now()

    def _way(self, at: int, model: str) -> _Way:
        way = self._ways.setdefault((at, model), _Way(self._rule, self._now))
        self._ways.move_to_end((at, model))
        if len(self._ways) > _KEPT * len(self._accounts):
            self._ways.popitem(last=False)
        return way

    def _rest(self, at: int, model: str, state: str, seconds: float, reason: str) -> Rest:
        return Rest(self._provider, _label(at), model, state, round(seconds, 1), reason)


@dataclass(frozen=True, slots=True)
class Lease:
    """One call with the credential number `at`. Ends with `succeeded` or `failed`, whichever is called first counts."""

    credentials: Credentials
    at: int
    model: str
    probed: tuple[Circuit, ...]

    def heard(self, seconds: float) -> None:
        self._end_probe()
        self.credentials.heard(self.at, self.model, seconds)

    def succeeded(self) -> None:
        self.credentials.succeeded(self.at, self.model)

    def failed(self, error: BaseException) -> None:
        """Whatever it was: what is not the provider's doing counts for nothing."""
        self._end_probe()
        self.credentials.failed(self.at, self.model, error)

    def _end_probe(self) -> None:
        for circuit in self.probed:
            circuit.leave()


def _label(at: int) -> str:
    return f"#{at + 1}"
