"""flask-smorest's blueprint with our reading of bodies and our errors."""

from typing import Any, NoReturn

import flask_smorest
import marshmallow as ma
from flask import Request
from webargs.flaskparser import FlaskParser

from api.json_body import read_json
from domain.errors import InvalidRequest, UnknownField

PREFIX = "/api/v1"

_UNKNOWN = "Unknown field."
_SHOWN = 60


class Strict(ma.Schema):
    """Refuses what it does not name."""

    class Meta:
        unknown = ma.RAISE


class Output(ma.Schema):
    """Grows within v1, so the document does not call it closed."""

    class Meta:
        unknown = ma.EXCLUDE


class _Parser(FlaskParser):
    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {"json": ma.RAISE, "query": ma.RAISE}  # noqa: RUF012 - webargs' own

    def load_json(self, req: Request, schema: ma.Schema) -> Any:  # noqa: ARG002 - webargs' signature
        return read_json()

    def handle_error(self, error: ma.ValidationError, *_: Any, **__: Any) -> NoReturn:
        messages = error.messages
        raise refusal(next(iter(messages.values())) if isinstance(messages, dict) else messages)


class Blueprint(flask_smorest.Blueprint):
    """One per noun; its name is the tag in the OpenAPI document."""

    ARGUMENTS_PARSER = _Parser()

    def __init__(self, name: str, import_name: str, description: str) -> None:
        super().__init__(name, import_name, url_prefix=PREFIX, description=description)


def refusal(messages: Any) -> InvalidRequest:
    """The first of marshmallow's messages, with the dotted path of the field it is about."""
    path: list[str] = []
    while isinstance(messages, dict):
        key, messages = next(iter(messages.items()))
        if key != "_schema":
            path.append(str(key)[:_SHOWN])
    message = messages[0] if isinstance(messages, list) else str(messages)
    param = ".".join(path) or None
    if message == _UNKNOWN:
        return UnknownField(f"{param}: is not accepted here.", param=param)
    return InvalidRequest(f"{param}: {message}" if param else message, param=param)
