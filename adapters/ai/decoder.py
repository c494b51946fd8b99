"""A stream of event payloads into `Delta`s, and the judgement whether the answer is whole."""

from abc import ABC, abstractmethod

import orjson

from domain.completion import Completion, Delta, JsonObject
from domain.provider_errors import MaxOutputExceeded, ProviderError, UpstreamMalformed, UpstreamTruncated
from domain.usage import Usage

MAX_DEPTH = 64
"""Levels of nesting in an answer. A request has at most 32; an answer may hold one in a tool call."""

_FEW_BAD = 3
_BAD_SHARE = 0.1


class Decoder(ABC):
    """O(1) state for one stream. A wire says what its events mean, and by which of them an answer is `whole`."""

    def __init__(self, room: int) -> None:
        """`room` is how many characters an honest answer stays within by far."""
        self.done = False
        """The terminal marker was read: nothing after it counts."""
        self.unknown = 0
        """Events of no known shape; they do no harm."""
        self.malformed = 0
        """Events that were not JSON objects: something of the answer may be missing."""
        self.failure: ProviderError | None = None
        """What the stream died of; it is to be raised once the deltas before it are delivered."""
        self.counted: Usage | None = None
        """The provider's count, of the prompt alone when deltas have come since."""
        self._room = room
        self._seen = 0

    @property
    @abstractmethod
    def whole(self) -> bool:
        """Whether what has arrived is a complete answer, were the stream to end here."""

    @abstractmethod
    def take(self, event: JsonObject, deltas: list[Delta]) -> None:
        """One event. Raises what it tells of a failure."""

    @abstractmethod
    def closing(self) -> Completion:
        """Of a stream that is whole."""

    def ends(self, payload: bytes) -> bool:  # noqa: ARG002 - for wires whose marker is not JSON
        """Whether this payload is the terminal marker and nothing else."""
        return False

    def feed(self, payloads: list[bytes]) -> list[Delta]:
        """The deltas up to the end or the `failure`; nothing after either counts."""
        deltas: list[Delta] = []
        try:
            for payload in payloads:
                if self.ends(payload):
                    self.done = True
                    break
                self._seen += 1
                event = parsed(payload)
                if event is None:
                    self._mark_malformed()
                else:
                    self.take(event, deltas)
                if self.done:
                    break
        except ProviderError as error:
            self.failure = error
        return deltas

    def close(self) -> Completion:
        """The end of the stream. Raises the `failure`, UpstreamTruncated unless it is whole, and UpstreamMalformed."""
        if self.failure is not None:
            raise self.failure
        if not self.whole:
            raise UpstreamTruncated
        if self.malformed > max(1, self._seen * _BAD_SHARE):
            raise UpstreamMalformed
        return self.closing()

    def spend(self, characters: int) -> None:
        """So much of the answer has arrived. Raises MaxOutputExceeded."""
        self._room -= characters
        if self._room < 0:
            raise MaxOutputExceeded

    def _mark_malformed(self) -> None:
        self.malformed += 1
        if self.malformed > _FEW_BAD:
            raise UpstreamMalformed


def parsed(body: bytes) -> JsonObject | None:
    """A JSON object of bounded depth, or None."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict) or (_brackets(body) > MAX_DEPTH and _deeper(value, MAX_DEPTH)):
        return None
    return value


def _brackets(body: bytes) -> int:
    return body.count(b"{") + body.count(b"[")


def _deeper(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(item, levels - 1) for item in inner)
