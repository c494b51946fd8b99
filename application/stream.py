"""One generation as a stream, from its dial to its end: relayed, looked through, and settled whoever ends it."""

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Generic, Protocol, TypeVar

from application.answer_cache import AnswerCache, CachedAnswer, Recording
from application.call import Call
from application.generation import Generation
from application.guardrails import Guardrails
from application.model_ports import close
from application.order import Outcome
from application.screen import Screen
from domain.completion import Completion, Delta
from domain.errors import ClientGone, GuardrailBlocked, ParleyError
from domain.provider_errors import UpstreamTruncated
from domain.usage import Usage

Answer = TypeVar("Answer")

_CLOSING_SECONDS = 2.0
"""How long the count of an answer is waited for that is not shown although it is complete."""
_SILENCE_SECONDS = 1.0

Beside = Callable[[Call, Callable[[], object]], object]
"""Runs something that goes on when the request of a call has ended, and returns at once."""


class Means(Protocol):
    """What a stream is made with."""

    @property
    def guardrails(self) -> Guardrails: ...
    @property
    def cache(self) -> AnswerCache: ...
    @property
    def beside(self) -> Beside: ...
    def found(self, generation: Generation) -> tuple[str | None, CachedAnswer | None]:
        """The name that its answer is to be kept by, if it is, and the answer that is kept already."""
        ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """A stream that is to be kept by the name `key`."""

    key: str
    recording: Recording = field(default_factory=Recording)


