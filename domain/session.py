"""Chat sessions: a named conversation with one model."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

TITLE_LENGTH = 200
_TITLE_FROM_MESSAGE = 60


class Strategy(StrEnum):
    """What becomes of the messages that do not fit into the model's window any more."""

    SLIDING = "sliding"
    """They stay behind, the oldest first."""
    SUMMARY = "summary"
    """A summary is sent in their place."""
    ERROR = "error"
    """The turn is refused."""


class MessageState(StrEnum):
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    """The answer was cut: its text is what had arrived."""


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """`history` is the largest number of earlier messages that a turn sends along."""

    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    system_prompt: str | None = None
    history: int = 40
    context: Strategy = Strategy.SLIDING

    def options(self) -> dict[str, Any]:
        """The parameters a model is called with."""
        chosen = {"temperature": self.temperature, "max_tokens": self.max_tokens, "top_p": self.top_p}
        return {name: value for name, value in chosen.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    session_id: str
    seq: int
    """1, 2, 3 … without a gap inside one session."""
    role: str
    content: str
    created_at: datetime
    state: MessageState = MessageState.COMPLETE
    request_id: str | None = None
    model: str | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    user_id: str
    title: str
    provider: str
    model: str
    """The provider's own name of the model, without the prefix. A route or an alias has a name and no provider."""
    created_at: datetime
    updated_at: datetime
    config: SessionConfig = field(default_factory=SessionConfig)
    message_count: int = 0
    active_request_id: str | None = None
    conversation: str = ""
    """`provider:id` of who keeps this conversation, all of it and nothing else; empty when nobody does.

    A turn that was cut, or that another provider answered, ends it: whoever kept it does not know that turn.
    """

    @property
    def model_id(self) -> str:
        return f"{self.provider}/{self.model}" if self.provider else self.model


@dataclass(frozen=True, slots=True)
class Summary:
    """Stands for messages of a session up to `seq`: for so many `messages`, all of them unless there were too many."""

    session_id: str
    seq: int
    messages: int
    text: str
    created_at: datetime


def title_from(text: str) -> str:
    """A title for a session that was opened without one: the start of its first message, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _TITLE_FROM_MESSAGE else line[: _TITLE_FROM_MESSAGE - 1].rstrip() + "…"
