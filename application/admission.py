"""May this call be made? Tokens per minute, concurrency and budgets: reserved before the provider is dialled.

Every reservation is tied to the request id, so that releasing and settling it twice does no harm.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NoReturn

from application.admin_store import Claim
from application.call import Call, TokenStanding
from application.claims import Wanted, wanted
from application.contention import at_once, patiently
from application.facts import LimiterFailed, LimitHit
from application.outage import Allowance
from application.ports import Capacity, Clock, Prices, Record, Share, Verdict
from application.store import Begin, UnitOfWork
from domain.completion import ModelCard, output_limit
from domain.errors import DatabaseUnavailable, ModelUnpriced, RateLimited, Unavailable
from domain.limits import NO_LIMITS, Bound, Hold, Kind
from domain.usage import Usage
from domain.user import Principal

DEFAULT_OUTPUT = 1_024
"""Tokens that an answer is reckoned with whose caller set no `max_tokens`; less where the model cannot make as many."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a call is expected to need: an estimate of its prompt, and the most it may answer."""

    principal: Principal
    models: Sequence[str]
    """All that may come to answer: what is reserved is enough for the dearest of them."""
    prompt_tokens: int
    output_tokens: int
    images: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


@dataclass(slots=True)
class Defaults:
    """For subjects without limits of their own; `shadow` measures everywhere and refuses nowhere.

    They may change while calls run: each call is admitted by those that are in force then.
    """

    tpm: int | None = None
    concurrency: int | None = None
    shadow: bool = False
    outage_cap: int = 1_000_000_000
    """Nano-units that one key may spend per worker while the database is away."""
    workers: int = 1
    """Of all machines together: each may then spend its part of what was left of a budget."""