class Stream(Generic[Answer]):
    """The deltas of a generation as they arrive, then its answer.

    An empty list is a heartbeat. A ParleyError raised on the way means that what was relayed is not a whole answer.
    `close` must be called in any case; it is idempotent, and settles what nobody settled.
    """

    def __init__(self, means: Means, generation: Generation, answer: Callable[[Outcome[Completion]], Answer]) -> None:
        self.request_id = generation.call.request_id
        self.answer_id = generation.order.turn.answer_id if generation.order.turn else None
        self.attempts = 0
        self.begun = False
        """Whether somebody answered before the gate gave up; until then it is not certain who will."""
        self.first_event_ms = 0
        """From OPEN to the first event, or to the moment when the gate gave up waiting for it."""
        self.finished = False
        """Settled with a good end: the answer is the next item, and the last."""
        self._means = means
        self._generation = generation
        self._screen = Screen(means.guardrails) if means.guardrails.watches_answers else None
        self._answer = answer
        self._source: Iterator[list[Delta] | Completion] = iter(())
        self._kept: Recorded | None = None
        self._waiting: list[list[Delta] | Completion] = []
        self._heard = self._all_heard()
        self._rest = chain(self._waiting, self._heard)
        self._relay = self._relayed()
        self._spoke_at = 0.0
        self._owed: Usage | None = None
        """What the provider counted of an answer that was not shown to its end."""
        self._over = False
        """Whatever is left to do is done beside."""

    def __iter__(self) -> Iterator[list[Delta] | Answer]:
        return self._relay

    @property
    def cache_hit(self) -> bool:
        return bool(self._generation.cached_model)

    @property
    def model(self) -> str:
        """`provider/model` of who answers; until the first delta is in, of who is being tried."""
        return self._generation.model

    def start(self, until: float) -> None:
        """Dial, and block until the first event or the closing is in, or the monotonic clock says `until`."""
        generation = self._generation
        generation.call.dialled = True
        try:
            self._dial()
            self._wait(until)
            self.begun = bool(self._waiting[0])
            self.attempts, self.first_event_ms = generation.attempts, generation.elapsed_ms()
        except BaseException as error:
            self._end(error)
            raise

    def close(self) -> None:
        if self._over:
            return
        cancellation = self._generation.call.cancellation
        if self._generation.running:
            cancellation.cancel(ClientGone())
            if cancellation.reason is None:
                self._beside(self._drain)
                return
        self._relay.close()
        self._end(cancellation.reason or ClientGone())

    def _dial(self) -> None:
        generation = self._generation
        key, kept = self._means.found(generation)
        if kept is not None:
            self._source = kept.stream()
            return
        self._kept = None if key is None else Recorded(key)
        self._source = generation.dispatch.stream(generation.prompt(), generation.call.cancellation)

    def _wait(self, until: float) -> None:
        now = self._generation.books.clock.monotonic
        while not self._waiting:
            item = next(self._heard)
            if item or now() >= until:
                self._waiting.append(item)

    def _relayed(self) -> Generator[list[Delta] | Answer, None, None]:
        try:
            yield from self._items()
        except BaseException as error:
            self._end(error)
            raise

    def _items(self) -> Iterator[list[Delta] | Answer]:
        for item in self._rest:
            if isinstance(item, Completion):
                answer = self._answer(self._generation.finish(item))
                self.finished = True
                yield answer
                return
            yield item

    def _all_heard(self) -> Iterator[list[Delta] | Completion]:
        """What arrives counts from here on, whether or not a client will read it."""
        generation, screen = self._generation, self._screen
        for item in self._source:
            if isinstance(item, Completion):
                yield from self._closing(item)
            elif item:
                generation.heard(item)
                if self._kept is not None:
                    self._kept.recording.add(item)
                shown = item if screen is None else self._screened(screen, item)
                generation.show(shown)
                if shown or self._has_been_silent():
                    yield shown
            else:
                yield item
        raise UpstreamTruncated

    def _closing(self, completion: Completion) -> Iterator[list[Delta] | Completion]:
        screen, kept = self._screen, self._kept
        if screen is not None:
            self._owed = completion.usage
            late = screen.flush()
            self._generation.show(late)
            if late:
                yield late
        if kept is not None and (screen is None or not screen.changed):
            self._means.cache.keep(kept.key, self._generation.model, completion, kept.recording)
        yield completion

    def _screened(self, screen: Screen, deltas: list[Delta]) -> list[Delta]:
        try:
            return screen.feed(deltas)
        except GuardrailBlocked:
            if self._generation.order.options.get("n") in (None, 1) and any(map(_is_last, deltas)):
                self._generation.call.cancellation.hurry(_CLOSING_SECONDS)
                self._count()
            raise

    def _has_been_silent(self) -> bool:
        """What is held back for the moment is nothing to the client, but now and then it has to hear something."""
        now = self._generation.books.clock.monotonic()
        if now - self._spoke_at < _SILENCE_SECONDS:
            return False
        self._spoke_at = now
        return True

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _end(self, error: BaseException) -> None:
        if self._over:
            return
        blocked = isinstance(error, GuardrailBlocked) and self._owed is None and self._generation.running
        if blocked and self._generation.call.cancellation.leave():
            self._beside(partial(self._count_out, error))
        else:
            self._cut(error)

    def _beside(self, work: Callable[[], object]) -> None:
        self._over = True
        self._means.beside(self._generation.call, work)

    def _drain(self) -> None:
        """Hear the rest without a client, for the true count of what is billed anyway."""
        error: BaseException = ClientGone()
        try:
            self._generation.finish(next(item for item in self._rest if isinstance(item, Completion)))
        except BaseException as ended:
            error = ended
            if isinstance(ended, GuardrailBlocked):
                self._count()
            if not isinstance(ended, ParleyError):
                raise
        finally:
            self._cut(error)

    def _count_out(self, error: BaseException) -> None:
        try:
            self._count()
        finally:
            self._cut(error)

    def _count(self) -> None:
        """Hear the rest, which nobody is shown, for what the provider counts at its end."""
        with suppress(ParleyError):
            for item in self._source:
                if isinstance(item, Completion):
                    self._owed = item.usage
                    return
                if item:
                    self._generation.heard(item)

    def _cut(self, error: BaseException) -> None:
        try:
            close(self._source)
        finally:
            self._generation.cut(error, self._owed)


def _is_last(delta: Delta) -> bool:
    return any(choice.get("finish_reason") for choice in delta.choices)
