"""Requests per minute, per API key.

The place in the order of a request: after authentication (`flask.g.principal` is set by an earlier hook) and before
routing errors and validation, so every request of a key counts, the wrong ones as well.

The window is fixed and starts with the key's first request: one atomic step in one round trip gives the count and the
end of the window to all workers alike. A moving window would need the time of every request, and would tell a client
no single moment from which it may go on.
"""

import math
from typing import Any, NamedTuple, cast

from flask import Flask, Response, g
from flask_limiter import Limiter
from limits import RateLimitItemPerMinute

from api.rate_storage import URI
from application.facts import LimiterFailed
from application.ports import Counters, Record
from domain.errors import RateLimited

WINDOW = 60
"""Seconds."""


class Rate(NamedTuple):
    """How a key stands after this request."""

    limit: int
    remaining: int
    reset: int
    """Whole seconds until the window ends, at least 1."""


def init_limits(app: Flask, *, counters: Counters, record: Record, default_rpm: int | None = None) -> Limiter:
    """Limit every request that has a principal to the `rpm` of its key, or else to `default_rpm`.

    A key without any limit is not counted, and its answers carry no rate limit headers: there is no policy to tell.
    Returns the limiter, for limits of single routes.
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
    app.before_request(_Gate(limiter, record, default_rpm))
    app.after_request(_tell)
    return limiter


class _Remembered:
    """Keeps what a hit returned for the headers of the answer, which therefore need no second round trip."""

    def __init__(self, counters: Counters) -> None:
        self._hit = counters.hit
        self.peek = counters.peek

    def hit(self, key: str, window: int, amount: int = 1) -> tuple[int, float]:
        g.counted = found = self._hit(key, window, amount)
        return found


class _PerMinute(RateLimitItemPerMinute):
    """Counts under the key alone, so that a changed limit goes on with the count it finds."""

    __slots__ = ()

    def key_for(self, *identifiers: bytes | float | str) -> str:
        return f"rpm:{identifiers[0]!s}"


class _Gate:
    def __init__(self, limiter: Limiter, record: Record, default_rpm: int | None) -> None:
        self._hit = limiter.limiter.hit
        self._record = record
        self._default_rpm = default_rpm

    def __call__(self) -> None:
        """Raises RateLimited."""
        principal = g.get("principal")
        rpm = None if principal is None else principal.rpm
        if rpm is None:
            rpm = self._default_rpm
        if principal is None or rpm is None:
            return
        try:
            allowed = self._hit(_PerMinute(rpm), principal.key_id)
        except Exception as error:  # noqa: BLE001 - a broken limiter must not break the API; a dead Redis never gets here
            self._record(LimiterFailed(type(error).__name__))
            return
        count, left = g.counted
        g.rate = rate = Rate(rpm, max(0, rpm - count), min(WINDOW, max(1, math.ceil(left))))
        if not allowed:
            raise _breach(rate)


def _breach(rate: Rate) -> RateLimited:
    return RateLimited(
        f"This key may make {rate.limit} requests per minute and has made them. Try again in {rate.reset} s.",
        retry_after=rate.reset,
    )


def _tell(response: Response) -> Response:
    """The IETF's fields (draft-ietf-httpapi-ratelimit-headers-11) and OpenAI's."""
    rate: Rate | None = g.get("rate")
    if rate is not None:
        headers = response.headers
        headers.add("RateLimit-Policy", f'"requests";q={rate.limit};w={WINDOW}')
        headers.add("RateLimit", f'"requests";r={rate.remaining};t={rate.reset}')
        headers["x-ratelimit-limit-requests"] = str(rate.limit)
        headers["x-ratelimit-remaining-requests"] = str(rate.remaining)
        headers["x-ratelimit-reset-requests"] = f"{rate.reset}s"
    return response
