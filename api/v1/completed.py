"""A completion, whole or as a stream: the one way that it takes in every dialect."""

from collections.abc import Callable
from typing import Any, Protocol

import orjson

from api.answer import Answer
from api.auth import current_principal
from api.paid import begin_call
from api.v1.bodies import paid_answer
from api.v1.streams import Pieces, stream_answer
from application.completions import CompletionAnswer, CompletionOrder, CompletionService
from application.stream import Stream
from domain.errors import ParleyError


class Events(Protocol):
    """A stream as a dialect writes it."""

    def pieces(self) -> Pieces: ...

    def refusal(self, error: ParleyError) -> bytes:
        """What ends it where it fails."""
        ...


def completed(
    completions: CompletionService,
    order: CompletionOrder,
    *,
    streamed: bool,
    body: Callable[[CompletionAnswer], Any],
    events: Callable[[Stream[CompletionAnswer], int], Events],
) -> Answer:
    """`body` is a whole answer as the dialect has it; `events` also gets the Unix time at which the call began."""
    principal = current_principal()
    with begin_call(streamed=streamed) as paid:
        if not streamed:
            answer = completions.complete(principal, order, paid.call)
            return paid_answer(orjson.dumps(body(answer)), answer)
        stream = completions.stream(principal, order, paid.call)
        told = events(stream, paid.began_at)
        return stream_answer(stream, paid, told.pieces(), told.refusal)
