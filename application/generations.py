"""Makes generations, whole or as streams."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Generic, TypeVar

from application.admission import Admission
from application.call import Call
from application.generation import Generation, Order, Outcome
from application.ports import Clock, Journal, Prices, Record
from application.store import UnitOfWork
from domain.completion import Completion, Delta
from domain.errors import ClientGone
from domain.provider_errors import UpstreamTruncated

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Generations:
    """Makes generations. `gate_seconds` is how long a stream may wait for its first event before it is committed."""

    journal: Journal
    prices: Prices
    clock: Clock
    record: Record
    admission: Admission
    gate_seconds: float = 15.0

    def open(self, order: Order, call: Call, work: UnitOfWork | None = None) -> Generation:
        """Admit it and journal its OPEN: from here on it is accounted for, even if this process dies.

        Raises what `Admission.admit` raises, and AccountingUnavailable; nothing is reserved then. Its budgets are
        reserved in the caller's open unit `work`, which the caller has to roll back when this raises.
        """
        generation = Generation(self, order, call)
        generation.admit(work)
        try:
            generation.open()
        except BaseException:
            generation.abandon(budgets=work is None)
            raise
        return generation

    def complete(self, generation: Generation) -> Outcome:
        order = generation.order
        generation.call.dialled = True
        try:
            completion = order.deployment.chat.complete(generation.prompt(), generation.call.cancellation)
            return generation.finish(completion)
        except BaseException as error:
            generation.cut(error)
            raise

    def stream(self, generation: Generation, answer: Callable[[Outcome], Answer]) -> "Stream[Answer]":
        """Return when the upstream's first event is in, or after the gate; until then every error is raised here."""
        stream = Stream(generation, answer)
        stream.start(self.clock.monotonic() + self.gate_seconds)
        return stream


class Stream(Generic[Answer]):
    """The deltas of a generation as they arrive, then its answer.

    An empty list is a heartbeat. A ParleyError raised on the way means that what was relayed is not a whole answer.
    `close` must be called in any case; it is idempotent, and settles what nobody settled.
    """

    def __init__(self, generation: Generation, answer: Callable[[Outcome], Answer]) -> None:
        self.request_id = generation.call.request_id
        self.model = generation.order.deployment.id
        self.answer_id = generation.order.turn.answer_id if generation.order.turn else None
        self.attempts = 0
        self.first_event_ms = 0
        """From OPEN to the first event, or to the moment when the gate gave up waiting for it."""
        self.finished = False
        """Settled with a good end: the answer is the next item, and the last."""
        self._generation = generation
        self._answer = answer
        self._source: Iterator[list[Delta] | Completion] = iter(())
        self._heard = self._all_heard()
        self._waiting: list[list[Delta] | Completion] = []
        self._relay = self._relayed()

    def __iter__(self) -> Iterator[list[Delta] | Answer]:
        return self._relay

    def start(self, until: float) -> None:
        """Dial, and block until the first event or the closing is in, or the monotonic clock says `until`."""
        generation = self._generation
        generation.call.dialled = True
        try:
            self._source = generation.order.deployment.chat.stream(generation.prompt(), generation.call.cancellation)
            self._wait(until)
            self.attempts, self.first_event_ms = generation.attempts, generation.elapsed_ms()
        except BaseException as error:
            self._end(error)
            raise

    def close(self) -> None:
        self._relay.close()
        self._end(ClientGone())

    def _relayed(self) -> Generator[list[Delta] | Answer, None, None]:
        try:
            yield from self._items()
        except BaseException as error:
            self._end(error)
            raise

    def _wait(self, until: float) -> None:
        now = self._generation.books.clock.monotonic
        while not self._waiting:
            item = next(self._heard)
            if item or now() >= until:
                self._waiting.append(item)

    def _items(self) -> Iterator[list[Delta] | Answer]:
        for item in chain(self._waiting, self._heard):
            if isinstance(item, Completion):
                answer = self._answer(self._generation.finish(item))
                self.finished = True
                yield answer
                return
            yield item

    def _all_heard(self) -> Iterator[list[Delta] | Completion]:
        """What arrives counts from here on, whether or not a client will read it."""
        heard = self._generation.heard
        for item in self._source:
            if item and not isinstance(item, Completion):
                heard(item)
            yield item
        raise UpstreamTruncated

    def _end(self, error: BaseException) -> None:
        try:
            close = getattr(self._source, "close", None)
            if close is not None:
                close()
        finally:
            self._generation.cut(error)
