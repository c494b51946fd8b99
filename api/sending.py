"""Long bodies on their way out, piece by piece."""

from collections.abc import Iterator
from typing import Protocol, cast

from flask import current_app, request

from api.paid import EXTENSION, PaidCalls


class Pieces(Protocol):
    """`close` is called in any case, and may be called before the end."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class Sending:
    """A body on its way out. A client that takes nothing for as long as one of a stream may is left alone."""

    def __init__(self, pieces: Pieces) -> None:
        self.sent_bytes = 0
        self._pieces = pieces
        self._client = request.environ.get("gunicorn.socket")
        self._seconds = cast("PaidCalls", current_app.extensions[EXTENSION]).send_seconds

    def __iter__(self) -> Iterator[bytes]:
        if self._client is not None:
            self._client.settimeout(self._seconds)
        for piece in self._pieces:
            yield piece
            self.sent_bytes += len(piece)

    def close(self) -> None:
        self._pieces.close()
        if self._client is not None:
            self._client.settimeout(None)
