"""The OpenAPI document, made from the code, and completed with what holds for every route."""

import re
from importlib.metadata import version
from typing import Any, cast

import flask_smorest
import orjson
from apispec.ext.marshmallow import MarshmallowPlugin, resolver
from flask import Flask

from api.auth import PUBLIC, policy_of
from api.dialect import Dialect, dialect_of
from api.v1.completion_request import COMPLETION_SCHEMAS
from api.v1.documentation import ANSWER_SCHEMAS
from api.v1.embedding_documentation import EMBEDDING_ANSWER_SCHEMAS
from api.v1.embedding_request import EMBEDDING_SCHEMAS
from api.v1.image_documentation import IMAGE_ANSWER_SCHEMAS
from api.v1.image_request import IMAGE_SCHEMAS
from api.v1.messages_documentation import MESSAGES_ANSWER_SCHEMAS
from api.v1.messages_schema import MESSAGES_SCHEMAS
from api.v1.responses_documentation import RESPONSE_ANSWER_SCHEMAS
from api.v1.responses_request import RESPONSE_SCHEMAS
from api.v1.schemas import ChatAnswerOut, ErrorOut, ExportOut

Document = dict[str, Any]

BEARER = "bearer"
API_KEY = "apiKey"

_SCHEMAS = (
    COMPLETION_SCHEMAS,
    ANSWER_SCHEMAS,
    RESPONSE_SCHEMAS,
    RESPONSE_ANSWER_SCHEMAS,
    MESSAGES_SCHEMAS,
    MESSAGES_ANSWER_SCHEMAS,
    EMBEDDING_SCHEMAS,
    EMBEDDING_ANSWER_SCHEMAS,
    IMAGE_SCHEMAS,
    IMAGE_ANSWER_SCHEMAS,
)
_FIRST_ERROR = 400
_CONVERTED = re.compile(r"<(?:\w+:)?(\w+)>")

_DESCRIPTION = """\
Parley puts every AI chat provider behind one bearer-token API.

Errors of every route have the same body, on `/messages` in another envelope; its `code` is the contract.
Every answer carries `X-Request-Id`.
Lists are pages: `next_cursor` of one page is the `cursor` of the next, and null at the end."""

_CREDENTIAL = """\
An API key, or the access token of a login. Pages of Parley's own use a cookie instead (`POST /auth/login` with
`cookie`), and send `X-CSRF-Token` with whatever changes something."""

_ALWAYS = {500: "Something went wrong in the gateway", 503: "Not available at the moment; see `Retry-After`"}
_CALLER = {401: "No valid credential", 403: "The key may not do that", 429: "Too many requests; see `Retry-After`"}
_BODY = {
    400: "The request is not valid",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "The body is not JSON",
}
_PAID = {
    402: "Not enough is left of a budget",
    404: "No such model or session",
    409: "Another message of this session, or the first request with this idempotency key, is being answered",
    422: "The idempotency key belongs to another request",
    499: "The generation was stopped",
    502: "The provider failed",
    504: "The provider took too long",
}
_BY_OPERATION = {
    "createSession": {404: "No such model"},
    "countMessageTokens": {404: "No such model"},
    "createKey": {404: "No such team"},
    "listKeys": {404: "No such team"},
    "getOwnKey": {404: "A login has no key"},
    "register": {403: "Registration needs an invitation"},
    "login": {401: "Wrong address, password or code", 403: "With a cookie: not one of our own pages"},
    "removeSecondFactor": {404: "There is no second factor"},
    "getOidc": {404: "There is no identity provider"},
    "startOidc": {404: "There is no identity provider"},
    "finishOidc": {404: "There is no identity provider"},
}
_PAID_OPERATIONS = frozenset(
    {
        "createChatCompletion",
        "createEmbeddings",
        "createImageJob",
        "createImages",
        "createMessage",
        "createResponse",
        "sendMessage",
        "streamMessage",
    }
)


class Api(flask_smorest.Api):
    """flask-smorest without its error handlers, which would hide ours, and without pages that load foreign scripts."""

    ERROR_SCHEMA = ErrorOut
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        pass

    def _register_responses(self) -> None:
        """Errors are documented once, in `build_document`."""

    def _register_etag_headers(self) -> None:
        pass

    def _register_pagination_header(self) -> None:
        pass


def make_api(app: Flask) -> Api:
    app.config["OPENAPI_URL_PREFIX"] = None
    api = Api(
        app,
        spec_kwargs={
            "title": "Parley",
            "version": version("parley"),
            "openapi_version": "3.1.0",
            "info": {"description": _DESCRIPTION, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
            "servers": [{"url": "/"}],
            "marshmallow_plugin": MarshmallowPlugin(schema_name_resolver=_component_name),
        },
    )
    components = api.spec.components
    components.security_scheme(BEARER, {"type": "http", "scheme": "bearer", "description": _CREDENTIAL})
    components.security_scheme(API_KEY, {"type": "apiKey", "in": "header", "name": "x-api-key"})
    for schemas in _SCHEMAS:
        for name, schema in schemas.items():
            components.schema(name, schema)
    for output in (ErrorOut, ChatAnswerOut, ExportOut):
        components.schema(_component_name(output), schema=output)
    return api


def build_document(app: Flask) -> Document:
    """The whole document as plain JSON values, in a stable order."""
    api = cast("Api", app.extensions["flask-smorest"]["apis"][""]["ext_obj"])
    document = cast("Document", orjson.loads(orjson.dumps(api.spec.to_dict(), option=orjson.OPT_NON_STR_KEYS)))
    policies = {rule.rule: rule.endpoint for rule in app.url_map.iter_rules()}
    public = {_openapi_path(rule) for rule, endpoint in policies.items() if policy_of(app, endpoint) == PUBLIC}
    of_messages = {
        _openapi_path(rule) for rule, endpoint in policies.items() if dialect_of(app, endpoint) is Dialect.MESSAGES
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if isinstance(operation, dict):
                _complete(operation, named="{" in path, public=path in public)
                if path in of_messages:
                    _speak_messages(operation)
    return document


def _complete(operation: Document, *, named: bool, public: bool) -> None:
    """`named`: the path names an object, which may not exist or not be the caller's."""
    errors = {} if public else {**_ALWAYS, **_CALLER}
    if public and "requestBody" in operation:
        errors = {**_ALWAYS, 429: _CALLER[429]}
    if named:
        errors |= {404: "No such object"}
    if "requestBody" in operation:
        errors |= _BODY
        operation["requestBody"]["required"] = True
    elif "parameters" in operation:
        errors |= {400: _BODY[400]}
    if operation.get("operationId") in _PAID_OPERATIONS:
        errors |= _PAID
    errors |= _BY_OPERATION.get(operation["operationId"], {})
    if not public:
        operation["security"] = [{BEARER: []}]
    responses = operation["responses"]
    for status, description in sorted(errors.items()):
        responses[str(status)] = _error(description)


def _speak_messages(operation: Document) -> None:
    operation["security"] = [{BEARER: []}, {API_KEY: []}]
    for status, told in operation["responses"].items():
        if int(status) >= _FIRST_ERROR:
            told["content"]["application/json"]["schema"] = {"$ref": "#/components/schemas/MessagesError"}


def _error(description: str) -> Document:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _component_name(schema: Any) -> str:
    """`SessionOut` is a session to a reader of the document, `SessionIn` what makes one."""
    name = str(resolver(schema))
    if name.endswith("Out"):
        return name[:-3]
    return f"{name[:-2]}Request" if name.endswith("In") else name


def _openapi_path(rule: str) -> str:
    return _CONVERTED.sub(r"{\1}", rule)
