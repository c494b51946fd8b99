"""What the memory store keeps."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TypeVar

from application.account_store import SecondFactor
from application.admin_store import WorkerState
from domain.api_key import ApiKey
from domain.audit import AuditEntry
from domain.idempotency import KeyedCall
from domain.image_job import ImageJob
from domain.ledger import Kind as EntryKind
from domain.ledger import LedgerEntry
from domain.limits import BudgetStanding, Hold, Kind, Limits, Unit, Window
from domain.login import Login
from domain.mail import QueuedMail
from domain.one_time_token import OneTimeToken
from domain.provider_credential import PriceChange, ProviderCredential
from domain.session import Message, Session, Summary
from domain.stored_file import StoredFile
from domain.team import Membership, Team
from domain.throttle import Throttle
from domain.user import User

Row = TypeVar("Row")

LedgerId = tuple[str, int, EntryKind]
BudgetKey = tuple[Kind, str, Unit, Window, date]


@dataclass(frozen=True, slots=True)
class HeldBudget:
    hold: Hold
    at: datetime
    state: str = "held"


@dataclass(slots=True)
class Rows:
    """Everything that is stored. All values are immutable, so a shallow copy is a snapshot."""

    users: dict[str, User] = field(default_factory=dict)
    keys: dict[str, ApiKey] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    deleted: dict[str, datetime] = field(default_factory=dict)
    locked_at: dict[str, datetime] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    summaries: dict[str, Summary] = field(default_factory=dict)
    ledger: dict[LedgerId, LedgerEntry] = field(default_factory=dict)
    logins: dict[str, Login] = field(default_factory=dict)
    tokens: dict[str, OneTimeToken] = field(default_factory=dict)
    factors: dict[str, SecondFactor] = field(default_factory=dict)
    codes: dict[str, frozenset[bytes]] = field(default_factory=dict)
    identities: dict[tuple[str, str], str] = field(default_factory=dict)
    throttles: dict[str, Throttle] = field(default_factory=dict)
    outbox: dict[str, QueuedMail] = field(default_factory=dict)
    teams: dict[str, Team] = field(default_factory=dict)
    members: dict[tuple[str, str], Membership] = field(default_factory=dict)
    limits: dict[tuple[Kind, str], Limits] = field(default_factory=dict)
    windows: dict[BudgetKey, BudgetStanding] = field(default_factory=dict)
    holds: dict[tuple[str, BudgetKey], HeldBudget] = field(default_factory=dict)
    credentials: dict[str, ProviderCredential] = field(default_factory=dict)
    prices: dict[str, PriceChange] = field(default_factory=dict)
    audit: dict[str, AuditEntry] = field(default_factory=dict)
    workers: dict[str, WorkerState] = field(default_factory=dict)
    keyed: dict[bytes, KeyedCall] = field(default_factory=dict)
    keyed_parts: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)
    image_jobs: dict[str, ImageJob] = field(default_factory=dict)
    refuse_audit: Exception | None = None
    """Set it, and no change can be audited."""

    def copy(self) -> "Rows":
        tables = {name: getattr(self, name) for name in self.__slots__}
        return Rows(**{name: dict(it) if isinstance(it, dict) else it for name, it in tables.items()})


def newest(rows: Iterable[Row], limit: int | None = None, before: str | None = None) -> list[Row]:
    """By id, from `before` down."""
    found = [row for row in rows if before is None or row.id < before]
    return sorted(found, key=lambda row: row.id, reverse=True)[:limit]
