"""Server-Sent Events, parsed incrementally as the WHATWG's HTML standard says (section 9.2.6)."""

from domain.provider_errors import UpstreamEventTooLarge

MAX_EVENT = 1024 * 1024
_COMMENT = ord(":")
_BOM = b"\xef\xbb\xbf"
NAMES = frozenset({b"", b"message", b"error"})


class EventParser:
    """Keeps one unfinished event, at most `limit` bytes of it. `dropped` counts events whose name is not of `names`."""

    def __init__(self, limit: int = MAX_EVENT, names: frozenset[bytes] = NAMES) -> None:
        self.dropped = 0
        self._limit = limit
        self._names = names
        self._started = False
        self._after_cr = False
        self._line = bytearray()
        self._lines: list[bytes] = []
        self._size = 0
        self._name = b""

    def feed(self, received: bytes) -> list[bytes]:
        """The payloads of the events that `received` completes. Raises UpstreamEventTooLarge."""
        if not self._started:
            received = self._without_bom(received)
        if self._after_cr or b"\r" in received:
            received = self._with_plain_ends(received)
        if b"\n" not in received:
            self._line += received
            self._check(len(self._line))
            return []
        if self._line:
            received = bytes(self._line) + received
            self._line.clear()
        lines = received.split(b"\n")
        rest = lines.pop()
        events = self._events(lines)
        self._line += rest
        self._check(len(rest))
        return events

    def flush(self) -> list[bytes]:
        """What an orderly end of the stream completes.

        The standard drops an event without its blank line. Servers exist that end `data: [DONE]` without it, and half
        an event cannot be mistaken for a whole one, because half a JSON object does not parse.
        """
        return self.feed(b"\n\n")

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data: "):
                self._add(line[6:])
            elif not line:
                if self._lines:
                    self._end(events)
                self._name = b""
            elif line[0] != _COMMENT:
                self._field(line)
        return events

    def _add(self, value: bytes) -> None:
        self._lines.append(value)
        self._size += len(value) + 1
        self._check(0)

    def _end(self, events: list[bytes]) -> None:
        if self._name in self._names:
            events.append(self._lines[0] if len(self._lines) == 1 else b"\n".join(self._lines))
        else:
            self.dropped += 1
        self._lines = []
        self._size = 0

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._add(value)
        elif name == b"event":
            self._name = value

    def _check(self, unfinished: int) -> None:
        if self._size + unfinished > self._limit:
            raise UpstreamEventTooLarge

    def _without_bom(self, received: bytes) -> bytes:
        """A byte order mark may itself come in pieces; they wait in the unfinished line."""
        received = bytes(self._line) + received
        self._line.clear()
        if len(received) < len(_BOM) and _BOM.startswith(received):
            self._line += received
            return b""
        self._started = True
        return received.removeprefix(_BOM)

    def _with_plain_ends(self, received: bytes) -> bytes:
        """A CR at the end of a read ends its line at once; an LF that follows in the next read belongs to it."""
        if self._after_cr and received:
            received = received.removeprefix(b"\n")
            self._after_cr = False
        if received:
            self._after_cr = received.endswith(b"\r")
        return received.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
