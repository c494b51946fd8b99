"""The window of a conversation that a model sees."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.errors import ContextOverflow, InvalidRequest
from domain.session import Message, Session, SessionConfig, Strategy, Summary
from domain.tokens import METHOD, estimate_text

_PER_MESSAGE = 4
_UNLIMITED = 10**9
_INTRODUCTION = "Summary of the earlier conversation, for your information:\n"

Count = Callable[[str], int]
"""Tokens of a text, as the model that is asked counts them, or about as many."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a turn sends to the model: the messages in OpenAI's shape, and what had to stay behind.

    `summarized_messages` are those that a summary stands for; `dropped_messages` are the ones the model learns nothing
    of. `method` says how `tokens` were counted.
    """

    messages: list[dict[str, str]]
    tokens: int
    dropped_messages: int
    summarized_messages: int = 0
    method: str = METHOD


@dataclass(frozen=True, slots=True)
class Window:
    """`size` is the model's context window in tokens, None when it is not known."""

    size: int | None
    count: Count = estimate_text
    method: str = METHOD

    def tokens(self, text: str) -> int:
        return self.count(text) + _PER_MESSAGE

    def room(self, config: SessionConfig) -> int:
        """What is left of it beside the answer."""
        if self.size is None:
            return _UNLIMITED
        return self.size - (config.max_tokens or min(4096, self.size // 4))


def assemble(
    session: Session, recent: Sequence[Message], question: str, window: Window, summary: Summary | None = None
) -> Context:
    """Fit the newest messages into the model's window.

    `recent` is ordered from oldest to newest. The system prompt and the question are always sent, and a summary that
    leaves room for them; of the history, the newest messages that fit. Raises InvalidRequest when even the question
    alone does not fit, and ContextOverflow when something stays behind of a session that does not want that.
    """
    fixed = _fixed(session.config, question, summary)
    room = window.room(session.config) - _tokens(fixed, window)
    if room < 0 and summary is not None:
        return assemble(session, recent, question, window)
    if room < 0:
        raise InvalidRequest("The message does not fit into the model's context window.", param="message")
    kept, left = _kept(session.config, _after(summary, recent), room, window)
    if kept and kept[0].role == "assistant":
        left += window.tokens(kept[0].content)
        kept = kept[1:]  # an answer without its question; several providers refuse such a beginning
    summarized = 0 if summary is None else summary.messages
    dropped = session.message_count - summarized - len(kept)
    if dropped and session.config.context == Strategy.ERROR:
        raise ContextOverflow(f"{dropped} messages of this session do not fit into the context any more.")
    earlier = [{"role": message.role, "content": message.content} for message in kept]
    tokens = window.room(session.config) - left
    return Context([*fixed[:-1], *earlier, fixed[-1]], tokens, dropped, summarized, window.method)


def outgrown(
    session: Session, recent: Sequence[Message], question: str, window: Window, summary: Summary | None
) -> list[Message]:
    """The messages of `recent` that a new summary has to take in, none while everything fits.

    More than do not fit this time, so that the next turns need none, and never a question without its answer. None
    also where a summary leaves no room for the question: another one would not either.
    """
    messages = _after(summary, recent)
    room = window.room(session.config) - _tokens(_fixed(session.config, question, summary), window)
    kept, _ = _kept(session.config, messages, room, window)
    if room < 0 or len(kept) == len(messages):
        return []
    taken = len(messages) - len(kept) // 2
    while taken < len(messages) and messages[taken].role == "assistant":
        taken += 1
    return messages[:taken]


def newest(messages: Sequence[Message], room: int, window: Window) -> tuple[list[Message], int]:
    """The newest messages that fit into `room` tokens, in their order, and the tokens that are left of it."""
    kept: list[Message] = []
    for message in reversed(messages):
        needed = window.tokens(message.content)
        if needed > room:
            break
        room -= needed
        kept.append(message)
    return kept[::-1], room


def _after(summary: Summary | None, messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages if summary is None or message.seq > summary.seq]


def _kept(config: SessionConfig, messages: Sequence[Message], room: int, window: Window) -> tuple[list[Message], int]:
    return newest(messages[-config.history :] if config.history else (), room, window)


def _tokens(messages: Sequence[dict[str, str]], window: Window) -> int:
    return sum(window.tokens(message["content"]) for message in messages)


def _fixed(config: SessionConfig, question: str, summary: Summary | None) -> list[dict[str, str]]:
    """One system message at most: several providers take no second one."""
    system = [config.system_prompt] if config.system_prompt else []
    if summary is not None:
        system.append(_INTRODUCTION + summary.text)
    first = [{"role": "system", "content": "\n\n".join(system)}] if system else []
    return [*first, {"role": "user", "content": question}]
