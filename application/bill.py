"""The ledger rows of one call: one for each attempt at a provider, and the final one, which the user pays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from application.cancellation import Attempt
from domain import tokens
from domain.ledger import Kind, LedgerEntry, State
from domain.usage import PriceBook, Source, Usage
from domain.user import Principal


@dataclass(frozen=True, slots=True)
class End:
    """How the last attempt ended, and with it the call. `at` and `first_at` (the first event) are monotonic."""

    state: State
    usage: Usage
    code: str | None
    at: float
    first_at: float | None
    cache_hit: bool = False


@dataclass(frozen=True, slots=True)
class Bill:
    """What all rows of a call have in common. `started` is the monotonic moment of `started_at`."""

    request_id: str
    principal: Principal
    model_requested: str
    book: PriceBook
    started_at: datetime
    started: float
    session_id: str | None = None
    streamed: bool = False

    def entries(self, attempts: Sequence[Attempt], model: str, end: End) -> tuple[LedgerEntry, ...]:
        """The final row comes last. `model` is who would have been called, for a call that never was.

        An attempt that failed before anything was heard costs nothing. One that another took over in the middle of
        its answer is billed to us like the one that ended the answer; the user pays the prompt once.
        """
        rows = [self._lost(number, attempt) for number, attempt in enumerate(attempts[:-1], 1)]
        model = attempts[-1].model if attempts else model
        if attempts or end.usage.source is not Source.NONE:  # what was used was used by somebody
            rows.append(self._row(Kind.ATTEMPT, max(1, len(attempts)), model, end))
        return (*rows, self._final(attempts[:-1], rows, model, end))

    def _lost(self, number: int, attempt: Attempt) -> LedgerEntry:
        usage = attempt.usage or Usage()
        state = State.FAILED if attempt.usage is None else State.PARTIAL
        at = self.started if attempt.ended is None else attempt.ended
        return self._row(Kind.ATTEMPT, number, attempt.model, End(state, usage, attempt.code, at, None))

    def _final(self, lost: Iterable[Attempt], rows: Sequence[LedgerEntry], model: str, end: End) -> LedgerEntry:
        earlier = [attempt.usage for attempt in lost if attempt.usage is not None]
        whole = End(end.state, _once(earlier, end.usage), end.code, end.at, end.first_at, end.cache_hit)
        final = self._row(Kind.FINAL, 0, model, whole)
        return replace(final, cost=_total(row.cost for row in rows), charged=final.cost)

    def _row(self, kind: Kind, number: int, model: str, end: End) -> LedgerEntry:
        usage = end.usage
        return LedgerEntry(
            request_id=self.request_id,
            attempt=number,
            kind=kind,
            user_id=self.principal.user_id,
            key_id=self.principal.key_id,
            model_requested=self.model_requested,
            model_used=model,
            provider=model.partition("/")[0],
            usage=usage,
            state=end.state,
            started_at=self.started_at,
            duration_ms=self._ms(end.at),
            cost=0 if usage.source is Source.NONE else self.book.cost(model, usage),
            price_version=self.book.version,
            session_id=self.session_id,
            estimate_method=tokens.METHOD if usage.source is Source.ESTIMATED else None,
            error_code=end.code,
            first_token_ms=None if end.first_at is None else self._ms(end.first_at),
            streamed=self.streamed,
            cache_hit=end.cache_hit,
        )

    def _ms(self, at: float) -> int:
        return max(0, round((at - self.started) * 1000))


def _once(earlier: Sequence[Usage], last: Usage) -> Usage:
    """One answer out of several pieces: the prompt as it was sent first, and the output of all."""
    if not earlier:
        return last
    first = earlier[0]
    return Usage(
        first.input,
        first.cached_input,
        first.cache_write,
        last.output + sum(usage.output for usage in earlier),
        last.reasoning + sum(usage.reasoning for usage in earlier),
        Source.ESTIMATED,
        last.images,
    )


def _total(costs: Iterable[int | None]) -> int | None:
    total = 0
    for cost in costs:
        if cost is None:
            return None
        total += cost
    return total
