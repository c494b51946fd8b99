"""A session as a document for people."""

from collections.abc import Sequence

from domain.session import Message, MessageState, Session

_SPEAKERS = {"user": "You", "assistant": "Assistant", "system": "System"}


def markdown(session: Session, messages: Sequence[Message]) -> str:
    """Titles and speakers are headings; the texts are as they were written."""
    created = session.created_at.isoformat(timespec="seconds")
    parts = [f"# {_line(session.title) or session.id}", f"{session.model_id} · {created}"]
    for message in messages:
        cut = " (cut)" if message.state is MessageState.INCOMPLETE else ""
        parts += [f"## {_SPEAKERS.get(message.role, message.role)}{cut}", message.content]
    return "\n\n".join(parts) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split())
