"""What every provider call goes through."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from gevent.event import Event

from application.cancellation import Attempt, Cancellation
from application.facts import ModelCalled
from application.model_ports import close
from application.ports import Record
from domain.completion import Completion, Delta
from domain.errors import ParleyError

Got = TypeVar("Got")


def pause(seconds: float, cancellation: Cancellation) -> None:
    """Sleep, but not longer than until the cancellation or the end of the call's time. Raises its reason."""
    woken = Event()
    cancellation.on_cancel(woken.set)
    try:
        woken.wait(min(seconds, cancellation.remaining()))
    finally:
        cancellation.on_cancel(None)
    cancellation.check()


@dataclass(frozen=True, slots=True)
class Observed:
    """Counts each attempt on the cancellation before it begins, and records it as a fact when it has ended."""

    provider: str
    record: Record
    monotonic: Callable[[], float]

    def whole(self, model: str, call: Callable[[], Got], cancellation: Cancellation) -> Got:
        attempt = self._attempt(model, cancellation)
        try:
            got = call()
        except BaseException as error:
            attempt.end(error, self.provider)
            raise
        attempt.end(None, self.provider)
        return got

    def stream(
        self, model: str, parts: Iterator[list[Delta] | Completion], cancellation: Cancellation
    ) -> Iterator[list[Delta] | Completion]:
        """The attempt begins with the first part that somebody asks for."""
        attempt = self._attempt(model, cancellation)
        try:
            for part in parts:
                if isinstance(part, Completion):
                    attempt.end(None, self.provider)
                elif part:
                    attempt.heard()
                yield part
        except BaseException as error:
            close(parts)
            attempt.end(error, self.provider)
            raise

    def _attempt(self, model: str, cancellation: Cancellation) -> "_Attempt":
        noted = Attempt(self.provider, f"{self.provider}/{model}", self.monotonic())
        cancellation.attempts.append(noted)
        return _Attempt(self.record, self.monotonic, cancellation, noted)


class _Attempt:
    def __init__(
        self, record: Record, monotonic: Callable[[], float], cancellation: Cancellation, noted: Attempt
    ) -> None:
        self._record = record
        self._monotonic = monotonic
        self._cancellation = cancellation
        self._noted = noted
        self._first: float | None = None
        self._ended = False

    def heard(self) -> None:
        if self._first is None:
            self._first = self._monotonic() - self._noted.started

    def end(self, error: BaseException | None, provider: str) -> None:
        """The first end counts: whoever has a whole answer may close the stream afterwards."""
        if self._ended:
            return
        self._ended = True
        noted, outcome = self._noted, self._outcome(error)
        noted.ended = self._monotonic()
        noted.code = "" if error is None else outcome
        self._record(ModelCalled(provider, noted.model, outcome, noted.ended - noted.started, self._first))

    def _outcome(self, error: BaseException | None) -> str:
        """A stream that is closed from our side ends with GeneratorExit; the cancellation knows why."""
        if error is None:
            return "ok"
        if isinstance(error, ParleyError):
            return error.code
        reason = self._cancellation.reason
        return (
            reason.code if reason is not None else "cancelled" if isinstance(error, GeneratorExit) else "internal_error"
        )
