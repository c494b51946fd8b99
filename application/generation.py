"""One paid call from its OPEN to its FINAL: whatever ends it, it is settled exactly once."""

from typing import Protocol

from application.admission import Admission, Ask, expected_output
from application.bill import Bill, End
from application.call import Call
from application.dispatch import Dispatch
from application.facts import TurnSettled
from application.heard import Heard
from application.order import Order, Outcome, Result
from application.ports import Clock, Journal, Prices, Receipt, Record
from application.records import Opened, Progressed, Settled
from application.store import UnitOfWork
from domain import tokens
from domain.completion import Completion, Delta, Prompt
from domain.errors import Cancelled, ClientGone, ParleyError, StoppedByUser
from domain.ledger import LedgerEntry, State
from domain.limits import Hold
from domain.provider_errors import ContentFiltered, ProviderError
from domain.usage import Usage

_PROGRESS_SECONDS = 0.5
_APPLIED_SECONDS = 2.0
_NO_TEXT = Completion("", "stop")


class Books(Protocol):
    """What a generation is booked with."""

    @property
    def journal(self) -> Journal: ...
    @property
    def prices(self) -> Prices: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def record(self) -> Record: ...
    @property
    def admission(self) -> Admission: ...


class Generation:
    """The state of one generation: O(1) per stream, except for the text of a session's answer.

    The prices that were in force when it began are those that it is billed by.
    """

    def __init__(self, books: Books, order: Order, call: Call) -> None:
        self.books = books
        self.order = order
        self.call = call
        self._book = books.prices.book
        self.cached_model = ""
        """`provider/model` of an answer that comes from the cache."""
        self._holds: tuple[Hold, ...] = ()
        self._open = False
        self._started_at = books.clock.now()
        self._started = books.clock.monotonic()
        self._heard = Heard(keep=order.turn is not None or order.session_id is not None)
        self._next_report = self._started + _PROGRESS_SECONDS
        self._prompt_tokens = tokens.estimate_call(order.messages, order.options)

    @property
    def running(self) -> bool:
        """It was opened, and is not settled."""
        return self._open

    @property
    def attempts(self) -> int:
        """The calls that were made to providers so far."""
        return len(self.call.cancellation.attempts)

    @property
    def model(self) -> str:
        """`provider/model` of whoever answers; before anyone does, of whoever is tried, or will be first."""
        attempts = self.call.cancellation.attempts
        return attempts[-1].model if attempts else self.cached_model or self.order.plan.first.id

    @property
    def dispatch(self) -> Dispatch:
        return Dispatch(self.order.plan, self._prompt_tokens, self.order.hints)

    def prompt(self) -> Prompt:
        order, user = self.order, self.order.principal.user_id
        sent = order.messages, order.options, self.call.request_id
        return Prompt(order.plan.first.name, *sent, user, order.conversation, order.plan.affinity)

    def admit(self, work: UnitOfWork | None) -> None:
        """Raises what `Admission.admit` raises, and then nothing is reserved."""
        order, deployments = self.order, self.order.plan.deployments
        output = order.output_tokens
        if output is None:
            output = max(expected_output(order.options, deployment.card) for deployment in deployments)
        models = [deployment.id for deployment in deployments]
        ask = Ask(order.principal, models, self._prompt_tokens, output, order.images)
        self._holds = self.books.admission.admit(ask, self.call, work)

    def open(self) -> None:
        """Journal OPEN: from here on the call is accounted for, even if this process dies."""
        order = self.order
        self.books.journal.open(
            Opened(
                request_id=self.call.request_id,
                user_id=order.principal.user_id,
                key_id=order.principal.key_id,
                model_requested=order.model_requested,
                model=order.plan.first.id,
                provider=order.plan.first.provider,
                prompt_tokens=self._prompt_tokens,
                started_at=self._started_at,
                streamed=self.call.streamed,
                price_version=self._book.version,
                turn=order.turn,
                holds=self._holds,
                images=order.images,
                session_id=order.session_id,
            )
        )
        self._open = True

    def abandon(self, *, budgets: bool) -> None:
        """It was admitted and could not be opened; `budgets` is False when the caller rolls them back."""
        self.books.admission.abandon(self.call.request_id, self._holds if budgets else ())

    def heard(self, deltas: list[Delta]) -> None:
        """Output of a provider, that is billed whatever becomes of it."""
        if not self.cached_model:
            self._heard.add(deltas, self.books.clock.monotonic())

    def received(self, completion: Completion) -> None:
        """A whole answer, that is billed whatever becomes of it."""
        self._heard.add_whole(completion)
        self.call.cancellation.counted = completion.usage

    def show(self, deltas: list[Delta]) -> None:
        """What of the answer the client gets, of that which was heard last."""
        heard = self._heard
        if heard.keeps:
            for delta in deltas:
                heard.show(delta.text)
        if heard.at >= self._next_report:
            self._next_report = heard.at + _PROGRESS_SECONDS
            model = self.model
            other = "" if model == self.order.plan.first.id else model
            self.books.journal.progress(Progressed(self.call.request_id, heard.tokens, heard.unreported(), other))

    def finish(self, completion: Completion) -> Outcome[Completion]:
        """The answer is complete: settle, then let the last bytes go.

        One without a word in it that nobody counted costs nothing, as one that failed before its first.
        """
        upstream_ms = self.elapsed_ms()
        if completion.choices:
            self._heard.show(completion.text)
        nothing = completion.usage is None and not self._heard.tokens
        usage = Usage() if self.cached_model or nothing else completion.usage
        return self._finished(completion, usage, upstream_ms, completion)

    def deliver(self, result: Result, usage: Usage | None) -> Outcome[Result]:
        """As `finish`, of what is no text; without a count its prompt alone is estimated."""
        return self._finished(result, usage, self.elapsed_ms())

    def _finished(
        self, result: Result, usage: Usage | None, upstream_ms: int, completion: Completion | None = None
    ) -> Outcome[Result]:
        counted = usage or tokens.estimated(self._prompt_tokens, self._heard.tokens)
        gone = self.call.cancellation.left
        state, error = (State.PARTIAL, ClientGone()) if gone else (State.COMPLETED, None)
        final = self._settle(state, counted, completion=completion or _NO_TEXT, error=error)
        return Outcome(
            request_id=self.call.request_id,
            result=result,
            model=self.model,
            text=self._heard.text(),
            usage=final.usage,
            cost=final.charged,
            attempts=self.attempts,
            upstream_ms=upstream_ms,
            started_at=self._started_at,
            cache_hit=bool(self.cached_model),
        )

    def cut(self, error: BaseException, owed: Usage | None = None) -> None:
        """It ended early, by whichever side: what had arrived is kept, counted and billed.

        `owed` is what a provider has counted of all of it, or of something else than text that never got whole.
        """
        if isinstance(error, ProviderError) and error.provider is None:
            error.provider = self.model.partition("/")[0]
        if not self._open:
            return
        usage = owed or self._owed(error)
        state = State.FAILED if usage is None else State.PARTIAL
        self._settle(state, usage or Usage(), error=_reason(error))

    def _owed(self, error: BaseException) -> Usage | None:
        """For what was heard; where that is nothing, for a prompt that the provider read, counted and blocked."""
        counted, heard = self.call.cancellation.counted, self._heard.tokens
        if heard:
            return tokens.owed_so_far(counted, self._prompt_tokens, heard)
        return counted if isinstance(error, ContentFiltered) else None

    def _settle(
        self,
        state: State,
        usage: Usage,
        *,
        completion: Completion | None = None,
        error: ParleyError | None = None,
    ) -> LedgerEntry:
        """The final row: of an answer in several pieces it has the count of the whole."""
        self._open = False
        entries = self._entries(state, usage, error)
        final = entries[-1]
        try:
            receipt = self._journal_end(entries, completion, error)
        finally:
            self.books.admission.settle(self.call.request_id, final.usage.total_tokens)
        if self.order.turn is not None and not isinstance(error, ClientGone):
            receipt.wait_applied(_APPLIED_SECONDS)
        self._record_fact(final)
        return final

    def _journal_end(
        self, entries: tuple[LedgerEntry, ...], completion: Completion | None, error: ParleyError | None
    ) -> Receipt:
        return self.books.journal.settle(
            Settled(
                self.call.request_id,
                entries,
                turn=self.order.turn,
                answer=self._heard.text(),
                finish_reason=completion.finish if completion else _finish_of(error),
                complete=completion is not None,
                ended_at=self.books.clock.now(),
                holds=self._holds,
                conversation=self._kept(completion) if completion else "",
            )
        )

    def _kept(self, completion: Completion) -> str:
        provider = self.model.partition("/")[0]
        return f"{provider}:{completion.conversation}" if completion.conversation else ""

    def _entries(self, state: State, usage: Usage, error: ParleyError | None) -> tuple[LedgerEntry, ...]:
        order, first = self.order, self._heard.first_at
        bill = Bill(
            self.call.request_id,
            order.principal,
            order.model_requested,
            self._book,
            self._started_at,
            self._started,
            session_id=order.turn.session_id if order.turn else order.session_id,
            streamed=self.call.streamed,
        )
        code, now = error.code if error else None, self.books.clock.monotonic()
        end = End(state, usage, code, now, first, cache_hit=bool(self.cached_model))
        return bill.entries(self.call.cancellation.attempts, self.model, end)

    def _record_fact(self, final: LedgerEntry) -> None:
        first = final.first_token_ms
        self.books.record(
            TurnSettled(
                request_id=final.request_id,
                provider=final.provider,
                model=final.model_used,
                state=final.state,
                outcome=final.error_code or "ok",
                streamed=final.streamed,
                seconds=final.duration_ms / 1000,
                first_token_seconds=None if first is None else first / 1000,
                prompt_tokens=final.usage.prompt_tokens,
                completion_tokens=final.usage.completion_tokens,
                source=final.usage.source,
                cost=final.cost,
                attempts=self.attempts,
            )
        )

    def elapsed_ms(self) -> int:
        """Since OPEN."""
        return round((self.books.clock.monotonic() - self._started) * 1000)


def _finish_of(error: ParleyError | None) -> str:
    if isinstance(error, StoppedByUser):
        return "stopped"
    return "cancelled" if isinstance(error, Cancelled) else "error"


def _reason(error: BaseException) -> ParleyError:
    """A greenlet that is ended (GeneratorExit, GreenletExit) has lost its client; other surprises are our own fault."""
    if isinstance(error, ParleyError):
        return error
    return ParleyError() if isinstance(error, Exception) else ClientGone()
