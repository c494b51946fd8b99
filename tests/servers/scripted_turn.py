"""How a scripted provider sends: one connection, one answer."""

import socket
import struct
from collections.abc import Callable
from http.client import responses
from typing import Any

import gevent
from gevent import socket as gevent_socket

from tests.servers import scripted_answers as answers
from tests.servers.scripted_answers import Bill, Script

UNKNOWN = b'event: execute\ndata: {"type": "execute", "choices": []}\n\ndata: {"type": "execute"}\n\n'
DEEP = b'data: {"choices": ' + b"[" * 500 + b"]" * 500 + b"}\n\n"


class ClientGone(Exception):
    pass


class Cut(Exception):
    """The script ends the connection."""


class Line:
    """A client's connection."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.status = 0

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise ClientGone from error

    def head(self, status: int, content_type: str, *more: str, length: int | None = None) -> None:
        self.status = status
        framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        lines = [f"HTTP/1.1 {status} {responses.get(status, 'Odd')}", f"Content-Type: {content_type}", framing, *more]
        self.send("\r\n".join([*lines, "", ""]).encode())

    def whole(self, status: int, body: bytes, *more: str, content_type: str = "application/json") -> None:
        self.head(status, content_type, *more, length=len(body))
        self.send(body)

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self.send(b"0\r\n\r\n")

    def pause(self, seconds: float) -> None:
        """Sleep, but notice at once when the client leaves."""
        self.sock.settimeout(seconds)
        try:
            if not gevent_socket.socket.recv(self.sock, 1, socket.MSG_PEEK):
                raise ClientGone
        except TimeoutError:
            pass
        except OSError as error:
            raise ClientGone from error
        finally:
            self.sock.settimeout(None)

    def reset(self) -> None:
        """What was sent may still be on its way, and a reset overtakes it."""
        gevent.sleep(0.05)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        raise Cut

    def close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)
        raise Cut


class Turn:
    """One answer, on the wire of one of the modules that have what `scripted_answers` has."""

    def __init__(self, line: Line, bill: Bill, script: Script, wire: Any = answers) -> None:
        self.line = line
        self.bill = bill
        self.script = script
        self.wire = wire

    def play(self) -> None:
        self.before()
        if self.line.status:
            self.bill.status = self.line.status
            return
        words = answers.words(self.bill.payload, self.script)
        pieces, finish = answers.limited(words, self.wire.limit(self.bill.payload))
        if self.bill.streamed:
            self.stream(pieces, finish)
        else:
            self.wait(pieces, finish)

    def before(self) -> None:
        """Faults that need no answer at all, and answers that are none."""
        line = self.line
        acts: dict[str, Callable[[], None]] = {
            "rst": line.reset,
            "close": line.close,
            "ttfb": lambda: line.pause(self.script.number(10)),
            "html": lambda: line.whole(200, b"<html>Welcome</html>", content_type="text/html"),
            "redirect": lambda: line.whole(307, b"", "Location: http://127.0.0.1:1/v1/chat/completions"),
            "gzip": self.compressed,
            "error-as-json": lambda: line.whole(200, self.wire.error_body(200, self.script)),
            "not-http": self.greet,
            "big-head": self.big_head,
            "key-echo": self.echo_key,
        }
        acts.get(self.script.name, self.refuse)()

    def compressed(self) -> None:
        kind = "text/event-stream" if self.bill.streamed else "application/json"
        self.line.whole(200, answers.gzip_bomb(), "Content-Encoding: gzip", content_type=kind)

    def greet(self) -> None:
        self.line.send(b"220 smtp.example.org ESMTP\r\n")
        self.line.close()

    def echo_key(self) -> None:
        headers = self.bill.headers
        key = headers.get("x-api-key") or headers.get("x-goog-api-key") or headers["authorization"].partition(" ")[2]
        self.line.whole(int(self.script.number(400)), self.wire.quoted(key), f"X-Request-Id: {key}")

    def big_head(self) -> None:
        self.line.send(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: " + b"x" * 200_000)
        self.line.pause(30)

    def refuse(self) -> None:
        """`429-ra-2`, `503-in-1`, and the refusals that have a name."""
        named = dict.fromkeys(("context-length", "context-size", "content-filter", "param", "key-in-message"), 400)
        named |= {"flaps": 503, "fails": 503, **self.wire.STATUSES}
        name, _, wait = answers.bare(self.bill.model).removesuffix("-once").partition("-ra-")
        name, _, late = name.partition("-in-")
        status = named.get(self.script.name) or (int(name) if name.isdigit() and self.script.name != "ok" else 0)
        if status:
            self.line.pause(float(late)) if late[:1].isdigit() else None
            more = [f"Retry-After: {wait.replace('_', ' ')}"] if wait else []
            self.line.whole(status, self.wire.error_body(status, self.script), *more)

    def wait(self, pieces: list[str], finish: str) -> None:
        self.bill.completion_tokens = len(pieces)
        if self.script.name == "slow":
            self.line.pause(self.script.number(100) / 1000 * len(pieces))
        body = self.wire.completion(self.bill, pieces, finish, self.script)
        match self.script.name:
            case "bad-json":
                body = body[:-10]
            case "deep-json":
                body = b'{"choices": ' + b"[" * 500 + b"]" * 500 + b"}"
            case "rst-after" | "eof-after" | "stall-after" | "drip":
                self.line.head(200, "application/json", length=len(body))
                self.line.send(body[: len(body) // 2])
                self.break_off()
        self.line.whole(200, body)
        self.bill.sent = "".join(pieces)

    def stream(self, pieces: list[str], finish: str) -> None:
        self.line.head(200, "text/event-stream")
        if self.script.name == "silence":
            self.line.pause(self.script.number(10))
        cut_after = int(self.script.number(3)) if self.script.name.endswith("-after") else -1
        for payload, text in self.wire.chunks(self.bill, pieces, finish, self.script):
            self.event(payload, text)
            if self.bill.completion_tokens == cut_after:
                self.break_off()
                break
        if self.script.name == "rst-at-end":
            self.line.reset()
        if self.wire.DONE and self.script.name != "no-done":
            self.event(self.wire.DONE, "")
        self.line.end()

    def event(self, payload: bytes, text: str) -> None:
        line, event = self.line, self.wire.lines(payload)
        match self.script.name:
            case "crlf-split":
                first = b"\xef\xbb\xbf" if not self.bill.sent else b""
                for byte in first + b": note\r\nid: 7\r\n" + event.replace(b"\n", b"\r\n") + b"\r\n\r\n":
                    line.chunk(bytes([byte]))
            case "comments":
                line.chunk(b": PROCESSING\n\n" + event + b"\n\n")
            case "drip" if self.bill.completion_tokens:
                for byte in event + b"\n\n":
                    line.chunk(bytes([byte]))
                    line.pause(0.1)
            case _:
                line.chunk(event + b"\n\n")
        if text:
            self.bill.sent += text
            self.bill.completion_tokens += 1
            self.disturb()

    def disturb(self) -> None:
        """What happens after a token."""
        token = self.bill.completion_tokens
        acts: dict[str, Callable[[], None]] = {
            "slow": lambda: self.line.pause(self.script.number(100) / 1000),
            "unknown-events": lambda: self.line.chunk(UNKNOWN),
            "endless": self.endless,
        }
        if token <= self.script.number(1):
            acts["bad-json-events"] = lambda: self.line.chunk(b'data: {"choices": [\n\n')
        if token == 1:
            acts["big-line"] = self.big_line
            acts["deep-json"] = lambda: self.line.chunk(DEEP)
        if token == 3:
            acts["error-event"] = self.error_event
        acts.get(self.script.name, lambda: None)()

    def big_line(self) -> None:
        for _ in range(160):
            self.line.chunk(b"x" * 65_536)

    def error_event(self) -> None:
        self.line.chunk(self.wire.error_event())
        self.line.end()
        raise Cut

    def endless(self) -> None:
        event = self.wire.lines(self.wire.piece(self.bill, "x" * 1000)) + b"\n\n"
        while True:
            self.line.chunk(event)
            self.bill.completion_tokens += 1

    def break_off(self) -> None:
        match self.script.name:
            case "rst-after":
                self.line.reset()
            case "eof-after":
                self.line.close()
            case "stall-after":
                self.line.pause(600)
            case "drip":
                self.line.pause(600)
