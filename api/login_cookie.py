"""The cookie that carries a login of the pages. `__Host-` binds it to this host, to https and to the whole site."""

from typing import cast

from flask import g, request

from api.answer import Answer, empty_answer
from domain.errors import Unauthenticated

NAME = "__Host-sid"

ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Lax"
ENDED = f"{NAME}=; Max-Age=0; {ATTRIBUTES}"
"""Makes the browser forget the cookie."""


def carrying(token: str) -> str:
    return f"{NAME}={token}; {ATTRIBUTES}"


def sent() -> str:
    """What the cookie of the current request holds. Raises Unauthenticated when there is none, or more than one."""
    found = request.cookies.getlist(NAME)
    if len(found) != 1:
        raise Unauthenticated
    return found[0]


def accept(token: str) -> None:
    """The cookie is what this request was authenticated by."""
    g.sid = token


def accepted() -> str | None:
    """The token of the current caller's cookie; None for callers with a bearer token."""
    return cast("str | None", g.get("sid"))


def parting_answer() -> Answer:
    """Done, and a browser can forget the cookie of the login that has just ended."""
    answer = empty_answer()
    if accepted() is not None:
        answer.headers.add("Set-Cookie", ENDED)
    return answer
