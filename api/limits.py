"""Requests per minute, and what every answer tells of the limits that its call is under.

The place in the order of a request: after authentication (`flask.g.principal` is set by an earlier hook) and before
routing errors and validation, so every request of a caller counts, the wrong ones as well. Each limit on requests that
a caller is under (of its key, user, team or of the installation) has a counter of its own.

The window is fixed and starts with the first request: one atomic step in one round trip gives the count and the end
of the window to all workers alike. A moving window would need the time of every request, and would tell a client no
single moment from which it may go on.
"""

import math
from typing import Any, NamedTuple, cast

from flask import Flask, Response, g
from flask_limiter import Limiter
from limits import RateLimitItemPerMinute

from api.rate_storage import URI
from application.call import Call, TokenStanding
from application.facts import LimiterFailed, LimitHit
from application.ports import Counters, Record
from domain.errors import RateLimited
from domain.limits import Bound, Kind, Limits
from domain.user import Principal

WINDOW = 60
"""Seconds."""

_GATE = "parley_rates"


class Rate(NamedTuple):
    """How a limit stands after this request."""

    limit: int
    remaining: int
    reset: int
    """Whole seconds until the window ends, at least 1."""


def init_limits(
    app: Flask, *, counters: Counters, record: Record, default_rpm: int | None = None, shadow: bool = False
) -> Limiter:
    """Limit every request that has a principal to each `rpm` it is under, its credential at least to `default_rpm`.

    In `shadow` all of them are counted and none refuses. A caller without any limit is not counted, and its answers
    carry no rate limit headers: there is no policy to tell. Returns the limiter, for limits of single routes.
    `change_default_rate` changes both later.
    """
    limiter = Limiter(
        lambda: str(g.principal.key_id),
        storage_uri=URI,
        storage_options=cast("Any", {"counters": _Remembered(counters)}),
        strategy="fixed-window",
    )
    # flask-limiter's own hooks look up the limits of each route, which costs as much as a round trip to Redis (about
    # 100 µs); our one limit is the same everywhere. It sets no hooks in an application that knows it already.
    app.extensions.setdefault("limiter", set()).add(limiter)
    limiter.init_app(app)
    app.extensions[_GATE] = gate = _Gate(limiter, record)
    gate.set_default(default_rpm, shadow=shadow)
    app.before_request(gate)
    app.after_request(_tell)
    return limiter


def change_default_rate(app: Flask, rpm: int | None, *, shadow: bool) -> None:
    """From the next request on."""
    gate: _Gate = app.extensions[_GATE]
    gate.set_default(rpm, shadow=shadow)


class _Remembered:
    """Keeps what a hit returned for the headers of the answer, which therefore need no second round trip."""

    def __init__(self, counters: Counters) -> None:
        self._hit = counters.hit
        self.peek = counters.peek

    def hit(self, key: str, window: int, amount: int = 1) -> tuple[int, float]:
        g.counted = found = self._hit(key, window, amount)
        return found


class _PerMinute(RateLimitItemPerMinute):
    """Counts under the subject alone, so that a changed limit goes on with the count it finds."""

    __slots__ = ()

    def key_for(self, *identifiers: bytes | float | str) -> str:
        return f"rpm:{identifiers[0]!s}:{identifiers[1]!s}"


class _Gate:
    def __init__(self, limiter: Limiter, record: Record) -> None:
        self._hit = limiter.limiter.hit
        self._record = record
        self._default: Limits | None = None
        self._shadow = False

    def set_default(self, rpm: int | None, *, shadow: bool) -> None:
        self._default = None if rpm is None else Limits(rpm=rpm)
        self._shadow = shadow

    def __call__(self) -> None:
        """Raises RateLimited, for the narrowest limit that was hit; the wider ones do not count such a request."""
        principal: Principal | None = g.get("principal")
        if principal is None:
            return
        own = False
        for bound in principal.bounds:
            if bound.limits.rpm is not None:
                own = own or bound.kind is Kind.KEY
                self._count(principal, bound, bound.limits.rpm)
        if self._default is not None and self._default.rpm is not None and not own:
            self._count(principal, Bound(Kind.KEY, principal.key_id, self._default), self._default.rpm)

    def _count(self, principal: Principal, bound: Bound, rpm: int) -> None:
        try:
            allowed = self._hit(_PerMinute(rpm), bound.kind, bound.id)
        except Exception as error:  # noqa: BLE001 - a broken limiter must not break the API; a dead Redis never gets here
            self._record(LimiterFailed(type(error).__name__))
            return
        shadow = self._shadow or bound.limits.shadow
        if not allowed:
            self._record(LimitHit(bound.kind, "requests", shadow))
        if shadow:
            return
        count, left = g.counted
        rate = Rate(rpm, max(0, rpm - count), min(WINDOW, max(1, math.ceil(left))))
        if not allowed:
            g.rate = rate
            raise _breach(principal, bound, rate)
        told: Rate | None = g.get("rate")
        g.rate = rate if told is None else min(told, rate, key=_part_left)


def _part_left(rate: Rate) -> float:
    return rate.remaining / max(1, rate.limit)


def _breach(principal: Principal, bound: Bound, rate: Rate) -> RateLimited:
    who = "this login" if principal.login and bound.kind is Kind.KEY else str(bound)
    return RateLimited(
        f"{who[0].upper()}{who[1:]} may make {rate.limit} requests per minute and has made them. "
        f"Try again in {rate.reset} s.",
        retry_after=rate.reset,
    )


def _tell(response: Response) -> Response:
    """The IETF's fields (draft-ietf-httpapi-ratelimit-headers-11) and OpenAI's."""
    rate: Rate | None = g.get("rate")
    if rate is not None:
        _add(response, "requests", rate)
    call: Call | None = g.get("call")
    if call is not None and call.standing is not None:
        _add(response, "tokens", call.standing)
    return response


def _add(response: Response, what: str, standing: Rate | TokenStanding) -> None:
    headers = response.headers
    headers.add("RateLimit-Policy", f'"{what}";q={standing.limit};w={WINDOW}')
    headers.add("RateLimit", f'"{what}";r={standing.remaining};t={standing.reset}')
    headers[f"x-ratelimit-limit-{what}"] = str(standing.limit)
    headers[f"x-ratelimit-remaining-{what}"] = str(standing.remaining)
    headers[f"x-ratelimit-reset-{what}"] = f"{standing.reset}s"
