"""`POST /chat/completions`: OpenAI's dialect, so that its SDKs run unchanged."""

from dependency_injector.wiring import Provide, inject

from api.answer import Answer
from api.auth import requires
from api.idempotency import once
from api.json_body import LARGE, read_json
from api.v1.blueprint import Blueprint
from api.v1.bodies import completion_body
from api.v1.completed import completed
from api.v1.completion_request import CompletionRequest, completion_request
from api.v1.documentation import COMPLETION
from api.v1.streams import CompletionChunks
from application.completions import CompletionService
from domain.user import Scope

blueprint = Blueprint("completions", __name__, "OpenAI's dialect")


@blueprint.route("/chat/completions", methods=["POST"])
@blueprint.doc(**COMPLETION)
@requires(Scope.CHAT)
@inject
def create_completion(completions: CompletionService = Provide["completions"]) -> Answer:
    """Complete a conversation."""
    body = read_json(LARGE)
    asked = completion_request(body)
    return once(body, lambda: _completed(completions, asked))


def _completed(completions: CompletionService, asked: CompletionRequest) -> Answer:
    return completed(
        completions,
        asked.order,
        streamed=asked.streamed,
        body=completion_body,
        events=lambda stream, began_at: CompletionChunks(stream, began_at, usage=asked.usage),
    )
