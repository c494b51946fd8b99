"""What the journal keeps of a generation: enough to settle it, whoever is killed meanwhile."""

from dataclasses import dataclass, field
from datetime import datetime

from domain.ledger import LedgerEntry
from domain.limits import Hold


@dataclass(frozen=True, slots=True)
class Turn:
    """The part of a record that only a session's turn has."""

    session_id: str
    question_id: str
    answer_id: str
    question: str
    title: str | None = None
    """The session's new title, when it has none yet."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Written before the provider is dialled."""

    request_id: str
    user_id: str
    key_id: str
    model_requested: str
    model: str
    """`provider/model` of the deployment."""
    provider: str
    prompt_tokens: int
    """Estimated; billed when nobody counted."""
    started_at: datetime
    streamed: bool
    price_version: str
    turn: Turn | None = None
    holds: tuple[Hold, ...] = ()
    """What it holds of budgets."""
    images: int = 0
    """Ordered; what the provider may bill for them is not known before they are there."""
    session_id: str | None = None
    """Of a call that is made for a session, and is no turn of it."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """Written at most every 0.5 s while an answer arrives."""

    request_id: str
    output_tokens: int
    """Estimated, of all the output so far."""
    text: str
    """What has arrived since the last such record; empty outside sessions."""
    model: str = ""
    """`provider/model` that is answering, where that is not the one of `Opened`."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of a generation: its rows, and its messages when it belongs to a session."""

    request_id: str
    entries: tuple[LedgerEntry, ...]
    turn: Turn | None = None
    answer: str = ""
    """The assistant's text; a turn whose answer is empty stores no messages."""
    finish_reason: str | None = None
    complete: bool = True
    ended_at: datetime | None = None
    holds: tuple[Hold, ...] = ()
    """To be settled with the final row; also those that could not be stored while the database was away."""
    conversation: str = ""
    """`Session.conversation` from now on: of an answer that is whole, from a provider that keeps one."""
    lost: bool = field(default=False, compare=False)
    """Made by the reaper for a worker that died."""
