"""The way to Redis that the cache, the counters and the signals share."""

import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool, UnixDomainSocketConnection, parse_url
from redis.exceptions import MaxConnectionsError, RedisError, ResponseError
from redis.retry import Retry

from application.breaker import Breaker
from application.facts import RedisRefused
from application.ports import Record

SETTINGS: dict[str, Any] = {
    "socket_connect_timeout": 0.2,
    "socket_timeout": 0.25,
    "retry": Retry(NoBackoff(), 0),
    "health_check_interval": 15,
    "max_connections": 32,
    "protocol": 2,  # no greeting: a new connection costs no extra round trip
    "driver_info": None,  # the same
}
"""Without them redis-py waits 5 s and tries 10 times. Seconds. No option in an address may widen them."""

TURNS = 30
"""Calls at the same time; the signals' listener has a connection of its own, and a second one while it changes."""

_PATIENCE = 0.25
"""Seconds that a call waits for its turn, before it is answered as if Redis were away."""

P = ParamSpec("P")
T = TypeVar("T")


class _UnixConnection(UnixDomainSocketConnection):
    """redis-py 8.1 reads the port of a connection that failed, and over a Unix socket finds no such attribute."""

    port = None


def connect(url: str) -> Redis:
    """A client for `redis://`, `rediss://` or `unix://`; it connects with its first command.

    Raises ValueError, which never quotes the address, for one that is not valid.
    """
    try:
        options = parse_url(url)  # type: ignore[no-untyped-call] # redis-py has no types here
        if options.get("connection_class") is UnixDomainSocketConnection:
            options["connection_class"] = _UnixConnection
        pool = ConnectionPool(**(options | SETTINGS))
        pool.connection_class(**pool.connection_kwargs)  # no I/O; an unknown option in the address shows here
    except (ValueError, TypeError):
        raise ValueError("The address of Redis is not valid.") from None
    return Redis.from_pool(pool)


class RedisLink:
    """Calls to Redis that never raise, and never wait for a server that does not answer.

    More calls at once than there are connections take turns: who went on without Redis would not be counted there.
    """

    def __init__(self, client: Redis, breaker: Breaker, record: Record) -> None:
        self.client = client
        self._breaker = breaker
        self._record = record
        self._turns = threading.BoundedSemaphore(TURNS)

    def ask(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What `call` returns, or None when there is no answer.

        Only silence counts for the breaker. A server that refuses a write (out of memory, read-only) answers at once
        and may still serve reads; that all connections are taken says nothing about the server.
        """
        if not self._turns.acquire(timeout=_PATIENCE):
            return None
        try:
            return self._ask(call, *args, **kwargs) if self._breaker.allows() else None
        finally:
            self._turns.release()

    def _ask(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            reply = call(*args, **kwargs)
        except MaxConnectionsError:
            return None
        except ResponseError as error:
            self._breaker.succeeded()
            self.refused(type(error).__name__)
            return None
        except (RedisError, OSError) as error:
            self._breaker.failed(type(error).__name__)
            return None
        self._breaker.succeeded()
        return reply

    def trouble(self) -> str | None:
        """Why Redis is not used at the moment. Asks it, so that it is found healed without other traffic."""
        self.ask(self.client.ping)
        return self._breaker.reason if self._breaker.is_open else None

    def refused(self, reason: str) -> None:
        self._record(RedisRefused(reason))

    def drop_connections(self) -> None:
        """Close the idle ones; those in use end with their command."""
        self.client.connection_pool.disconnect(inuse_connections=False)
