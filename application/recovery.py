"""What becomes of a generation whose worker died: an estimate of what had arrived, and a message that says so."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from application.records import Opened, Progressed, Settled
from domain.ledger import Kind, LedgerEntry, State
from domain.tokens import METHOD, estimated
from domain.usage import Usage

Cost = Callable[[str, Usage], int | None]
"""Nano-units for the usage of `provider/model`; None without a price."""

_MILLISECOND = timedelta(milliseconds=1)


def abandoned(opened: Opened, progresses: Sequence[Progressed], now: datetime, cost: Cost) -> Settled:
    """Settle as a partial answer: the prompt and the output of the last progress, both estimated.

    Where no output is known the provider may still have been dialled, so its cost is estimated, as if it had made all
    the images that were ordered; the user got nothing and is charged nothing. `progresses` are in the order of their
    writing.
    """
    final = _entry(opened, progresses, now, cost)
    return Settled(
        request_id=opened.request_id,
        entries=(replace(final, kind=Kind.ATTEMPT, attempt=1), final),
        turn=opened.turn,
        answer="".join(progress.text for progress in progresses),
        complete=False,
        ended_at=now,
        holds=opened.holds,
        lost=True,
    )


def _entry(opened: Opened, progresses: Sequence[Progressed], now: datetime, cost: Cost) -> LedgerEntry:
    output_tokens = progresses[-1].output_tokens if progresses else 0
    usage = replace(estimated(opened.prompt_tokens, output_tokens), images=opened.images)
    model = next((progress.model for progress in reversed(progresses) if progress.model), opened.model)
    billed = cost(model, usage)
    return LedgerEntry(
        request_id=opened.request_id,
        attempt=0,
        kind=Kind.FINAL,
        user_id=opened.user_id,
        key_id=opened.key_id,
        model_requested=opened.model_requested,
        model_used=model,
        provider=model.partition("/")[0],
        usage=usage,
        state=State.ABANDONED,
        started_at=opened.started_at,
        duration_ms=max(0, (now - opened.started_at) // _MILLISECOND),
        cost=billed,
        charged=billed if output_tokens or billed is None else 0,
        price_version=opened.price_version,
        session_id=opened.turn.session_id if opened.turn else opened.session_id,
        estimate_method=METHOD,
        streamed=opened.streamed,
    )
