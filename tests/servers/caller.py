"""A client of the API that sees everything: status, headers and bytes."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ABSENT: Any = object()


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw) if self.raw else None

    @property
    def code(self) -> str | None:
        """Of the error, None for a good answer."""
        body = self.json if self.raw.startswith(b"{") else {}
        return body["error"]["code"] if "error" in body else None

    def cookie(self, name: str) -> str | None:
        """The value that the answer sets, `` when it takes the cookie away."""
        for header in self.headers.get_all("Set-Cookie") or []:
            if header.startswith(f"{name}="):
                return header.partition(";")[0].partition("=")[2]
        return None


@dataclass
class Caller:
    """`headers` go with every request; a body is JSON unless it is bytes."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)
    prefix: str = "/api/v1"

    def bearing(self, token: str) -> "Caller":
        return Caller(self.port, {"Authorization": f"Bearer {token}"}, self.prefix)

    def call(self, method: str, path: str, body: Any = ABSENT, headers: Mapping[str, str] | None = None) -> Reply:
        given = {**self.headers, **(headers or {})}
        if body is not ABSENT and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            given.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, self.prefix + path, None if body is ABSENT else body, given)
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.call("GET", path, headers=headers)

    def post(self, path: str, body: Any = ABSENT, **headers: str) -> Reply:
        return self.call("POST", path, body, headers)
