"""A TCP proxy on loopback that fails on request: in front of any server, for any protocol."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

_CHUNK = 65536
_POLL = 0.05
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close with RST instead of FIN."""


class FaultProxy:
    """Passes everything on until it is told otherwise. What is set holds for open and for later connections.

    `latency` delays every answer by so many seconds. `limit` cuts a connection after so many more bytes of answers.
    """

    def __init__(self, port: int) -> None:
        self.latency = 0.0
        self.limit: int | None = None
        self._server = port
        self._flowing = threading.Event()
        self._flowing.set()
        self._lose_after: bytes | None = None
        self._lost = threading.Event()
        self._pairs: list[_Pair] = []
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_POLL)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closed = True
        self._flowing.set()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def pause(self) -> None:
        """Both sides stay connected and hear nothing."""
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def cut(self) -> None:
        """Reset every open connection; new ones are welcome."""
        for pair in self._pairs:
            pair.cut()
        self._pairs.clear()

    def lose_reply_after(self, words: bytes) -> None:
        """The next request that contains `words` reaches the server; its answer is lost with the connection, once."""
        self._lost.clear()
        self._lose_after = words

    def wait_lost(self, seconds: float = 10) -> None:
        assert self._lost.wait(seconds), "no reply was lost"

    def _accept(self) -> None:
        while not self._closed:
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                self._join(client)

    def _join(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._server), timeout=5)
        except OSError:
            client.close()
            return
        pair = _Pair(client, server)
        self._pairs.append(pair)
        for work in (self._requests, self._answers):
            thread = threading.Thread(target=work, args=(pair,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _requests(self, pair: "_Pair") -> None:
        for chunk in pair.chunks(pair.client):
            self._flowing.wait()
            if self._lose_after is not None and self._lose_after in chunk.upper():
                self._lose_after = None
                pair.losing = True
            pair.send(pair.server, chunk)

    def _answers(self, pair: "_Pair") -> None:
        for received in pair.chunks(pair.server):
            self._flowing.wait()
            time.sleep(self.latency)
            if pair.losing:
                pair.cut()
                self._lost.set()
                return
            chunk = received if self.limit is None else received[: self.limit]
            pair.send(pair.client, chunk)
            if self.limit is not None:
                self.limit -= len(chunk)
            if self.limit == 0:
                pair.cut()


class _Pair:
    """The two sockets of one connection."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.losing = False
        self._open = True
        client.settimeout(_POLL)
        server.settimeout(_POLL)

    def chunks(self, source: socket.socket) -> Iterator[bytes]:
        """Until one side ends the connection; both are closed then."""
        while self._open:
            try:
                chunk = source.recv(_CHUNK)
            except TimeoutError:
                continue
            except OSError:
                break
            if not chunk:
                break
            yield chunk
        self.cut()

    def send(self, target: socket.socket, chunk: bytes) -> None:
        try:
            target.settimeout(10)
            target.sendall(chunk)
            target.settimeout(_POLL)
        except OSError:
            self.cut()

    def cut(self) -> None:
        self._open = False
        for side in (self.client, self.server):
            with contextlib.suppress(OSError):
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                side.shutdown(socket.SHUT_RDWR)
            side.close()
