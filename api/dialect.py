"""In whose words a route speaks: what its errors look like, and which header may carry its credential.

It is a property of the view, as its policy is; routes of ours have OpenAI's error body, so nothing is declared there.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

from flask import Flask, current_app, request
from werkzeug.exceptions import MethodNotAllowed

View = TypeVar("View", bound=Callable[..., Any])

_ATTRIBUTE = "parley_dialect"


class Dialect(StrEnum):
    """`MESSAGES` is Anthropic's, `COMPLETIONS` OpenAI's, whose errors those of our own routes are like."""

    COMPLETIONS = "completions"
    MESSAGES = "messages"


def speaks(dialect: Dialect) -> Callable[[View], View]:
    """Declare the dialect of a view. Decorators above keep the declaration, as `functools.wraps` does."""

    def declare(view: View) -> View:
        setattr(view, _ATTRIBUTE, dialect)
        return view

    return declare


def dialect_of(app: Flask, endpoint: str) -> Dialect:
    return getattr(app.view_functions[endpoint], _ATTRIBUTE, Dialect.COMPLETIONS)


def current_dialect() -> Dialect:
    """Of the route that the current request was matched to, by its path alone where its method was wrong."""
    endpoint = request.endpoint or _endpoint_by_path()
    return Dialect.COMPLETIONS if endpoint is None else dialect_of(current_app, endpoint)


def _endpoint_by_path() -> str | None:
    refused = request.routing_exception
    routes = current_app.create_url_adapter(request)
    if not isinstance(refused, MethodNotAllowed) or not refused.valid_methods or routes is None:
        return None
    endpoint: str = routes.match(method=next(iter(refused.valid_methods)))[0]
    return endpoint
