"""Makes generations, whole or as streams."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from application.admission import Admission
from application.answer_cache import AnswerCache, CachedAnswer
from application.call import Call
from application.cancellation import Cancellation
from application.generation import Generation
from application.guardrails import Guardrails
from application.model_ports import Deployment
from application.order import Order, Outcome
from application.ports import Clock, Journal, Prices, Record
from application.store import UnitOfWork
from application.stream import Beside, Stream
from domain.completion import Completion
from domain.usage import Usage

Answer = TypeVar("Answer")


class HasUsage(Protocol):
    @property
    def usage(self) -> Usage | None: ...


Counted = TypeVar("Counted", bound=HasUsage)
Ask = Callable[[Deployment, Cancellation], Counted]


def _at_once(_call: Call, work: Callable[[], object]) -> None:
    work()


@dataclass(frozen=True, slots=True)
class Generations:
    """Makes generations. `gate_seconds` is how long a stream may wait for its first event before it is committed."""

    journal: Journal
    prices: Prices
    clock: Clock
    record: Record
    admission: Admission
    guardrails: Guardrails
    cache: AnswerCache
    gate_seconds: float = 15.0
    beside: Beside = _at_once

    def open(self, order: Order, call: Call, work: UnitOfWork | None = None) -> Generation:
        """Admit it and journal its OPEN: from here on it is accounted for, even if this process dies.

        Raises GuardrailBlocked, what `Admission.admit` raises, and AccountingUnavailable; nothing is reserved then.
        Its budgets are reserved in the caller's open unit `work`, which the caller has to roll back when this raises.
        """
        if self.guardrails.watches_prompts:
            messages, options = self.guardrails.prompt(order.messages), self.guardrails.options(order.options)
            order = replace(order, messages=messages, options=options)
        generation = Generation(self, order, call)
        generation.admit(work)
        try:
            generation.open()
        except BaseException:
            generation.abandon(budgets=work is None)
            raise
        return generation

    def complete(self, generation: Generation) -> Outcome[Completion]:
        generation.call.dialled = True
        try:
            return generation.finish(self._whole(generation))
        except BaseException as error:
            generation.cut(error, generation.call.cancellation.counted)
            raise

    def deliver(self, generation: Generation, ask: Ask[Counted]) -> Outcome[Counted]:
        """Something else than chat, in one piece: `ask` gets it from a deployment."""
        generation.call.dialled = True
        try:
            result = generation.dispatch.whole(ask, generation.call.cancellation)
            return generation.deliver(result, result.usage)
        except BaseException as error:
            generation.cut(error, generation.call.cancellation.counted)
            raise

    def stream(self, generation: Generation, answer: Callable[[Outcome[Completion]], Answer]) -> Stream[Answer]:
        """Return when the upstream's first event is in, or after the gate; until then every error is raised here."""
        stream = Stream(self, generation, answer)
        stream.start(self.clock.monotonic() + self.gate_seconds)
        return stream

    def found(self, generation: Generation) -> tuple[str | None, CachedAnswer | None]:
        """The name that its answer is to be kept by, if it is, and the answer that is kept already."""
        key = self._key(generation)
        if key is None or generation.call.fresh:
            return key, None
        kept = self.cache.find(key)
        if kept is not None:
            generation.cached_model = kept.model
        return key, kept

    def _whole(self, generation: Generation) -> Completion:
        """As it may be shown; only what is shown as it came is kept."""
        key, kept = self.found(generation)
        if kept is not None:
            return self.guardrails.answer(kept.completion)
        completion = generation.dispatch.complete(generation.prompt(), generation.call.cancellation)
        generation.received(completion)
        shown = self.guardrails.answer(completion)
        if key is not None and shown is completion:
            self.cache.keep(key, generation.model, completion)
        return shown

    def _key(self, generation: Generation) -> str | None:
        order, call = generation.order, generation.call
        if order.session_id is not None or order.turn is not None or call.unkept:
            return None
        asked = (order.messages, order.options)
        return self.cache.key(order.principal, order.plan, asked, streamed=call.streamed)
