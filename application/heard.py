"""What has arrived of an answer: enough to count it and, for a session, to keep it."""

from collections.abc import Iterable, Iterator, Sequence

from domain.completion import Completion, Delta, JsonObject
from domain.members import object_of, objects_of, text_of
from domain.tokens import TokenMeter

_TEXTS = frozenset({"role", "content", "reasoning_content"})


class Heard:
    """O(1) per stream unless it has to `keep` the text; `first_at` is the monotonic time of the first event."""

    def __init__(self, *, keep: bool) -> None:
        self.first_at: float | None = None
        self.at = 0.0
        """The monotonic time of the latest event."""
        self.keeps = keep
        self._meter = TokenMeter()
        self._pieces: list[str] = []
        self._reported = 0

    @property
    def tokens(self) -> int:
        """Estimated, of the whole output: what is visible and what is not."""
        return self._meter.tokens

    def text(self) -> str:
        """The visible text; empty for a stream that is not kept."""
        return "".join(self._pieces)

    def unreported(self) -> str:
        """The text since the last call."""
        fresh = "".join(self._pieces[self._reported :])
        self._reported = len(self._pieces)
        return fresh

    def add(self, deltas: list[Delta], now: float) -> None:
        self.at = now
        if self.first_at is None:
            self.first_at = now
        for delta in deltas:
            self._meter.add(delta.reasoning)
            if delta.text and _is_text_alone(delta.choices):
                self._meter.add(delta.text)
            else:
                self._count(choice.get("delta") for choice in delta.choices)
                further = (choice.get("delta") for choice in delta.choices if choice.get("index"))
                self._count({"content": _reasoning(message)} for message in further)

    def show(self, text: str) -> None:
        """What of it the user gets to see."""
        if self.keeps and text:
            self._pieces.append(text)

    def add_whole(self, completion: Completion) -> None:
        """An answer that was not streamed."""
        messages = [choice.get("message") for choice in completion.choices]
        self._count(messages)
        self._count({"content": _reasoning(message)} for message in messages)

    def _count(self, messages: Iterable[object]) -> None:
        """All output in a message is billed, whether or not it is visible text: tool arguments, further choices."""
        for message in messages:
            for text in _texts(message):
                self._meter.add(text)


def _is_text_alone(choices: Sequence[JsonObject]) -> bool:
    """Whether the visible text of the first choice, and its reasoning, is all that is said."""
    return len(choices) <= 1 and all(_TEXTS.issuperset(choice.get("delta") or ()) for choice in choices)


def _texts(message: object) -> Iterator[str]:
    """A provider's nonsense counts nothing: only the visible text's shape was checked before."""
    if not isinstance(message, dict):
        return
    yield text_of(message, "content")
    yield text_of(message, "refusal")
    yield text_of(object_of(message, "audio"), "transcript")
    yield from _called(message, "function_call", "arguments")
    for call in objects_of(message, "tool_calls"):
        yield from _called(call, "function", "arguments")
        yield from _called(call, "custom", "input")


def _called(holder: JsonObject, kind: str, written: str) -> Iterator[str]:
    called = object_of(holder, kind)
    yield text_of(called, "name")
    yield text_of(called, written)


def _reasoning(message: object) -> object:
    if not isinstance(message, dict):
        return None
    return message.get("reasoning_content") or message.get("reasoning")
