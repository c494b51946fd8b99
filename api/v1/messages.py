"""`POST /messages` and `/messages/count_tokens`: Anthropic's dialect, so that its SDKs run unchanged."""

import orjson
from dependency_injector.wiring import Provide, inject
from flask import Response

from api.answer import Answer, json_answer
from api.auth import current_principal, requires
from api.dialect import Dialect, speaks
from api.idempotency import once
from api.json_body import LARGE, read_json
from api.trace import current_trace
from api.v1.blueprint import Blueprint
from api.v1.completed import completed
from api.v1.messages_answer import message_body
from api.v1.messages_documentation import COUNT_TOKENS, MESSAGE
from api.v1.messages_request import MessageRequest, count_request, in_our_words, message_request
from api.v1.messages_stream import MessageEvents
from application.completions import CompletionService
from application.token_count import TokenCountService
from domain.errors import UnsupportedParameter
from domain.user import Scope

blueprint = Blueprint("messages", __name__, "The Messages API")


@blueprint.after_request
def _tell_request_id(response: Response) -> Response:
    """Where Anthropic's SDKs look for it."""
    response.headers.add("request-id", current_trace().request_id)
    return response


@blueprint.route("/messages", methods=["POST"])
@blueprint.doc(**MESSAGE)
@speaks(Dialect.MESSAGES)
@requires(Scope.CHAT)
@inject
def create_message(completions: CompletionService = Provide["completions"]) -> Answer:
    """Answer a conversation."""
    body = read_json(LARGE)
    asked = message_request(body)
    return once(body, lambda: _completed(completions, asked))


@blueprint.route("/messages/count_tokens", methods=["POST"])
@blueprint.doc(**COUNT_TOKENS)
@speaks(Dialect.MESSAGES)
@requires(Scope.CHAT)
@inject
def count_message_tokens(token_counts: TokenCountService = Provide["token_counts"]) -> Answer:
    """Count the tokens of a conversation."""
    order = count_request(read_json(LARGE))
    return json_answer(orjson.dumps({"input_tokens": token_counts.count(current_principal(), order)}))


def _completed(completions: CompletionService, asked: MessageRequest) -> Answer:
    try:
        return completed(
            completions,
            asked.order,
            streamed=asked.streamed,
            body=message_body,
            events=lambda stream, _: MessageEvents(stream),
        )
    except UnsupportedParameter as error:
        raise in_our_words(error) from None
