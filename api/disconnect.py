"""Notices that a client has gone while nobody reads from its socket."""

import socket
from typing import Any

import gevent

from application.cancellation import Cancellation
from domain.errors import ClientGone

_READABLE = 1
_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT


class Watch:
    """Cancels a generation as soon as the client's socket says end of file or reset.

    One watcher on the event loop instead of a greenlet per request. A client that has sent its next request already
    looks readable for ever, so that one is watched no longer: its going is then noticed by the next write.
    """

    __slots__ = ("_cancellation", "_io", "_socket")

    def __init__(self, client: socket.socket, cancellation: Cancellation) -> None:
        self._cancellation = cancellation
        # gevent's own `recv` would wait, which the event loop's callbacks must not.
        self._socket: socket.socket = getattr(client, "_sock", client)
        self._io: Any = gevent.get_hub().loop.io(client.fileno(), _READABLE)
        self._io.start(self._readable)

    def stop(self) -> None:
        if self._io is not None:
            self._io.stop()
            self._io.close()
            self._io = None

    def _readable(self) -> None:
        if self._io is None:
            return
        try:
            gone = not self._socket.recv(1, _PEEK)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        self.stop()
        if gone:
            self._cancellation.cancel(ClientGone())


def watch(environ: dict[str, Any], cancellation: Cancellation) -> Watch | None:
    """None where there is no open plain socket to watch: under another server, in tests, behind TLS of our own."""
    client = environ.get("gunicorn.socket")
    if client is None or hasattr(client, "_sslobj") or client.fileno() < 0:
        return None
    return Watch(client, cancellation)
