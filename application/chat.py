"""One turn in a session: lock, context, answer, both messages stored together."""

from dataclasses import dataclass
from datetime import timedelta

from application.call import Call
from application.generation import Generation
from application.generations import Generations
from application.in_flight import InFlight
from application.model_ports import Plan, TokenCounter
from application.order import Order, Outcome
from application.ports import Clock, NewId, Signals
from application.records import Turn
from application.routing import Router
from application.store import Begin, UnitOfWork
from application.stream import Stream
from application.summaries import Summaries, reach
from domain.completion import Completion
from domain.context import Context, Window, assemble, outgrown
from domain.errors import ConversationBusy, NotFound
from domain.session import Session, Strategy, title_from
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
    router: Router
    generations: Generations
    in_flight: InFlight
    signals: Signals
    clock: Clock
    new_id: NewId
    summaries: Summaries
    tokens: TokenCounter
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
        try:
            return self._locked_turn(principal, order, call, summary=False)
        except _Outgrown as need:
            self.summaries.renew(principal, need.session, order.message, need.window, call)
            return self._locked_turn(principal, order, call, summary=True)

    def _locked_turn(self, principal: Principal, order: ChatOrder, call: Call, *, summary: bool) -> "_Prepared":
        """`summary` says that the session's summary is as good as it gets."""
        prepared: _Prepared | None = None
        try:
            with self.begin() as work:
                session = self._locked(work, principal, order.session_id, call.request_id)
                prepared = self._opened(work, principal, session, order, call, summary=summary)
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
        self, work: UnitOfWork, principal: Principal, session: Session, order: ChatOrder, call: Call, *, summary: bool
    ) -> "_Prepared":
        """OPEN is journalled before the lock is committed: a lock that outlives its worker has a record to free it.

        The budgets are reserved in the same unit, so that a turn which is refused leaves nothing behind.
        """
        plan = self.router.plan(principal, (order.model or session.model_id,), {}, affinity=session.id)
        context = self._context(work, session, order.message, self._window(plan), summary=summary)
        options = {name: value for name, value in session.config.options().items() if name in plan.first.options}
        turn = self._turn(session, order.message)
        requested = order.model or session.model_id
        paid = Order(principal, plan, requested, context.messages, options, turn, session.conversation)
        return _Prepared(self.generations.open(paid, call, work), turn, context)

    def _context(self, work: UnitOfWork, session: Session, question: str, window: Window, *, summary: bool) -> Context:
        """Raises _Outgrown, and the unit is rolled back then: no transaction is open while a model is called."""
        if session.config.context != Strategy.SUMMARY:
            recent = work.messages.window(session.id, session.config.history)
            return assemble(session, recent, question, window)
        recent = work.messages.window(session.id, reach(session))
        known = work.summaries.get(session.id)
        if not summary and outgrown(session, recent, question, window, known):
            raise _Outgrown(session, window)
        return assemble(session, recent, question, window, known)

    def _window(self, plan: Plan) -> Window:
        """Of the model that is asked first."""
        model = plan.first.id
        size = plan.first.card.context_window
        return Window(size, lambda text: self.tokens.count(model, text), self.tokens.method(model))

    def _turn(self, session: Session, question: str) -> Turn:
        title = None if session.title else title_from(question)
        return Turn(session.id, self.new_id("msg"), self.new_id("msg"), question, title)


class _Outgrown(Exception):
    """The turn needs a summary that there is not yet."""

    def __init__(self, session: Session, window: Window) -> None:
        super().__init__()
        self.session = session
        self.window = window


@dataclass(frozen=True, slots=True)
class _Prepared:
    generation: Generation
    turn: Turn
    context: Context

    def answer(self, outcome: Outcome[Completion]) -> ChatAnswer:
        return ChatAnswer(
            id=self.turn.answer_id,
            request_id=outcome.request_id,
            session_id=self.turn.session_id,
            content=outcome.text,
            finish_reason=outcome.result.finish,
            model=outcome.model,
            usage=outcome.usage,
            cost=outcome.cost,
            context=self.context,
            attempts=outcome.attempts,
            upstream_ms=outcome.upstream_ms,
        )
