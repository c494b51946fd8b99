"""What has arrived of an answer: enough to count it and, for a session, to keep it."""

from collections.abc import Iterable, Iterator

from domain.completion import Completion, Delta, JsonObject
from domain.tokens import TokenMeter


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
            if delta.text and len(delta.choices) <= 1:
                self._meter.add(delta.text)
            else:
                self._count(choice.get("delta") for choice in delta.choices)

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


def _texts(message: object) -> Iterator[str]:
    """A provider's nonsense counts nothing: only the visible text's shape was checked before."""
    if not isinstance(message, dict):
        return
    calls = message.get("tool_calls")
    functions = map(_function, calls if isinstance(calls, list) else ())
    said = (message.get("content"), message.get("refusal"))
    for text in (*said, *(function.get("arguments") for function in functions)):
        if isinstance(text, str):
            yield text


def _function(call: object) -> JsonObject:
    function = call.get("function") if isinstance(call, dict) else None
    return function if isinstance(function, dict) else {}


def _reasoning(message: object) -> object:
    if not isinstance(message, dict):
        return None
    return message.get("reasoning_content") or message.get("reasoning")
