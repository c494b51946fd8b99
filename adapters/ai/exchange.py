"""One request to a provider and its answer, on one connection."""

from contextlib import suppress
from time import monotonic

from geventhttpclient.response import HTTPParseError

from adapters.ai.answer import Answer
from adapters.ai.deadlines import Deadlines
from adapters.ai.sockets import Pool, Socket, shut
from application.cancellation import Cancellation
from domain.provider_errors import (
    ProviderError,
    UpstreamBadContent,
    UpstreamBadJson,
    UpstreamIdleTimeout,
    UpstreamMalformed,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamTotalTimeout,
)

READ_SIZE = 65_536
MAX_ANSWER = 32 * 1024 * 1024
MAX_HEAD = 65_536
_MOMENT = 0.001
"""The shortest wait: 0 would mean not to wait at all."""


class Exchange:
    """Reads as far as its caller asks and no further. Every error closes it; otherwise the caller has to.

    A connection that is not exactly at the end of an answer is closed, never pooled.
    """

    def __init__(self, pool: Pool, sock: Socket, deadlines: Deadlines, cancellation: Cancellation) -> None:
        self.answer = Answer()
        self.ended = False
        """Nothing more will come. The answer is `complete` only if that is where it said it would end."""
        self._pool = pool
        self._sock: Socket = sock
        self._open = True
        self._deadlines = deadlines
        self._cancellation = cancellation
        self._heard = False
        self._head_size = 0
        self._until = monotonic() + deadlines.headers
        cancellation.on_cancel(self._wake)

    def generates_first(self) -> None:
        """The status line comes after the whole answer was generated, which may take longer than a line does."""
        if self._deadlines.answer is not None:
            self._until = monotonic() + self._deadlines.answer

    def send(self, request: bytes) -> None:
        """Once. Who refuses early answers first and then closes, so after a failed write there may be an answer."""
        try:
            self._sock.settimeout(self._left())
            self._sock.sendall(request)
        except TimeoutError:
            raise self._failed(self._late()) from None
        except OSError:
            self._stop_when_cancelled()
            self.head()
        except BaseException:
            self.close()
            raise

    def head(self) -> None:
        """Wait for the status line and the headers."""
        while not self.answer.begun:
            self.read()

    def body(self) -> bytes:
        """The whole answer. Raises UpstreamTooLarge, and UpstreamBadJson when it ended too early."""
        self.head()
        self.hear()
        while not self.ended:
            self.read()
        if not self.answer.complete:
            raise self._failed(UpstreamBadJson("The provider's answer ended too early."))
        self.close()
        return self.answer.take()

    def hear(self) -> None:
        """The answer has begun: from now on silence is measured from byte to byte."""
        self._heard = True
        self._until = monotonic() + self._deadlines.idle

    def read(self, heartbeat: float | None = None) -> bool:
        """Wait for more; False when nothing came for `heartbeat` seconds. Without it only a deadline ends the wait."""
        left = self._left()
        patience = left if heartbeat is None or left < heartbeat else heartbeat
        try:
            self._sock.settimeout(patience)
            received = self._sock.recv(READ_SIZE)
        except TimeoutError:
            self._stop_when_cancelled()
            if patience < left:
                return False
            raise self._failed(self._late()) from None
        except OSError as error:
            self._stop_when_cancelled()
            raise self._failed(UpstreamReset()) from error
        except BaseException:
            self.close()
            raise
        self._stop_when_cancelled()
        self._take_in(received)
        return True

    def finish(self) -> None:
        """Close a stream. After its last event the end of the body is mostly there, which saves the connection."""
        if self._open and not self.ended and self._cancellation.reason is None:
            with suppress(OSError, HTTPParseError):
                self._sock.settimeout(0.0)
                self.answer.feed(self._sock.recv(READ_SIZE))
        self.close()

    def close(self) -> None:
        """Idempotent."""
        if not self._open:
            return
        self._open = False
        self._cancellation.on_cancel(None)
        if self.answer.reusable and self._cancellation.reason is None:
            self._pool.return_socket(self._sock)
        else:
            self._pool.release_socket(self._sock)

    def _take_in(self, received: bytes) -> None:
        answer = self.answer
        began = answer.begun
        try:
            answer.feed(received)
        except HTTPParseError:
            self._check_cut(received)
        self.ended = answer.complete or not received
        if not began:
            self._check_head(received)
        elif self._heard:
            self._until = monotonic() + self._deadlines.idle
        if len(answer.buffer) > MAX_ANSWER:
            raise self._failed(UpstreamTooLarge())

    def _check_cut(self, received: bytes) -> None:
        """What llhttp refuses is the end of the connection amid a body, which the caller judges, or not HTTP."""
        if not self.answer.begun:
            raise self._failed(UpstreamBadContent() if received else UpstreamReset())
        if received:
            raise self._failed(UpstreamMalformed("The provider's answer is not HTTP."))

    def _check_head(self, received: bytes) -> None:
        self._head_size += len(received)
        if self.answer.begun:
            self._until = monotonic() + self._deadlines.first_token
        elif not received:
            raise self._failed(UpstreamReset())
        elif self._head_size > MAX_HEAD:
            raise self._failed(UpstreamTooLarge("The provider's headers are larger than allowed."))

    def _left(self) -> float:
        """Seconds until the nearest deadline.

        What has arrived already is read although its wait is over, except after the total deadline: a provider that
        never pauses would not notice it.
        """
        remaining = self._cancellation.remaining()
        if remaining <= 0:
            raise self._failed(UpstreamTotalTimeout())
        return max(_MOMENT, min(self._until - monotonic(), remaining))

    def _late(self) -> ProviderError:
        if self._cancellation.remaining() <= 0:
            return UpstreamTotalTimeout()
        return UpstreamIdleTimeout() if self._heard else UpstreamTimeout()

    def _wake(self) -> None:
        if self._open:
            shut(self._sock)

    def _stop_when_cancelled(self) -> None:
        if self._cancellation.reason is not None:
            self.close()
            raise self._cancellation.reason

    def _failed(self, error: ProviderError) -> ProviderError:
        self.close()
        return error
