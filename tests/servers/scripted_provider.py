"""A provider that speaks OpenAI's wire, Anthropic's and Gemini's, each at its path, and misbehaves on request.

The name of the model says how.

Good: `ok`, `ok-n-50` (that many tokens), `slow-100ms` (between tokens), `tools`, `logprobs`, `reasoning`, `unicode`,
`classes` (cached and reasoning tokens), `image-echo`, `payload-echo` (answers with the request it got), `no-role`,
`null-content`, `comments`, `crlf-split` (byte by byte, CRLF ends, a byte order mark), `no-done`,
`rst-at-end` (instead of `[DONE]`), `usage-twice`, `no-usage`, `zero-usage`, `absurd-usage`.

Before the first byte: `rst`, `close`, `ttfb-10` (seconds), `429-ra-2` (any status, any Retry-After), `html`,
`503-in-1` (after seconds), `flaps-3-4` (503 for 3 s from its first request on, good for 4 s …), `fails-5` (503 to its
first five requests), `redirect`, `gzip`, `context-length`, `context-size`, `content-filter`, `param`, `auth`,
`key-in-message`, `key-echo-400` (any status; quotes the key that it was called with), `error-as-json`, `big-head`,
`not-http`.

Afterwards: `silence-10` (headers, then seconds of nothing), `rst-after-3`, `eof-after-3`, `stall-after-3`,
`done-after-3` (`[DONE]` without a finish reason), `bad-json`, `bad-json-events-5`, `big-line`, `error-event`,
`endless`, `drip` (one token, then a byte each 0.1 s), `unknown-events`, `deep-json`.

`/embeddings` has names of its own: see `scripted_embeddings`, and so have images: see `scripted_images`.

A fault may be written `fault:…`; with `-once` at its end only the first request of a request id gets it. `~` and what
follows it only makes the name another one. A last message with `prefix` or `partial` is gone on with. `GET /_log`
tells what was asked and sent, `DELETE /_log` forgets it.
"""

import json
import socket
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from gevent.server import StreamServer

from tests.servers import scripted_answers as answers
from tests.servers import scripted_anthropic, scripted_gemini
from tests.servers.program import Program, accepts, free_port
from tests.servers.scripted_answers import Bill, Body, Script
from tests.servers.scripted_embeddings import EmbeddingTurn
from tests.servers.scripted_images import Images
from tests.servers.scripted_turn import ClientGone, Cut, Line, Turn

ROOT = Path(__file__).parents[2]


class ScriptedProvider(Program):
    """The program of this module, on a free port if none is named."""

    def __init__(self, folder: Path, name: str = "scripted-provider", port: int | None = None) -> None:
        self.port = port or free_port()
        argv = [sys.executable, "-m", "tests.servers.scripted_provider", str(self.port)]
        super().__init__(argv, folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, name=name)
        self.root = f"http://127.0.0.1:{self.port}"
        self.base_url = f"{self.root}/v1"

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
        self.first: dict[str, float] = {}
        self.asked: Counter[str] = Counter()
        self.connections = 0
        self.fetches: list[Body] = []
        """What was asked for without a body, tasks and results: their paths and headers."""
        self.images = Images()

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
            told = {"requests": len(calls), "connections": self.connections, "calls": calls}
            told["fetches"] = list(self.fetches)
            if method == "DELETE":
                self.bills.clear()
                self.fetches.clear()
            line.whole(200, json.dumps(told).encode())
        elif self.images.knows(path):
            self.image(line, path, headers, json.loads(body) if body else None)
        elif path.endswith("/models"):
            line.whole(200, b'{"object":"list","data":[{"id":"ok","object":"model"}]}')
        else:
            self.chat(line, path, headers, json.loads(body))

    def image(self, line: Line, path: str, headers: dict[str, str], payload: Body | None) -> None:
        if payload is None:
            self.fetches.append({"path": path, "headers": headers})
            self.images.fetch(line, path)
            return
        bill = Bill(headers.get("x-request-id", ""), payload["model"], streamed=False, prompt_tokens=0)
        bill.headers, bill.payload = headers, payload
        self.bills.append(bill)
        try:
            self.images.order(line, bill, path)
            bill.status, bill.ended = line.status, "complete"
        except (ClientGone, OSError):
            bill.ended = "client_gone"
            raise

    def chat(self, line: Line, path: str, headers: dict[str, str], payload: Body) -> None:
        wire = _wire(path)
        request_id = headers.get("x-request-id") or str(payload.get("user", ""))
        model, streamed = wire.asked(path, payload)
        bill = Bill(request_id, model, streamed, answers.prompt_tokens(payload))
        bill.headers, bill.payload = headers, payload
        self.bills.append(bill)
        script = Script.of(model)
        if (script.once and request_id in self.seen) or self.is_up(model, script):
            script = Script.of("ok")
        self.seen.add(request_id)
        turn = Turn(line, bill, script, wire)
        if path.endswith("/embeddings"):
            asked = sum(1 for other in self.bills if other.id == request_id) - 1
            turn = EmbeddingTurn(line, bill, script, wire, asked)
        ended = "complete"
        try:
            turn.play()
        except (ClientGone, OSError):
            ended = "client_gone"
            raise
        except Cut:
            ended = "cut"
            raise
        finally:
            bill.close(ended, (0, 0) if script.name == "zero-usage" else None)

    def is_up(self, model: str, script: Script) -> bool:
        """Of a model that fails for a while."""
        if script.name == "fails":
            self.asked[model] += 1
            return self.asked[model] > script.number(1)
        if script.name != "flaps":
            return False
        down, up = script.numbers
        now = time.monotonic()
        return (now - self.first.setdefault(model, now)) % (down + up) >= down


def _wire(path: str) -> Any:
    if path.endswith("/messages"):
        return scripted_anthropic
    return scripted_gemini if "/models/" in path else answers


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
