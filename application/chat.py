"""One turn in a session: lock, context, answer, both messages stored together."""

from dataclasses import dataclass
from datetime import timedelta

from application.call import Call
from application.generation import Generation, Order, Outcome
from application.generations import Generations, Stream
from application.in_flight import InFlight
from application.ports import Clock, Models, NewId, Signals
from application.records import Turn
from application.store import Begin, UnitOfWork
from domain.errors import ConversationBusy, NotFound
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
        """Raises ConversationBusy while another turn of the session runs, NotFound for a foreign session.

        Raises RateLimited, BudgetExceeded and ModelUnpriced as well, and the session is then as it was.
        """
        prepared = self._prepare(principal, order, call)
        return prepared.answer(self.generations.complete(prepared.generation))

    def stream(self, principal: Principal, order: ChatOrder, call: Call) -> Stream[ChatAnswer]:
        """As `send`; what goes wrong after the first event is raised by the stream."""
        prepared = self._prepare(principal, order, call)
        return self.generations.stream(prepared.generation, prepared.answer)

    def stop(self, principal: Principal, request_id: str) -> None:
        """End a running turn, on whichever worker it runs. Raises NotFound unless it is the caller's and running."""
        with self.begin() as work:
            session_id = work.turns.session_of(request_id, principal.user_id)
        if session_id is None:
            raise NotFound
        if not self.in_flight.stop(request_id):
            self.signals.publish(request_id)

    def _prepare(self, principal: Principal, order: ChatOrder, call: Call) -> "_Prepared":
        principal.require(Scope.CHAT)
        principal.require_person()
        prepared: _Prepared | None = None
        try:
            with self.begin() as work:
                session = self._locked(work, principal, order.session_id, call.request_id)
                prepared = self._opened(work, principal, session, order, call)
        except BaseException as error:
            if prepared is not None:  # the lock was not taken after all
                prepared.generation.cut(error)
            raise
        return prepared

    def _locked(self, work: UnitOfWork, principal: Principal, session_id: str, request_id: str) -> Session:
        """The lock comes before the first read, so that what is read is what the previous turn left."""
        now = self.clock.now()
        free = work.turns.take(session_id, request_id, now, now - timedelta(seconds=self.turn_seconds))
        session = work.sessions.get(session_id, principal.user_id)
        if not free:
            raise ConversationBusy(retry_after=1)
        return session

    def _opened(
        self, work: UnitOfWork, principal: Principal, session: Session, order: ChatOrder, call: Call
    ) -> "_Prepared":
        """OPEN is journalled before the lock is committed: a lock that outlives its worker has a record to free it.

        The budgets are reserved in the same unit, so that a turn which is refused leaves nothing behind.
        """
        deployment = self.models.resolve(order.model or session.model_id)
        principal.require_model(deployment.id)
        recent = work.messages.window(session.id, session.config.history)
        context = assemble(session, recent, order.message, deployment.card.context_window)
        options = {name: value for name, value in session.config.options().items() if name in deployment.options}
        turn = self._turn(session, order.message)
        requested = order.model or session.model_id
        paid = Order(principal, deployment, requested, context.messages, options, turn)
        return _Prepared(self.generations.open(paid, call, work), turn, context)

    def _turn(self, session: Session, question: str) -> Turn:
        title = None if session.title else title_from(question)
        return Turn(session.id, self.new_id("msg"), self.new_id("msg"), question, title)


@dataclass(frozen=True, slots=True)
class _Prepared:
    generation: Generation
    turn: Turn
    context: Context

    def answer(self, outcome: Outcome) -> ChatAnswer:
        return ChatAnswer(
            id=self.turn.answer_id,
            request_id=outcome.request_id,
            session_id=self.turn.session_id,
            content=outcome.text,
            finish_reason=outcome.completion.finish,
            model=outcome.order.deployment.id,
            usage=outcome.usage,
            cost=outcome.cost,
            context=self.context,
            attempts=outcome.attempts,
            upstream_ms=outcome.upstream_ms,
        )
