"""A provider that speaks OpenAI's wire and misbehaves on request: the name of the model says how.

Good: `ok`, `ok-n-50` (that many tokens), `slow-100ms` (between tokens), `tools`, `logprobs`, `reasoning`, `unicode`,
`classes` (cached and reasoning tokens), `image-echo`, `payload-echo` (answers with the request it got), `no-role`,
`null-content`, `comments`, `crlf-split` (byte by byte, CRLF ends, a byte order mark), `no-done`,
`rst-at-end` (instead of `[DONE]`), `usage-twice`, `no-usage`, `zero-usage`, `absurd-usage`.

Before the first byte: `rst`, `close`, `ttfb-10` (seconds), `429-ra-2` (any status, any Retry-After), `html`,
`redirect`, `gzip`, `context-length`, `context-size`, `content-filter`, `param`, `auth`, `key-in-message`,
`key-echo-400` (any status; quotes the key that it was called with), `error-as-json`, `big-head`, `not-http`.

Afterwards: `silence-10` (headers, then seconds of nothing), `rst-after-3`, `eof-after-3`, `stall-after-3`,
`done-after-3` (`[DONE]` without a finish reason), `bad-json`, `bad-json-events-5`, `big-line`, `error-event`,
`endless`, `drip` (one token, then a byte each 0.1 s), `unknown-events`, `deep-json`.

A fault may be written `fault:…`; with `-once` at its end only the first request of a request id gets it. `GET /_log`
tells what was asked and sent, `DELETE /_log` forgets it.
"""

import json
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from gevent.server import StreamServer

from tests.servers import scripted_answers as answers
from tests.servers.program import Program, accepts, free_port
from tests.servers.scripted_answers import Bill, Body, Script
from tests.servers.scripted_turn import ClientGone, Cut, Line, Turn

ROOT = Path(__file__).parents[2]


class ScriptedProvider(Program):
    """The program of this module on a free port."""

    def __init__(self, folder: Path, name: str = "scripted-provider") -> None:
        self.port = free_port()
        argv = [sys.executable, "-m", "tests.servers.scripted_provider", str(self.port)]
        super().__init__(argv, folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, name=name)
        self.base_url = f"http://127.0.0.1:{self.port}/v1"

    def run(self) -> "ScriptedProvider":
        self.start(lambda: accepts(self.port))
        return self

    def bills(self) -> list[Body]:
        """The bills of all requests so far, oldest first."""
        return list(self.told()["calls"])

    def told(self) -> Body:
        """`{"requests", "connections", "calls"}`; asking needs a connection of its own."""
        with urlopen(f"http://127.0.0.1:{self.port}/_log", timeout=10) as answer:
            return dict(json.load(answer))

    def bill(self, request_id: str) -> Body:
        """The bill of the only request with this id."""
        (found,) = (bill for bill in self.bills() if bill["id"] == request_id)
        return found

    def ended(self, request_id: str) -> str | None:
        """How the request with this id ended; None while it runs, or has not come yet."""
        return next((str(bill["ended"]) for bill in self.bills() if bill["id"] == request_id), None)

    def forget(self) -> None:
        request = Request(f"http://127.0.0.1:{self.port}/_log", method="DELETE")
        urlopen(request, timeout=10).close()


class Server:
    def __init__(self) -> None:
        self.bills: list[Bill] = []
        self.seen: set[str] = set()
        self.connections = 0

    def serve(self, sock: Any, _address: object) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = sock.makefile("rb")
        self.connections += 1
        with suppress(OSError, ClientGone, Cut):
            while request := _request(reader):
                self.answer(Line(sock), *request)
        with suppress(OSError):
            sock.close()

    def answer(self, line: Line, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        if path == "/_log":
            calls = [vars(bill) for bill in self.bills]
            if method == "DELETE":
                self.bills.clear()
            told = {"requests": len(calls), "connections": self.connections, "calls": calls}
            line.whole(200, json.dumps(told).encode())
        elif path.endswith("/models"):
            line.whole(200, b'{"object":"list","data":[{"id":"ok","object":"model"}]}')
        else:
            self.chat(line, headers, json.loads(body))

    def chat(self, line: Line, headers: dict[str, str], payload: Body) -> None:
        request_id = headers.get("x-request-id") or str(payload.get("user", ""))
        streamed = bool(payload.get("stream"))
        bill = Bill(request_id, payload["model"], streamed, answers.prompt_tokens(payload))
        bill.headers, bill.payload = headers, payload
        self.bills.append(bill)
        script = Script.of(payload["model"])
        if script.once and request_id in self.seen:
            script = Script.of("ok")
        self.seen.add(request_id)
        try:
            Turn(line, bill, script).play()
            bill.ended = "complete"
        except (ClientGone, OSError):
            bill.ended = "client_gone"
            raise
        except Cut:
            bill.ended = "cut"
            raise
        finally:
            bill.ended_at = time.time()


def _request(reader: Any) -> tuple[str, str, dict[str, str], bytes] | None:
    """The next request on the connection, None when there is no further one."""
    first = reader.readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers = {}
    while (line := reader.readline().decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return first[0], first[1], headers, reader.read(int(headers.get("content-length", 0)))


if __name__ == "__main__":
    StreamServer(("127.0.0.1", int(sys.argv[1])), Server().serve, backlog=512).serve_forever()
