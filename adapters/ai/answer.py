"""An HTTP answer while it arrives, parsed by llhttp."""

from geventhttpclient._parser import HTTPResponseParser

_FINAL = 200
_KEPT = frozenset({"content-type", "content-encoding", "content-length", "retry-after", "x-request-id"})


class Answer(HTTPResponseParser):
    """`feed` it what was read, and b"" at the end of the connection; that raises HTTPParseError when more was due.

    geventhttpclient's own response class does the same with an index of all headers, at three times the cost.
    """

    def __init__(self) -> None:
        super().__init__()
        self.buffer = bytearray()
        """Body that was not taken yet."""
        self.headers: dict[str, str] = {}
        """The few that matter, by lower-case name."""
        self.begun = False
        """The final head is in; 1xx do not count."""
        self.complete = False
        self._field = ""
        self._value = ""
        self._surplus = False

    @property
    def status(self) -> int:
        return self.get_code()

    @property
    def reusable(self) -> bool:
        return self.complete and not self._surplus and not self.parser_failed() and self.should_keep_alive()

    def take(self) -> bytes:
        """The body that has arrived since the last time."""
        body = bytes(self.buffer)
        self.buffer.clear()
        return body

    # llhttp's callbacks; a name or a value comes in several pieces when it spans two reads

    def _on_message_begin(self) -> None:
        self.headers.clear()
        self._surplus = self.complete

    def _on_status(self, text: str) -> None:
        pass

    def _on_header_field(self, text: str) -> None:
        if self._value:
            self._keep()
        self._field += text

    def _on_header_value(self, text: str) -> None:
        self._value += text or " "

    def _on_headers_complete(self) -> bool:
        self._keep()
        self.begun = self.get_code() >= _FINAL
        return False

    def _on_body(self, piece: bytearray) -> None:
        self.buffer += piece

    def _on_message_complete(self) -> None:
        self.complete = self.begun

    def _keep(self) -> None:
        name = self._field.lower()
        if name in _KEPT:
            self.headers[name] = self._value.strip()
        self._field = self._value = ""
