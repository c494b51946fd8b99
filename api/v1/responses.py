"""`POST /responses`: OpenAI's newer dialect, stateless, so that its SDKs and its Codex run unchanged."""

import orjson
from dependency_injector.wiring import Provide, inject

from api.answer import Answer
from api.auth import current_principal, requires
from api.idempotency import once
from api.json_body import LARGE, read_json
from api.paid import begin_call
from api.v1.blueprint import Blueprint
from api.v1.bodies import paid_answer
from api.v1.responses_answer import response_body
from api.v1.responses_documentation import RESPONSE
from api.v1.responses_request import ResponseRequest, response_request, told
from api.v1.responses_stream import ResponseEvents
from api.v1.streams import stream_answer
from application.completions import CompletionService
from domain.errors import UnsupportedParameter
from domain.user import Scope

blueprint = Blueprint("responses", __name__, "OpenAI's Responses dialect")


@blueprint.route("/responses", methods=["POST"])
@blueprint.doc(**RESPONSE)
@requires(Scope.CHAT)
@inject
def create_response(completions: CompletionService = Provide["completions"]) -> Answer:
    """Answer a conversation of which nothing is kept."""
    body = read_json(LARGE)
    asked = response_request(body)
    return once(body, lambda: _responded(completions, asked))


def _responded(completions: CompletionService, asked: ResponseRequest) -> Answer:
    try:
        return _answered(completions, asked)
    except UnsupportedParameter as refused:
        raise told(refused) from None


def _answered(completions: CompletionService, asked: ResponseRequest) -> Answer:
    principal = current_principal()
    with begin_call(streamed=asked.streamed) as paid:
        if not asked.streamed:
            answer = completions.complete(principal, asked.order, paid.call)
            return paid_answer(orjson.dumps(response_body(answer, asked)), answer)
        stream = completions.stream(principal, asked.order, paid.call)
        events = ResponseEvents(stream, paid.began_at, asked)
        return stream_answer(stream, paid, events.pieces(), events.refusal)
