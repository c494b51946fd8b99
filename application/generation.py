"""One paid call from its OPEN to its FINAL: whatever ends it, it is settled exactly once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from application.admission import Admission, Ask, expected_output
from application.call import Call
from application.facts import TurnSettled
from application.heard import Heard
from application.ports import Clock, Deployment, Journal, Prices, Receipt, Record
from application.records import Opened, Progressed, Settled, Turn
from application.store import UnitOfWork
from domain import tokens
from domain.completion import Completion, Delta, Prompt
from domain.errors import Cancelled, ClientGone, ParleyError, StoppedByUser
from domain.ledger import Kind, LedgerEntry, State
from domain.limits import Hold
from domain.provider_errors import ProviderError
from domain.usage import Source, Usage
from domain.user import Principal

_READ = ("tools", "functions", "response_format", "prediction")
"""Options that the model reads, so that they are paid for like messages."""
_PROGRESS_SECONDS = 0.5
_APPLIED_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Order:
    """A generation that has been prepared."""

    principal: Principal
    deployment: Deployment
    model_requested: str
    messages: Sequence[dict[str, Any]]
    options: dict[str, Any]
    turn: Turn | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A generation that reached its end and is durable."""

    request_id: str
    order: Order
    completion: Completion
    text: str
    usage: Usage
    cost: int | None
    attempts: int
    upstream_ms: int
    started_at: datetime


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
        self._holds: tuple[Hold, ...] = ()
        self._open = False
        self._started_at = books.clock.now()
        self._started = books.clock.monotonic()
        self._heard = Heard(keep=order.turn is not None)
        self._next_report = self._started + _PROGRESS_SECONDS
        read = [order.options[name] for name in _READ if name in order.options]
        self._prompt_tokens = tokens.estimate_prompt(order.messages, read)

    @property
    def attempts(self) -> int:
        """A call that was refused before it was dialled counts as one."""
        return max(1, self.call.cancellation.attempts)

    def prompt(self) -> Prompt:
        order = self.order
        return Prompt(order.deployment.name, order.messages, order.options, self.call.request_id)

    def admit(self, work: UnitOfWork | None) -> None:
        """Raises what `Admission.admit` raises, and then nothing is reserved."""
        order = self.order
        output = expected_output(order.options, order.deployment.card)
        ask = Ask(order.principal, order.deployment.id, self._prompt_tokens, output)
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
                model=order.deployment.id,
                provider=order.deployment.provider,
                prompt_tokens=self._prompt_tokens,
                started_at=self._started_at,
                streamed=self.call.streamed,
                price_version=self._book.version,
                turn=order.turn,
                holds=self._holds,
            )
        )
        self._open = True

    def abandon(self, *, budgets: bool) -> None:
        """It was admitted and could not be opened; `budgets` is False when the caller rolls them back."""
        self.books.admission.abandon(self.call.request_id, self._holds if budgets else ())

    def heard(self, deltas: list[Delta]) -> None:
        now = self.books.clock.monotonic()
        self._heard.add(deltas, now)
        if now >= self._next_report:
            self._next_report = now + _PROGRESS_SECONDS
            progress = Progressed(self.call.request_id, self._heard.tokens, self._heard.unreported())
            self.books.journal.progress(progress)

    def finish(self, completion: Completion) -> Outcome:
        """The provider's answer is complete: settle, then let the last bytes go."""
        upstream_ms = self.elapsed_ms()
        self._heard.add_whole(completion)
        usage = completion.usage or tokens.estimated(self._prompt_tokens, self._heard.tokens)
        return Outcome(
            request_id=self.call.request_id,
            order=self.order,
            completion=completion,
            text=self._heard.text(),
            usage=usage,
            cost=self._settle(State.COMPLETED, usage, completion=completion),
            attempts=self.attempts,
            upstream_ms=upstream_ms,
            started_at=self._started_at,
        )

    def cut(self, error: BaseException) -> None:
        """It ended early, by whichever side: what had arrived is kept, counted and billed."""
        if isinstance(error, ProviderError):
            error.provider = self.order.deployment.provider
        if not self._open:
            return
        heard = self._heard.tokens
        state = State.PARTIAL if heard else State.FAILED
        self._settle(state, self._so_far(heard) if heard else Usage(), error=_reason(error))

    def _so_far(self, heard: int) -> Usage:
        """The provider's count where there is one. Some fill in zeros until the end: output that was heard is not 0."""
        counted = self.call.cancellation.counted
        return counted if counted and counted.completion_tokens else tokens.estimated(self._prompt_tokens, heard)

    def _settle(
        self,
        state: State,
        usage: Usage,
        *,
        completion: Completion | None = None,
        error: ParleyError | None = None,
    ) -> int | None:
        self._open = False
        cost = 0 if usage.source is Source.NONE else self._book.cost(self.order.deployment.id, usage)
        entries = self._entries(state, usage, cost, error)
        try:
            receipt = self._journal_end(entries, completion, error)
        finally:
            self.books.admission.settle(self.call.request_id, usage.total_tokens)
        if self.order.turn is not None and not isinstance(error, ClientGone):
            receipt.wait_applied(_APPLIED_SECONDS)
        self._record_fact(entries[-1])
        return cost

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
            )
        )

    def _entries(
        self, state: State, usage: Usage, cost: int | None, error: ParleyError | None
    ) -> tuple[LedgerEntry, ...]:
        """One row per attempt, of which only the last can have used anything, and the final row."""
        attempts = self.attempts
        lost = [
            self._entry(Kind.ATTEMPT, number, State.FAILED, Usage(), 0, "upstream_retried")
            for number in range(1, attempts)
        ]
        code = error.code if error else None
        last = self._entry(Kind.ATTEMPT, attempts, state, usage, cost, code)
        return (*lost, last, self._entry(Kind.FINAL, 0, state, usage, cost, code))

    def _entry(
        self, kind: Kind, attempt: int, state: State, usage: Usage, cost: int | None, error_code: str | None
    ) -> LedgerEntry:
        order = self.order
        first = self._heard.first_at
        return LedgerEntry(
            request_id=self.call.request_id,
            attempt=attempt,
            kind=kind,
            user_id=order.principal.user_id,
            key_id=order.principal.key_id,
            model_requested=order.model_requested,
            model_used=order.deployment.id,
            provider=order.deployment.provider,
            usage=usage,
            state=state,
            started_at=self._started_at,
            duration_ms=self.elapsed_ms(),
            cost=cost,
            charged=cost if kind is Kind.FINAL else None,
            price_version=self._book.version,
            session_id=order.turn.session_id if order.turn else None,
            estimate_method=tokens.METHOD if usage.source is Source.ESTIMATED else None,
            error_code=error_code,
            first_token_ms=None if first is None else round((first - self._started) * 1000),
            streamed=self.call.streamed,
        )

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