def expected_output(options: Mapping[str, Any], card: ModelCard) -> int:
    """The most tokens that a call with these options may answer, or the usual number where it named none."""
    most = output_limit(options)
    if most is None:
        most = min(card.max_output or DEFAULT_OUTPUT, DEFAULT_OUTPUT)
    return most * int(options.get("n") or 1)


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Admission:
    """`database_away` tells without asking the database; `pause` is short and never twice the same.

    Both are for the worst hour: the first decides whether keys without budgets spend from their allowance, the second
    lies between two tries at a busy database.
    """

    begin: Begin
    capacity: Capacity
    prices: Prices
    clock: Clock
    record: Record
    defaults: Defaults = field(default_factory=Defaults)
    database_away: Callable[[], bool] = _never
    pause: Callable[[], object] = at_once
    allowance: Allowance = field(default_factory=Allowance)

    def admit(self, ask: Ask, call: Call, work: UnitOfWork | None = None) -> tuple[Hold, ...]:
        """Reserve what the call needs; `work` is the caller's open unit, without one it takes its own.

        Raises RateLimited (tokens, concurrency), BudgetExceeded, ModelUnpriced and Unavailable; nothing is reserved
        then, provided the caller rolls `work` back. Sets `call.standing`.
        """
        self._reserve_capacity(ask, call)
        try:
            return self._reserve_budgets(ask, call.request_id, work)
        except BaseException:
            self.settle(call.request_id, 0)
            raise

    def abandon(self, request_id: str, holds: Sequence[Hold]) -> None:
        """Give back what a call reserved that never got to its journal. Never raises."""
        self.settle(request_id, 0)
        if holds:
            with suppress(Unavailable), self.begin() as work:  # what stays is swept
                work.budgets.release(request_id)

    def settle(self, request_id: str, tokens: int) -> None:
        """The call is over. Its budgets are settled with its ledger rows; this is for tokens and concurrency."""
        try:
            self.capacity.settle(request_id, tokens)
        except Exception as error:  # noqa: BLE001 - a broken limiter must not break the API
            self.record(LimiterFailed(type(error).__name__))

    # ── tokens per minute, concurrency ───────────────────────────────────────────────────────────────────────────

    def _reserve_capacity(self, ask: Ask, call: Call) -> None:
        bounds = self._limited(ask.principal)
        if not bounds:
            return
        shares = [self._share(bound) for bound in bounds]
        try:
            verdict = self.capacity.reserve(call.request_id, shares, ask.tokens)
        except Exception as error:  # noqa: BLE001 - as in `settle`
            self.record(LimiterFailed(type(error).__name__))
            return
        call.standing = _tightest(shares, verdict)
        if verdict.refused is not None:
            self._refuse(ask, bounds[verdict.refused], verdict)
        for index, by_tokens in verdict.over:
            self._hit(bounds[index], "tokens" if by_tokens else "concurrency", shadow=True)

    def _limited(self, principal: Principal) -> list[Bound]:
        """Whoever has such a limit; the credential has the defaults where it has no number of its own."""
        own, defaults = NO_LIMITS, self.defaults
        others = []
        for bound in principal.bounds:
            if bound.kind is Kind.KEY:
                own = bound.limits
            elif bound.limits.tpm is not None or bound.limits.concurrency is not None:
                others.append(bound)
        tpm = defaults.tpm if own.tpm is None else own.tpm
        concurrency = defaults.concurrency if own.concurrency is None else own.concurrency
        if tpm is None and concurrency is None:
            return others
        limits = replace(own, tpm=tpm, concurrency=concurrency)
        return [Bound(Kind.KEY, principal.key_id, limits), *others]

    def _share(self, bound: Bound) -> Share:
        limits = bound.limits
        return Share(f"{bound.kind}:{bound.id}", limits.tpm, limits.concurrency, self._enforced(bound))

    def _refuse(self, ask: Ask, bound: Bound, verdict: Verdict) -> NoReturn:
        limits, wait = bound.limits, max(1, math.ceil(verdict.retry_after))
        if verdict.by_tokens:
            metric = "tokens"
            said = (
                f"may use {limits.tpm:,} tokens per minute and has not the {ask.tokens:,} left that this call may take"
            )
        else:
            metric = "concurrency"
            said = f"may make {limits.concurrency:,} calls at the same time and is making them"
        self._hit(bound, metric, shadow=False)
        raise RateLimited(f"{_who(bound, ask.principal)} {said}. Try again in {wait} s.", retry_after=wait)

    # ── budgets ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _reserve_budgets(self, ask: Ask, request_id: str, work: UnitOfWork | None) -> tuple[Hold, ...]:
        if not any(bound.limits.budgets for bound in ask.principal.bounds):
            self._spend_unasked(ask)
            return ()
        now = self.clock.now()
        asked = wanted(ask.principal, self._cost(ask), ask.tokens, now, shadow=self.defaults.shadow)
        self._require_prices(asked)
        if work is not None:
            self._claim(work, request_id, asked, now)
        else:
            self._claim_alone(ask, request_id, asked, now)
        return tuple(it.claim.hold for it in asked)

    def _cost(self, ask: Ask) -> int | None:
        """As the bill will be made, rounding included; None when one of the models has no price."""
        usage = Usage(input=ask.prompt_tokens, output=ask.output_tokens, images=ask.images)
        costs = [self.prices.book.cost_at_most(model, usage) for model in ask.models]
        return None if None in costs else max(cost for cost in costs if cost is not None)

    def _require_prices(self, asked: Sequence[Wanted]) -> None:
        for it in asked:
            if not it.priced:
                self._hit(it.bound, "budget", shadow=not it.claim.enforced)
                if it.claim.enforced:
                    raise ModelUnpriced(param="model")

    def _claim(self, work: UnitOfWork, request_id: str, asked: Sequence[Wanted], now: datetime) -> None:
        """Raises BudgetExceeded for the first enforced budget without room; the unit has to be rolled back then."""
        claims = [it.claim for it in asked]
        rests = work.budgets.reserve(request_id, claims, now)
        self.allowance.answered()
        short = [(it, rest) for it, rest in zip(asked, rests, strict=True) if rest < 0]
        refused = next(((it, rest) for it, rest in short if it.claim.enforced), None)
        if refused is not None:
            self._learn(claims, [rest + claim.hold.amount for rest, claim in zip(rests, claims, strict=True)])
            self._hit(refused[0].bound, "budget", shadow=False)
            raise refused[0].refusal(refused[1], now)
        self._learn(claims, rests)
        for it, _ in short:
            self._hit(it.bound, "budget", shadow=True)

    def _learn(self, claims: Sequence[Claim], rests: Sequence[int]) -> None:
        self.allowance.learn(claims, [rest // self.defaults.workers for rest in rests])

    def _claim_alone(self, ask: Ask, request_id: str, asked: Sequence[Wanted], now: datetime) -> None:
        try:
            patiently(lambda: self._claim_once(request_id, asked, now), self.pause)
        except DatabaseUnavailable:
            if not self._allowed(ask, [it.claim for it in asked if it.claim.enforced]):
                raise

    def _claim_once(self, request_id: str, asked: Sequence[Wanted], now: datetime) -> None:
        with self.begin() as work:
            self._claim(work, request_id, asked, now)

    def _spend_unasked(self, ask: Ask) -> None:
        """Without budgets nobody asks the database, so that nobody learns from it that it is away either."""
        if not self.database_away():
            self.allowance.answered()
        elif not self._allowed(ask, ()):
            raise DatabaseUnavailable

    def _allowed(self, ask: Ask, claims: Sequence[Claim]) -> bool:
        cap = self.defaults.outage_cap
        return self.allowance.take(ask.principal.key_id, self._cost(ask) or 0, cap, claims) or self.defaults.shadow

    # ── both ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _enforced(self, bound: Bound) -> bool:
        return not (self.defaults.shadow or bound.limits.shadow)

    def _hit(self, bound: Bound, metric: str, *, shadow: bool) -> None:
        self.record(LimitHit(bound.kind, metric, shadow))


def _tightest(shares: Sequence[Share], verdict: Verdict) -> TokenStanding | None:
    """Of the limits on tokens that are enforced, the one of which the smallest part is left."""
    standings = [
        TokenStanding(tpm, left, max(1, math.ceil(reset)))
        for (index, left, reset), tpm in ((it, shares[it[0]].tpm) for it in verdict.tokens)
        if tpm is not None and shares[index].enforced
    ]
    return min(standings, key=lambda it: it.remaining / max(1, it.limit), default=None)


def _who(bound: Bound, principal: Principal) -> str:
    who = "this login" if principal.login and bound.kind is Kind.KEY else str(bound)
    return who[0].upper() + who[1:]
