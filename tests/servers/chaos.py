"""Hundreds of requests of all kinds, of which many go wrong, while workers die at random moments. A seed repeats it."""

import http.client
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.servers.dialects import CHAT, DIALECTS, Dialect, Told
from tests.servers.gateway import Gateway

GOOD = (
    "primary/ok-n-5",
    "primary/ok-n-40",
    "primary/slow-30ms",
    "primary/slow-100ms",
    "primary/classes",
    "backup/ok-n-9",
)
ODD = ("primary/no-usage", "primary/zero-usage", "primary/rst-at-end", "primary/no-done")
ROUTED = {
    "once-500": "500-once",
    "always-503": "503",
    "limited": "429-ra-9",
    "reset": "rst",
    "silent": "ttfb-30",
    "cut": "rst-after-3",
    "ended": "eof-after-3",
    "stalled": "stall-after-3",
    "malformed": "bad-json-events-5",
    "flapping": "flaps-2-2",
    "refused": "param",
}
"""Routes, and how the primary of each behaves; the backup comes second."""
RARE = ("silent", "stalled")
"""They take seconds."""


@dataclass(frozen=True)
class Request:
    """One request; `leaves` is after how many bytes of the answer, or seconds of waiting for it, its client goes."""

    number: int
    model: str
    dialect: Dialect | None
    """None asks for embeddings."""
    streamed: bool
    session: int | None = None
    leaves: int | float | None = None


@dataclass
class Seen:
    """What one client saw. Without an id its headers never came; `told` stays None when the line broke."""

    request: Request
    request_id: str | None = None
    status: int = 0
    told: Told | None = None


@dataclass
class Chaos:
    """`begun` counts the answers that have begun."""

    gateway: Gateway
    key: str
    sessions: list[str]
    seed: int
    requests: int = 300
    clients: int = 16
    begun: int = 0
    kills: int = 0
    seen: list[Seen] = field(default_factory=list)

    def run(self) -> "Chaos":
        over = threading.Event()
        with ThreadPoolExecutor(self.clients + 1) as pool:
            killer = pool.submit(self._kill_now_and_then, over)
            try:
                self.seen = list(pool.map(self._ask, requests(self.seed, self.requests, len(self.sessions))))
            finally:
                over.set()
                killer.result()
        return self

    def lines(self) -> list[str]:
        kinds = Counter(_kind(seen) for seen in self.seen)
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        return [f"seed {self.seed}: {len(self.seen)} requests, {self.kills} workers killed", f"clients saw: {told}"]

    def _ask(self, request: Request) -> Seen:
        seen = Seen(request)
        path, body = self._body(request)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=30)
        try:
            connection.request("POST", "/api/v1" + path, json.dumps(body), headers)
            if isinstance(request.leaves, float):
                time.sleep(request.leaves)
                return seen
            answer = connection.getresponse()
            seen.request_id, seen.status = answer.headers["X-Request-Id"], answer.status
            self.begun += 1
            self._read(answer, seen)
        except (OSError, http.client.HTTPException):
            pass
        finally:
            _hang_up(connection)
        return seen

    def _body(self, request: Request) -> tuple[str, dict[str, Any]]:
        question = f"call {request.number}"
        if request.dialect is None:
            return "/embeddings", {"model": request.model, "input": [question, "and another"]}
        also = {} if request.session is None else {"session_id": self.sessions[request.session]}
        return request.dialect.request(request.model, streamed=request.streamed, question=question, **also)

    def _read(self, answer: http.client.HTTPResponse, seen: Seen) -> None:
        request = seen.request
        if request.leaves is not None:
            answer.read(int(request.leaves))
            answer.close()
            return
        raw = answer.read()
        if request.dialect is not None and answer.status == 200 and request.streamed:
            seen.told = request.dialect.heard(raw)
        elif request.dialect is not None and answer.status == 200:
            seen.told = Told()
            request.dialect.whole(seen.told, json.loads(raw))

    def _kill_now_and_then(self, over: threading.Event) -> None:
        """Each time some more answers have begun, and a random moment later."""
        dice, target = random.Random(self.seed), 10  # noqa: S311 - moments, not secrets
        while not over.wait(dice.uniform(0.0, 0.1)):
            workers = self.gateway.workers()
            if self.begun >= target and workers:
                self.gateway.kill_worker(dice.randrange(len(workers)))
                self.kills += 1
                target = self.begun + dice.randrange(15, 45)


def requests(seed: int, count: int, sessions: int) -> list[Request]:
    dice = random.Random(seed)  # noqa: S311 - a plan, no secret
    return [_request(dice, number, sessions) for number in range(count)]


def _request(dice: random.Random, number: int, sessions: int) -> Request:
    dialect = dice.choice([*DIALECTS, *DIALECTS, None])
    frequent = [name for name in ROUTED if name not in RARE]
    model = dice.choice([*GOOD, *GOOD, *ODD, *frequent, *frequent, *(RARE if number % 4 == 0 else ())])
    leaving: Callable[[], int | float | None] = dice.choice(
        [*[lambda: None] * 6, lambda: dice.uniform(0, 0.2), lambda: dice.choice([1, 300, 900])]
    )
    if dialect is None:
        return Request(
            number, dice.choice(["primary/ok", "primary/500-once", "primary/no-usage"]), None, streamed=False
        )
    session = dice.randrange(sessions) if dialect is CHAT else None
    return Request(number, model, dialect, dice.random() < 0.7, session, leaving())


def _hang_up(connection: http.client.HTTPConnection) -> None:
    """At once, although the answer's reader may still hold the socket."""
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()


def _kind(seen: Seen) -> str:
    if seen.request.leaves is not None:
        return "left"
    if seen.request_id is None:
        return "no answer"
    if seen.status != 200:
        return str(seen.status)
    if seen.request.dialect is None or (seen.told is not None and seen.told.whole):
        return "complete"
    return "broken line" if seen.told is None or seen.told.code is None else "error event"
