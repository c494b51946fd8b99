"""`POST /responses`: OpenAI's newer dialect, stateless, so that its SDKs and its Codex run unchanged."""

from dependency_injector.wiring import Provide, inject

from api.answer import Answer
from api.auth import requires
from api.idempotency import once
from api.json_body import LARGE, read_json
from api.v1.blueprint import Blueprint
from api.v1.completed import completed
from api.v1.responses_answer import response_body
from api.v1.responses_documentation import RESPONSE
from api.v1.responses_request import ResponseRequest, response_request, told
from api.v1.responses_stream import ResponseEvents
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
        return completed(
            completions,
            asked.order,
            streamed=asked.streamed,
            body=lambda answer: response_body(answer, asked),
            events=lambda stream, began_at: ResponseEvents(stream, began_at, asked),
        )
    except UnsupportedParameter as refused:
        raise told(refused) from None
