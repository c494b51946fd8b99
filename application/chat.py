"""One turn in a session: lock, context, answer, both messages stored together."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from application.call import Call
from application.generation import Order, Outcome
from application.generations import Generations, Stream
from application.in_flight import InFlight
from application.ports import Begin, Clock, Models, NewId, Signals
from application.records import Turn
from domain.errors import AccountingUnavailable, ConversationBusy, NotFound, Unavailable
from domain.session import Context, Session, assemble, title_from
from domain.usage import Usage
from domain.user import Principal, Scope


@dataclass(frozen=True, slots=True)
class ChatOrder:
    """`model` (`provider/model`) answers this turn instead of the session's own."""

    session_id: str
    message: str
    model: str | None = None


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """`id` is the stored message's. `cost` in nano-units, None when the model has no price."""

    id: str
    request_id: str
    session_id: str
    content: str
    finish_reason: str
    model: str
    usage: Usage
    cost: int | None
    context: Context
    attempts: int
    upstream_ms: int


@dataclass(frozen=True, slots=True)
class ChatService:
    begin: Begin
    models: Models
    generations: Generations
    in_flight: InFlight
    signals: Signals
    clock: Clock
    new_id: NewId
    turn_seconds: float = 660.0
    """A turn lock older than this belongs to nobody: it exceeds the total deadline of a generation."""

    def send(self, principal: Principal, order: ChatOrder, call: Call) -> ChatAnswer:
        """Raises ConversationBusy while another turn of the session runs, NotFound for a foreign session."""
        prepared = self._prepare(principal, order, call.request_id)
        with self._lock_released_unless_journalled(order.session_id, call.request_id):
            return prepared.answer(self.generations.complete(prepared.order, call))

    def stream(self, principal: Principal, order: ChatOrder, call: Call) -> Stream[ChatAnswer]:
        """As `send`; what goes wrong after the first event is raised by the stream."""
        prepared = self._prepare(principal, order, call.request_id)
        with self._lock_released_unless_journalled(order.session_id, call.request_id):
            return self.generations.stream(prepared.order, call, prepared.answer)

    def stop(self, principal: Principal, request_id: str) -> None:
        """End a running turn, on whichever worker it runs. Raises NotFound unless it is the caller's and running."""
        with self.begin() as work:
            session_id = work.turns.session_of(request_id, principal.user_id)
        if session_id is None:
            raise NotFound
        if not self.in_flight.stop(request_id):
            self.signals.publish(request_id)

    def _prepare(self, principal: Principal, order: ChatOrder, request_id: str) -> "_Prepared":
        principal.require(Scope.CHAT)
        now = self.clock.now()
        with self.begin() as work:
            # The lock comes before the first read, so that what is read is what the previous turn left.
            free = work.turns.take(order.session_id, request_id, now, now - timedelta(seconds=self.turn_seconds))
            session = work.sessions.get(order.session_id, principal.user_id)
            if not free:
                raise ConversationBusy(retry_after=1)
            deployment = self.models.resolve(order.model or session.model_id)
            principal.require_model(deployment.id)
            recent = work.messages.window(session.id, session.config.history)
            context = assemble(session, recent, order.message, deployment.card.context_window)
        options = {name: value for name, value in session.config.options().items() if name in deployment.options}
        turn = self._turn(session, order.message)
        requested = order.model or session.model_id
        return _Prepared(Order(principal, deployment, requested, context.messages, options, turn), turn, context)

    def _turn(self, session: Session, question: str) -> Turn:
        title = None if session.title else title_from(question)
        return Turn(session.id, self.new_id("msg"), self.new_id("msg"), question, title)

    @contextmanager
    def _lock_released_unless_journalled(self, session_id: str, request_id: str) -> Iterator[None]:
        """A turn that was refused before its OPEN has no record that would release the lock."""
        try:
            yield
        except AccountingUnavailable:
            with suppress(Unavailable), self.begin() as work:
                work.turns.release(session_id, request_id)
            raise


@dataclass(frozen=True, slots=True)
class _Prepared:
    order: Order
    turn: Turn
    context: Context

    def answer(self, outcome: Outcome) -> ChatAnswer:
        return ChatAnswer(
            id=self.turn.answer_id,
            request_id=outcome.request_id,
            session_id=self.turn.session_id,
            content=outcome.text,
            finish_reason=outcome.completion.finish,
            model=self.order.deployment.id,
            usage=outcome.usage,
            cost=outcome.cost,
            context=self.context,
            attempts=outcome.attempts,
            upstream_ms=outcome.upstream_ms,
        )
