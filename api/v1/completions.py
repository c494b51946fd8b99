"""`POST /chat/completions`: OpenAI's dialect, so that its SDKs run unchanged."""

import orjson
from dependency_injector.wiring import Provide, inject

from api.answer import Answer
from api.auth import current_principal, requires
from api.idempotency import once
from api.json_body import LARGE, read_json
from api.paid import begin_call
from api.v1.blueprint import Blueprint
from api.v1.bodies import completion_body, paid_answer
from api.v1.completion_request import CompletionRequest, completion_request
from api.v1.documentation import COMPLETION
from api.v1.streams import CompletionChunks, stream_answer
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
    principal = current_principal()
    with begin_call(streamed=asked.streamed) as paid:
        if not asked.streamed:
            answer = completions.complete(principal, asked.order, paid.call)
            return paid_answer(orjson.dumps(completion_body(answer)), answer)
        stream = completions.stream(principal, asked.order, paid.call)
        chunks = CompletionChunks(stream, paid.began_at, usage=asked.usage)
        return stream_answer(stream, paid, chunks.pieces(), chunks.refusal)
