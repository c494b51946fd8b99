"""Connections to one provider: opened within a deadline, reused while they are alive, verified by certificate.

A new one goes to an address that was just checked; one that is reused goes where it went before.
"""

import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import certifi
import gevent
from gevent import socket as gevent_socket
from gevent import ssl as gevent_ssl
from gevent.hub import get_hub
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool

from adapters.ai.address import Address
from adapters.egress import AddressRefused, Destination, Resolved, resolved
from application.cancellation import Cancellation
from domain.provider_errors import (
    ProviderError,
    UpstreamAddressRefused,
    UpstreamConnectTimeout,
    UpstreamDns,
    UpstreamTls,
    UpstreamUnreachable,
)

Got = TypeVar("Got")
Socket = Any
"""gevent's sockets carry no types."""


class _Interrupted(Exception):
    """Thrown into a greenlet that waits for a connection."""


class _Pooled:
    """What both pools of geventhttpclient lack.

    That is: addresses that were checked, and a look at idle connections that neither waits nor minds high fds.
    """

    near = False
    """What a `Destination` says; the safe answer unless the pool is told otherwise."""
    _connection_host: str
    _connection_port: int
    _semaphore: Any
    _socket_queue: Any

    def idle(self) -> Socket | None:
        """The connection used last that is still alive, or None; it never waits."""
        if not self._semaphore.acquire(blocking=False):
            return None
        while self._socket_queue.qsize():
            sock = self._socket_queue.get_nowait()
            if self._is_socket_alive(sock):
                return sock
            sock.close()
        self._semaphore.release()
        return None

    def after_connect(self, sock: Socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _resolve(self) -> list[Resolved]:
        """The very addresses that are connected to next, each of them checked."""
        return resolved(Destination(self._connection_host, self._connection_port, self.near))

    def _is_socket_alive(self, sock: Socket) -> bool:
        """An idle connection has nothing to say: readable means closed, or out of step."""
        sock.settimeout(0.0)
        try:
            gevent_socket.socket.recv(sock, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


class _PlainPool(_Pooled, ConnectionPool):
    pass


class _TlsPool(_Pooled, SSLConnectionPool):
    pass


Pool = _PlainPool | _TlsPool


def pool_for(
    address: Address, size: int, connect_seconds: float, ca_file: str | None = None, *, private: bool = False
) -> Pool:
    """No proxy, whatever the environment says. `ca_file` replaces certifi's list of authorities."""
    pool = _pool(address, size, connect_seconds, ca_file)
    pool.near = private or address.near
    return pool


def _pool(address: Address, size: int, connect_seconds: float, ca_file: str | None) -> Pool:
    where = (address.host, address.port, address.host, address.port)
    if not address.tls:
        return _PlainPool(*where, size=size, connection_timeout=connect_seconds)
    return _TlsPool(
        *where,
        size=size,
        connection_timeout=connect_seconds,
        ssl_context_factory=_context,
        ssl_options={"ca_certs": ca_file or certifi.where()},
    )


def _context(cafile: str) -> ssl.SSLContext:
    """The kind that gevent made, also where the standard library is not patched: any other would block everyone."""
    context: ssl.SSLContext = gevent_ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile)
    return context


def connected(pool: Pool, seconds: float, cancellation: Cancellation) -> Socket:
    """A connection: an idle one, else a new one within `seconds`. Raises ProviderErrors that were never `dialled`."""
    sock = pool.idle()
    if sock is not None:
        return sock
    try:
        return _interruptible(pool.get_socket, seconds, cancellation)
    except _Interrupted:
        raise UpstreamConnectTimeout from None
    except OSError as error:
        raise connect_error(error) from error


def connect_error(error: OSError) -> ProviderError:
    if isinstance(error, ssl.SSLError):
        return UpstreamTls(f"The provider's certificate was not accepted: {error.reason or 'handshake failed'}.")
    if isinstance(error, socket.gaierror):
        return UpstreamDns()
    if isinstance(error, AddressRefused):
        return UpstreamAddressRefused()
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return UpstreamConnectTimeout()
    return UpstreamUnreachable()


def shut(sock: Socket) -> None:
    """Wakes whoever reads or writes `sock` at once; the socket can then only be closed.

    It is the plain socket's method, because that of a TLS socket takes the session away from under the reader.
    """
    with suppress(OSError):
        gevent_socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _interruptible(call: Callable[[], Got], seconds: float, cancellation: Cancellation) -> Got:
    """`call`, for at most `seconds` (then _Interrupted is raised) and only until the cancellation (then its reason)."""
    waiting = True
    waiter = gevent.getcurrent()

    def wake() -> None:
        if waiting:
            waiter.throw(_Interrupted())

    cancellation.on_cancel(lambda: get_hub().loop.run_callback(wake))
    try:
        with gevent.Timeout(seconds, _Interrupted()):
            return call()
    except _Interrupted:
        if cancellation.reason is not None:
            raise cancellation.reason from None
        raise
    finally:
        waiting = False
        cancellation.on_cancel(None)
