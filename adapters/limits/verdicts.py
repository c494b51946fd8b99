"""From what the counters say to a verdict; the same for the counters of Redis and for those of one process."""

from collections.abc import Sequence
from typing import NamedTuple

from application.ports import Share, Verdict

WINDOW = 60
"""Seconds of the tokens' window, which begins with the first call."""

LEASE = 30.0
"""Seconds for which a running call keeps its place without being renewed."""

BY_TOKENS, BY_CONCURRENCY = 1, 2

_TRY_AGAIN = 1.0
"""When a place will be free nobody knows: soon, as a rule."""


class Row(NamedTuple):
    """What was found for one share: its tokens of this minute, the seconds until that ends, and what has no room."""

    used: int
    left: float
    over: int
    tpm: int | None


def verdict_of(shares: Sequence[Share], rows: Sequence[Row], tokens: int) -> Verdict:
    """On a call of `tokens` that the rows do not count yet."""
    over = tuple((index, row.over == BY_TOKENS) for index, row in enumerate(rows) if row.over)
    refused, by_tokens = next((it for it in over if shares[it[0]].enforced), (None, False))
    if refused is None:
        return Verdict(tokens=_left(rows, tokens), over=over)
    wait = rows[refused].left if by_tokens else _TRY_AGAIN
    return Verdict(refused, by_tokens, wait, _left(rows, 0))


def _left(rows: Sequence[Row], tokens: int) -> tuple[tuple[int, int, float], ...]:
    limited = ((index, row, row.tpm) for index, row in enumerate(rows))
    return tuple((index, max(0, tpm - row.used - tokens), row.left) for index, row, tpm in limited if tpm is not None)
