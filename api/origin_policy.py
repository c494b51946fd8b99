"""Under which names and from which pages the API may be reached: trusted hosts, https only, CORS."""

from collections.abc import Collection
from dataclasses import dataclass

from flask import Flask, Response, request

from api.answer import Answer, empty_answer
from domain.errors import Forbidden, InvalidRequest

HSTS = "max-age=31536000; includeSubDomains"
MAX_AGE = "600"
"""Seconds for which a browser may remember a preflight."""

_METHODS = "GET, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = "Authorization, Cache-Control, Content-Type, Idempotency-Key, X-Request-Id"
_ANSWER_HEADERS = (
    "X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, Idempotency-Replayed, X-Parley-Provider, X-Parley-Model, "
    "X-Parley-Attempts, X-Parley-Cache, X-Parley-Cost, X-Parley-Overhead-Ms, X-Parley-Upstream-Ms"
)
_PROBES = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked from inside, by address and in the clear."""


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """`hosts` are exact names, or with a leading dot all names below; empty trusts every name.

    `secure` says that the public address is https, `origins` are the pages of others that may call the API.
    """

    hosts: Collection[str] = ()
    secure: bool = False
    origins: Collection[str] = ()

    def check(self) -> Answer | None:
        """Raises InvalidRequest or Forbidden; answers the question that a browser asks before it calls."""
        environ = request.environ
        if environ["PATH_INFO"] in _PROBES:
            return None
        if self.hosts and not _trusted(environ.get("HTTP_HOST", ""), self.hosts):
            raise InvalidRequest("This server does not answer to that name.")
        if self.secure and environ["wsgi.url_scheme"] != "https":
            raise Forbidden("This server is reached by https only.")
        return _preflight() if self._knows_page() else None

    def tell(self, response: Response) -> Response:
        if self.secure and request.environ["wsgi.url_scheme"] == "https":
            response.headers["Strict-Transport-Security"] = HSTS
        if self._knows_page():
            response.headers["Access-Control-Allow-Origin"] = request.environ["HTTP_ORIGIN"]
            response.headers["Access-Control-Expose-Headers"] = _ANSWER_HEADERS
        return response

    def _knows_page(self) -> bool:
        """Compared exactly; `null`, which any sandboxed page can send, is never in the list."""
        return request.environ.get("HTTP_ORIGIN") in self.origins


def init_origin_policy(app: Flask, policy: OriginPolicy) -> None:
    """Before authentication, so that a refused name or page learns nothing."""
    if policy.hosts or policy.secure or policy.origins:
        app.before_request(policy.check)
        app.after_request(policy.tell)


def _trusted(host: str, names: Collection[str]) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.lower()
    return name in names or any(entry.startswith(".") and name.endswith(entry) for entry in names)


def _preflight() -> Answer | None:
    environ = request.environ
    if environ["REQUEST_METHOD"] != "OPTIONS" or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in environ:
        return None
    answer = empty_answer()
    answer.headers["Access-Control-Allow-Methods"] = _METHODS
    answer.headers["Access-Control-Allow-Headers"] = _REQUEST_HEADERS
    answer.headers["Access-Control-Max-Age"] = MAX_AGE
    return answer
