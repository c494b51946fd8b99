"""Limits: how much a key, a user, a team or everybody together may use, and how a budget's windows are cut."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from domain.usage import written

EPOCH = date(1970, 1, 1)


class Kind(StrEnum):
    """Whose limit it is, from the narrowest to the widest. The id of GLOBAL is the empty text."""

    KEY = "key"
    USER = "user"
    TEAM = "team"
    GLOBAL = "global"


class Unit(StrEnum):
    MONEY = "money"
    """Nano-units of the currency."""
    TOKENS = "tokens"


class Window(StrEnum):
    """Windows are those of the UTC calendar; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"

    def start(self, moment: datetime) -> date:
        """The first day of the window that `moment` is in; EPOCH for TOTAL."""
        day = moment.astimezone(UTC).date()
        if self is Window.DAY:
            return day
        if self is Window.WEEK:
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if self is Window.MONTH else EPOCH

    def end(self, moment: datetime) -> datetime | None:
        """When the next window begins; None for TOTAL."""
        first = self.start(moment)
        if self is Window.TOTAL:
            return None
        if self is Window.MONTH:
            after = (first + timedelta(days=31)).replace(day=1)
        else:
            after = first + timedelta(days=1 if self is Window.DAY else 7)
        return datetime.combine(after, time(), UTC)


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `amount` per window: nano-units of money, or tokens of all classes."""

    unit: Unit
    window: Window
    amount: int

    def __str__(self) -> str:
        amount = written(self.amount) if self.unit is Unit.MONEY else f"{self.amount:,} tokens"
        return amount + (" in all" if self.window is Window.TOTAL else f" per {self.window}")


@dataclass(frozen=True, slots=True)
class Limits:
    """None does not limit. Requests and tokens are per minute, `concurrency` is calls at the same time.

    At most one budget per unit and window. In shadow mode everything is measured and nothing is refused.
    """

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    budgets: tuple[Budget, ...] = ()
    shadow: bool = False


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Bound:
    """The limits of one subject that a caller is under."""

    kind: Kind
    id: str
    limits: Limits

    def __str__(self) -> str:
        return "the whole installation" if self.kind is Kind.GLOBAL else f"this {self.kind}"


@dataclass(frozen=True, slots=True)
class Hold:
    """What one request takes from one budget in one window, until it is settled. `amount` is in the budget's unit."""

    kind: Kind
    subject_id: str
    unit: Unit
    window: Window
    period: date
    """The first day of the window."""
    amount: int


@dataclass(frozen=True, slots=True)
class BudgetStanding:
    """How a budget stands in one window: `used` is settled, `reserved` belongs to calls that are running."""

    used: int = 0
    reserved: int = 0
