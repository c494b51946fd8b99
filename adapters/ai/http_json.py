"""Calls to a provider over HTTP whose answers are one piece of JSON: what is neither chat nor a stream."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import orjson

from adapters.ai.exchange import Exchange
from adapters.ai.http_chat import AGENT, Refusal, objection, printable
from adapters.ai.profile import Link
from adapters.ai.refusals import discreet
from application.cancellation import Cancellation
from domain.completion import JsonObject
from domain.provider_errors import UpstreamBadJson

_PATHS = 64

Headers = Callable[[str], Mapping[str, str]]
"""Those that carry a key, which may be empty."""


class JsonCalls:
    """With one credential. `headers` makes those that carry it, from a key that may be empty.

    Every failure is a ProviderError without the key in its words: what `refusal` makes of an answer that is not 2xx
    or that has an `error` in place of a result, those of the transport (an answer of more than `exchange.MAX_ANSWER`
    bytes among them), UpstreamBadContent and UpstreamBadJson. Or it is the cancellation's reason.
    An answer is an object, and nothing in it has been looked at.
    """

    def __init__(self, link: Link, headers: Headers, refusal: Refusal) -> None:
        self._link = link
        self._headers = headers
        self._refusal = refusal
        self._keys = (link.key,)
        self._post_head = lru_cache(_PATHS)(partial(_post_head, link, headers))  # no cycle: as in `http_chat`

    def post(self, path: str, body: Mapping[str, Any], cancellation: Cancellation, request_id: str = "") -> JsonObject:
        """The answer may take as long as one that is generated before it is sent."""
        return self._call(self._post_head(path), orjson.dumps(body), cancellation, request_id)

    def send(
        self, path: str, content_type: str, body: bytes, cancellation: Cancellation, request_id: str = ""
    ) -> JsonObject:
        """As `post`, of a body that is not JSON."""
        return self._call(self._head("POST", path, {"Content-Type": content_type}), body, cancellation, request_id)

    def get(self, path: str, cancellation: Cancellation, request_id: str = "") -> JsonObject:
        return self._call(self._head("GET", path, {}), b"", cancellation, request_id)

    def _call(self, head: bytes, body: bytes, cancellation: Cancellation, request_id: str) -> JsonObject:
        with discreet(self._keys):
            exchange = self._link.transport.open(head, body, cancellation, printable(request_id))
            exchange.generates_first()
            exchange.head()
            self._check(exchange)
            return self._read(exchange)

    def _check(self, exchange: Exchange) -> None:
        error = objection(self._refusal, exchange, "json")
        if error is not None:
            exchange.close()
            raise error

    def _read(self, exchange: Exchange) -> JsonObject:
        status, body = exchange.answer.status, exchange.body()
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise UpstreamBadJson from None
        if not isinstance(answer, dict):
            raise UpstreamBadJson
        if answer.get("error"):
            raise self._refusal(status, body, None)
        return answer

    def _head(self, method: str, path: str, content: Mapping[str, str]) -> bytes:
        return _head(self._link, self._headers, method, path, content)


def _post_head(link: Link, headers: Headers, path: str) -> bytes:
    return _head(link, headers, "POST", path, {"Content-Type": "application/json"})


def _head(link: Link, headers: Headers, method: str, path: str, content: Mapping[str, str]) -> bytes:
    own = {**content, "Accept": "application/json", "User-Agent": AGENT, **headers(link.key)}
    return link.transport.head(method, path, own)
