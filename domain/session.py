"""Chat sessions: a named conversation with one model, and the window of it that a model sees."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from domain.errors import InvalidRequest
from domain.tokens import estimate_text

TITLE_LENGTH = 200
_TITLE_FROM_MESSAGE = 60
_PER_MESSAGE = 4


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
    """The provider's own name of the model, without the prefix."""
    created_at: datetime
    updated_at: datetime
    config: SessionConfig = field(default_factory=SessionConfig)
    message_count: int = 0
    active_request_id: str | None = None

    @property
    def model_id(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class Context:
    """What a turn sends to the model: the messages in OpenAI's shape, and what had to stay behind."""

    messages: list[dict[str, str]]
    tokens: int
    """Estimated."""
    dropped_messages: int


def title_from(text: str) -> str:
    """A title for a session that was opened without one: the start of its first message, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _TITLE_FROM_MESSAGE else line[: _TITLE_FROM_MESSAGE - 1].rstrip() + "…"


def assemble(session: Session, recent: Sequence[Message], question: str, context_window: int | None) -> Context:
    """Fit the newest messages into the model's window.

    `recent` is ordered from oldest to newest. The system prompt and the question are always sent; of the history,
    the newest messages that fit within `context_window` less the room for the answer. Raises InvalidRequest when
    even the question alone does not fit.
    """
    fixed = _fixed(session.config, question)
    room = _room(session.config, context_window) - sum(_tokens(message["content"]) for message in fixed)
    if room < 0:
        raise InvalidRequest("The message does not fit into the model's context window.", param="message")
    kept: list[dict[str, str]] = []
    for message in reversed(recent[-session.config.history :] if session.config.history else ()):
        room -= _tokens(message.content)
        if room < 0:
            break
        kept.insert(0, {"role": message.role, "content": message.content})
    if kept and kept[0]["role"] == "assistant":
        kept.pop(0)  # an answer without its question; several providers refuse such a beginning
    messages = fixed[:-1] + kept + fixed[-1:]
    tokens = sum(_tokens(message["content"]) for message in messages)
    return Context(messages, tokens, session.message_count - len(kept))


def _fixed(config: SessionConfig, question: str) -> list[dict[str, str]]:
    system = [{"role": "system", "content": config.system_prompt}] if config.system_prompt else []
    return [*system, {"role": "user", "content": question}]


def _room(config: SessionConfig, context_window: int | None) -> int:
    if context_window is None:
        return 10**9
    answer = config.max_tokens or min(4096, context_window // 4)
    return context_window - answer


def _tokens(text: str) -> int:
    return estimate_text(text) + _PER_MESSAGE
