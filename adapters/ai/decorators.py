"""What every provider call goes through; each class wraps a `ChatModel` and is one."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from random import uniform

from gevent.event import Event

from adapters.ai.retries import RetryBudget
from application.cancellation import Cancellation
from application.facts import ModelCalled
from application.ports import ChatModel, Record
from domain.completion import Completion, Delta, Prompt
from domain.errors import ParleyError
from domain.provider_errors import ProviderError

_JITTER = (0.1, 0.3)
_LONGEST_WAIT = 2
"""Seconds of Retry-After that are waited out; who asks for more gets no second call."""


def pause(seconds: float, cancellation: Cancellation) -> None:
    """Sleep, but not longer than until the cancellation. Raises its reason."""
    woken = Event()
    cancellation.on_cancel(woken.set)
    try:
        woken.wait(seconds)
    finally:
        cancellation.on_cancel(None)
    cancellation.check()


@dataclass(frozen=True, slots=True)
class Observed:
    """Counts each attempt on the cancellation before it begins, and records it as a fact when it has ended."""

    inner: ChatModel
    provider: str
    record: Record
    monotonic: Callable[[], float]

    def complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion:
        attempt = self._attempt(prompt, cancellation)
        try:
            completion = self.inner.complete(prompt, cancellation)
        except BaseException as error:
            attempt.end(error, self.provider)
            raise
        attempt.end(None, self.provider)
        return completion

    def stream(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[list[Delta] | Completion]:
        attempt = self._attempt(prompt, cancellation)
        parts = self.inner.stream(prompt, cancellation)
        try:
            for part in parts:
                if isinstance(part, Completion):
                    attempt.end(None, self.provider)
                elif part:
                    attempt.heard()
                yield part
        except BaseException as error:
            _close(parts)
            attempt.end(error, self.provider)
            raise

    def _attempt(self, prompt: Prompt, cancellation: Cancellation) -> "_Attempt":
        cancellation.attempts += 1
        return _Attempt(self.record, self.monotonic, cancellation, f"{self.provider}/{prompt.model}")


class _Attempt:
    def __init__(self, record: Record, monotonic: Callable[[], float], cancellation: Cancellation, model: str) -> None:
        self._record = record
        self._monotonic = monotonic
        self._cancellation = cancellation
        self._model = model
        self._started = monotonic()
        self._first: float | None = None
        self._ended = False

    def heard(self) -> None:
        if self._first is None:
            self._first = self._monotonic() - self._started

    def end(self, error: BaseException | None, provider: str) -> None:
        """The first end counts: whoever has a whole answer may close the stream afterwards."""
        if self._ended:
            return
        self._ended = True
        seconds = self._monotonic() - self._started
        self._record(ModelCalled(provider, self._model, self._outcome(error), seconds, self._first))

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


@dataclass(frozen=True, slots=True)
class Retrying:
    """Makes a failed call once more, if nothing was heard, the error says that it helps, and the budget allows it."""

    inner: ChatModel
    budget: RetryBudget
    wait: Callable[[float, Cancellation], None] = pause
    extra: int = 1

    def complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion:
        retries = 0
        self.budget.begin()
        try:
            while True:
                try:
                    return self.inner.complete(prompt, cancellation)
                except ProviderError as error:
                    seconds = self._seconds(error, retries, cancellation)
                    if seconds is None:
                        raise
                retries += 1
                self.wait(seconds, cancellation)
        finally:
            self.budget.end(retries)

    def stream(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[list[Delta] | Completion]:
        retries = 0
        self.budget.begin()
        try:
            while True:
                attempt = _Started(self.inner.stream(prompt, cancellation))
                try:
                    yield from attempt
                except ProviderError as error:
                    seconds = None if attempt.heard else self._seconds(error, retries, cancellation)
                    if seconds is None:
                        raise
                else:
                    return
                retries += 1
                self.wait(seconds, cancellation)
        finally:
            self.budget.end(retries)

    def _seconds(self, error: ProviderError, retries: int, cancellation: Cancellation) -> float | None:
        """How long to wait before the next try, None when there is to be none."""
        seconds = uniform(*_JITTER) if error.retry_after is None else float(error.retry_after)  # noqa: S311 - no secret
        sensible = error.retryable and seconds <= _LONGEST_WAIT and seconds < cancellation.remaining()
        return seconds if sensible and retries < self.extra and self.budget.spend() else None


class _Started:
    """The parts of a stream, and whether one of them was more than a heartbeat."""

    def __init__(self, parts: Iterator[list[Delta] | Completion]) -> None:
        self._parts = parts
        self.heard = False

    def __iter__(self) -> Iterator[list[Delta] | Completion]:
        try:
            for part in self._parts:
                if part:
                    self.heard = True
                    yield part
                    break
                yield part
            yield from self._parts
        finally:
            _close(self._parts)


def _close(parts: Iterator[object]) -> None:
    """Only generators have something to close."""
    if isinstance(parts, Generator):
        parts.close()
