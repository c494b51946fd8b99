"""What Dify is asked: one text, its files, and a conversation that Dify remembers, or none."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2s
from typing import Any

from adapters.ai.conversation import Inline, Part, calls_of, file_of, inline, parts_of, texts_of, unsupported, url_of
from domain.completion import Prompt
from domain.errors import InvalidRequest
from domain.members import object_of, text_of

_INTRODUCTION = "This is a conversation so far. Answer its last message."
_SYSTEM = frozenset({"system", "developer"})
_TEXTS = frozenset({"text", "refusal"})
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a message, inside the request or at an `https` address; `path` is where, as errors name it."""

    kind: str
    """`image`, `audio`, `video` or `document`."""
    path: str
    name: str = ""
    url: str = ""
    file: Inline | None = None


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    attachments: Sequence[Attachment]
    conversation: str
    """Dify's id; empty to begin one."""


def question_of(prompt: Prompt) -> Question:
    """The newest message where Dify knows all that was before it, else all messages as one text.

    The text of a first message is sent as it is. With others it becomes a transcript: an introduction, then each
    message under its role in brackets, with calls and results of tools in it, and files by their number.
    Raises UnsupportedParameter or InvalidRequest for parts that Dify has no place for.
    """
    conversation = _remembered(prompt)
    messages = list(enumerate(prompt.messages))
    attachments: list[Attachment] = []
    told = [
        (message.get("role", ""), _told(message, f"messages.{at}", attachments, last=at == messages[-1][0]))
        for at, message in (messages[-1:] if conversation else messages)
    ]
    if len(told) == 1 and told[0][0] == "user":
        return Question(told[0][1], attachments, conversation)
    transcript = [f"[{role}]\n{text}" for role, text in told]
    return Question("\n\n".join([_INTRODUCTION, *transcript]), attachments, conversation)


def kept(conversation: str, prompt: Prompt) -> str:
    """What to remember of a conversation that Dify has the id of: nothing when the id is none."""
    return f"{conversation}~{_instructed(prompt)}" if _ID.fullmatch(conversation) else ""


def _remembered(prompt: Prompt) -> str:
    """Dify's id, unless it was told other instructions then, or is to know nothing of what was before."""
    conversation, _, instructed = prompt.conversation.partition("~")
    goes_on = bool(prompt.messages) and prompt.messages[-1].get("role") == "user"
    knows_before = any(message.get("role") == "assistant" for message in prompt.messages)
    return conversation if goes_on and knows_before and instructed == _instructed(prompt) else ""


def _instructed(prompt: Prompt) -> str:
    """A fingerprint of the system's messages."""
    messages = enumerate(prompt.messages)
    system = [(at, message) for at, message in messages if message.get("role") in _SYSTEM]
    texts = [part.text for at, message in system for part in texts_of(message, f"messages.{at}")]
    return blake2s("\n".join(texts).encode("utf-8", "replace"), digest_size=8).hexdigest()


def _told(message: Mapping[str, Any], path: str, attachments: list[Attachment], *, last: bool) -> str:
    """The text of a message. Its files stand in it where it is not the `last`, which they come with, or has no text."""
    lines, first = list[str](), len(attachments)
    for part in parts_of(message, path):
        if part.kind in _TEXTS:
            lines.append(part.text)
        else:
            attachments.append(_attachment(part))
    lines += [f"[calls {call.name} with {call.arguments}]" for call in calls_of(message, path)]
    if not last or not lines:
        lines += [f"[file {number}]" for number in range(first + 1, len(attachments) + 1)]
    return "\n".join(lines)


def _attachment(part: Part) -> Attachment:
    match part.kind:
        case "image_url" | "video_url":
            return _at_url(part, part.kind.removesuffix("_url"))
        case "file":
            file, name = file_of(part)
            return Attachment("document", f"{part.path}.file.file_data", name, file=file)
        case "input_audio":
            audio = object_of(part.body, "input_audio")
            return Attachment(
                "audio", part.path, file=Inline(f"audio/{text_of(audio, 'format')}", text_of(audio, "data"))
            )
    raise unsupported(part.path, "this provider takes text, images, audio, video and files.")


def _at_url(part: Part, kind: str) -> Attachment:
    """Dify itself fetches what is at an address; we never do."""
    url, path = url_of(part), f"{part.path}.{part.kind}.url"
    if url.startswith("data:"):
        return Attachment(kind, path, file=inline(url, path))
    if url.startswith("https://"):
        return Attachment(kind, path, url=url)
    raise InvalidRequest(f"{path}: must be an https address or a data URL in base64.", param=path)
