"""The ledger beside the bills of the providers, attempt by attempt.

Where a provider told what it counts, the two must be equal to the token. What nobody told is apart: estimates, which
may be wrong within a bound, and what a provider bills although the gateway can have heard nothing of it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Bill = dict[str, Any]
Prices = Mapping[str, tuple[int, int, int]]
"""Of `provider/model`: nano-units per token of input, of cached input, of output."""

_UNCOUNTED = frozenset({"no-usage"})
"""Models that never tell what they count."""
_CLIENT_SIDE = frozenset({"client_gone", "server_shutting_down"})


@dataclass
class Reconciliation:
    """`wrong` is what must be empty. Sums are tokens: of the ledger, and of the bills."""

    wrong: list[str] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    ledger: Counter[str] = field(default_factory=Counter)
    billed: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    charged: int = 0

    def lines(self) -> list[str]:
        told = [
            f"{kind:<10} {self.attempts[kind]:>5} attempts {self.ledger[kind]:>8} tokens in the ledger"
            f" {self.billed[kind]:>8} billed"
            for kind in ("exact", "estimated", "abandoned", "free", "unheard")
        ]
        states = ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))
        return [f"requests: {states}", *told, f"charged: {self.charged / 1e9:.9f}"]

    def note(self, kind: str, ledger: int, billed: int) -> None:
        self.attempts[kind] += 1
        self.ledger[kind] += ledger
        self.billed[kind] += billed


def reconcile(rows: Sequence[Any], bills: Mapping[str, Iterable[Bill]], prices: Prices) -> Reconciliation:
    """`rows` of the ledger; `bills` by the name of the provider."""
    found = Reconciliation()
    by_request: dict[str, list[Any]] = {}
    for row in rows:
        by_request.setdefault(row.request_id, []).append(row)
    owed: dict[str, list[Bill]] = {}
    for provider, theirs in bills.items():
        for bill in theirs:
            owed.setdefault(bill["id"], []).append({**bill, "model": f"{provider}/{bill['model']}"})
    for request_id in owed.keys() - by_request.keys():
        found.wrong.append(f"{request_id}: served, and not in the ledger")
    for request_id, its_rows in by_request.items():
        its_bills = sorted(owed.get(request_id, []), key=lambda bill: float(bill["began_at"]))
        _request(found, request_id, its_rows, its_bills, prices)
    return found


def _request(found: Reconciliation, request_id: str, rows: list[Any], bills: list[Bill], prices: Prices) -> None:
    finals = [row for row in rows if row.kind == "final"]
    attempts = sorted((row for row in rows if row.kind == "attempt"), key=lambda row: int(row.attempt))
    if len(finals) != 1 or len({row.attempt for row in attempts}) != len(attempts):
        found.wrong.append(f"{request_id}: {len(finals)} final rows, attempts {[row.attempt for row in attempts]}")
        return
    (final,) = finals
    found.states[final.state] += 1
    found.charged += final.charged or 0
    if final.state == "abandoned":
        _abandoned(found, final, bills)
    else:
        for row in attempts:
            _attempt(found, row, _taken(bills, row.model_used), final)
        found.wrong += [f"{request_id}: {bill['model']} was called and has no row" for bill in bills]
    _money(found, final, attempts, prices)


def _taken(bills: list[Bill], model: str) -> Bill | None:
    """The first that is left of this model."""
    bill = next((bill for bill in bills if bill["model"] == model), None)
    if bill is not None:
        bills.remove(bill)
    return bill


def _attempt(found: Reconciliation, row: Any, bill: Bill | None, final: Any) -> None:
    where = f"{row.request_id} attempt {row.attempt} ({row.model_used}, {row.state}, {row.error_code})"
    ours, theirs = _of(row), (0, 0) if bill is None else tuple(bill["billed"])
    if row.source == "provider":
        found.note("exact", sum(ours), sum(theirs))
        if ours != theirs:
            found.wrong.append(f"{where}: {ours} in the ledger, {theirs} billed")
    elif row.source == "estimated":
        found.note("estimated", sum(ours), sum(theirs))
        left = row.error_code in _CLIENT_SIDE  # and what the provider had sent by then, nobody read
        if bill is None or not _is_bounded(ours, theirs) or not (left or _is_bounded(theirs, ours)):
            found.wrong.append(f"{where}: {ours} estimated, {theirs} billed")
        elif _told_all(bill) and final.state == "completed":
            found.wrong.append(f"{where}: estimated, although the provider told what it counted")
    elif sum(theirs) == 0:
        found.note("free", sum(ours), 0)
    else:
        found.note("unheard", sum(ours), sum(theirs))
        if bill is None or (bill["ended"] == "complete" and final.error_code not in _CLIENT_SIDE):
            found.wrong.append(f"{where}: nothing in the ledger, {theirs} billed")


def _abandoned(found: Reconciliation, final: Any, bills: list[Bill]) -> None:
    """Its worker died: of its attempts the journal had the last report, at most.

    Of a prompt that nobody billed only our estimate is there, as long as its session's history.
    """
    ours = _of(final)
    theirs = sum(bill["billed"][0] for bill in bills), sum(bill["billed"][1] for bill in bills)
    found.note("abandoned", sum(ours), sum(theirs))
    known = ours if theirs[0] else (0, ours[1])
    if not _is_bounded(known, theirs):
        found.wrong.append(f"{final.request_id}: {ours} estimated after its worker died, {theirs} billed")


def _money(found: Reconciliation, final: Any, attempts: list[Any], prices: Prices) -> None:
    for row in [*attempts, final]:
        expected = _cost(row, prices) if row.kind == "attempt" else sum(_cost(it, prices) for it in attempts)
        if row.cost != expected:
            found.wrong.append(f"{row.request_id} {row.kind} {row.attempt}: costs {row.cost}, not {expected}")
    unheard = final.state == "abandoned" and final.output + final.reasoning == 0
    expected = 0 if unheard else _cost(final, prices)
    if final.charged != expected:
        found.wrong.append(f"{final.request_id}: charged {final.charged}, not {expected}")


def _of(row: Any) -> tuple[int, int]:
    return row.input + row.cached_input + row.cache_write, row.output + row.reasoning


def _cost(row: Any, prices: Prices) -> int:
    if row.source == "none":
        return 0
    fresh, cached, written = prices[row.model_used]
    return int(
        (row.input + row.cache_write) * fresh + row.cached_input * cached + (row.output + row.reasoning) * written
    )


def _is_bounded(tokens: tuple[int, ...], others: tuple[int, ...]) -> bool:
    """A token of the script is a word, four characters are one of the estimate; of a cut stream some is on its way."""
    return all(mine <= 3 * other + 30 for mine, other in zip(tokens, others, strict=True))


def _told_all(bill: Bill) -> bool:
    return bill["ended"] == "complete" and bill["model"].partition("/")[2] not in _UNCOUNTED
