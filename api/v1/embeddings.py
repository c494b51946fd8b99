"""`POST /embeddings`: OpenAI's dialect, so that its SDKs run unchanged."""

from base64 import b64encode
from collections.abc import Iterator

import gevent
import orjson
from dependency_injector.wiring import Provide, inject

from api.answer import Answer
from api.auth import current_principal, requires
from api.idempotency import once
from api.json_body import read_json
from api.paid import begin_call
from api.v1.blueprint import Blueprint
from api.v1.bodies import money, paid_answer
from api.v1.embedding_documentation import EMBEDDING
from api.v1.embedding_request import BODY, EmbeddingRequest, embedding_request
from application.embeddings import EmbeddingService
from application.order import Outcome
from domain.embedding import Embeddings, unpacked
from domain.user import Scope

blueprint = Blueprint("embeddings", __name__, "OpenAI's dialect")

_AT_ONCE = 16
"""Vectors that are written before others have their turn: thousands of long ones take most of a second."""


@blueprint.route("/embeddings", methods=["POST"])
@blueprint.doc(**EMBEDDING)
@requires(Scope.EMBEDDINGS)
@inject
def create_embeddings(embeddings: EmbeddingService = Provide["embeddings"]) -> Answer:
    """Turn texts into vectors."""
    body = read_json(BODY)
    asked = embedding_request(body)
    return once(body, lambda: _embedded(embeddings, asked))


def _embedded(embeddings: EmbeddingService, asked: EmbeddingRequest) -> Answer:
    with begin_call(streamed=False) as paid:
        answer = embeddings.embed(current_principal(), asked.order, paid.call)
        return paid_answer(_body(answer, base64=asked.base64), answer)


def _body(answer: Outcome[Embeddings], *, base64: bool) -> bytes:
    write = _base64 if base64 else _digits
    vectors = (write(vector) for vector in answer.result.vectors)
    usage = answer.usage
    rest = {
        "model": answer.model,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "total_tokens": usage.total_tokens,
            "cost": money(answer.cost),
            "source": usage.source,
        },
    }
    return b'{"object":"list","data":[' + b",".join(_items(vectors)) + b"]," + orjson.dumps(rest)[1:]


def _items(vectors: Iterator[bytes]) -> Iterator[bytes]:
    """Vector by vector: as Python's numbers all of them together would take ten times their bytes."""
    for index, vector in enumerate(vectors):
        if index % _AT_ONCE == _AT_ONCE - 1:
            gevent.sleep(0)
        yield b'{"object":"embedding","index":%d,"embedding":%b}' % (index, vector)


def _base64(vector: bytes) -> bytes:
    return b'"' + b64encode(vector) + b'"'


def _digits(vector: bytes) -> bytes:
    return orjson.dumps(unpacked(vector))
