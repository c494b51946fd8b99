"""`/images`: made while the caller waits, in OpenAI's dialect, or in the background."""

from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from typing import Any

import orjson
from dependency_injector.wiring import Provide, inject
from flask import g

from api.answer import Answer, empty_answer, json_answer
from api.auth import current_principal, requires
from api.idempotency import once
from api.json_body import read_json
from api.paid import begin_call
from api.trace import current_trace
from api.v1.blueprint import PREFIX, Blueprint
from api.v1.bodies import money, paid_answer
from api.v1.documentation import NO_CONTENT
from api.v1.image_documentation import IMAGE, IMAGE_JOB
from api.v1.image_request import ImageRequest, image_request, job_request
from api.v1.image_schemas import ImageJobOut, ImageJobPageOut
from api.v1.paging import page
from api.v1.schemas import PageIn
from application.image_jobs import ImageJobService, JobView
from application.images import ImageOrder, ImageService, KeptImage, Made
from application.order import Outcome
from domain.user import Scope

blueprint = Blueprint("images", __name__, "Images made from words")


@blueprint.route("/images/generations", methods=["POST"])
@blueprint.doc(**IMAGE)
@requires(Scope.IMAGES)
@inject
def create_images(images: ImageService = Provide["images"], public_url: str = Provide["public_url"]) -> Answer:
    """Make images, and wait for them."""
    body = read_json()
    asked = image_request(body)
    return once(body, lambda: _made(images, asked, public_url))


@blueprint.route("/images", methods=["POST"])
@blueprint.doc(**IMAGE_JOB)
@requires(Scope.IMAGES)
@inject
def create_image_job(jobs: ImageJobService = Provide["image_jobs"]) -> Answer:
    """Have images made in the background."""
    body = read_json()
    order = job_request(body)
    return once(body, lambda: _started(jobs, order))


@blueprint.route("/images", methods=["GET"])
@blueprint.arguments(PageIn, location="query")
@blueprint.response(200, ImageJobPageOut)
@blueprint.doc(operationId="listImageJobs")
@requires(Scope.IMAGES)
@inject
def list_image_jobs(query: dict[str, Any], jobs: ImageJobService = Provide["image_jobs"]) -> dict[str, Any]:
    """List one's jobs, newest first."""
    read = partial(jobs.page, current_principal(), cursor=query["cursor"])
    return page(read, query["limit"], _id)


@blueprint.route("/images/<image_job:job_id>", methods=["GET"])
@blueprint.response(200, ImageJobOut)
@blueprint.doc(operationId="getImageJob")
@requires(Scope.IMAGES)
@inject
def get_image_job(job_id: str, jobs: ImageJobService = Provide["image_jobs"]) -> JobView:
    """Tell how far a job is, and which files it made."""
    return jobs.get(current_principal(), job_id)


@blueprint.route("/images/<image_job:job_id>", methods=["DELETE"])
@blueprint.doc(
    operationId="deleteImageJob",
    description="One that runs is stopped; what the provider bills for it all the same is in the usage records. The "
    "files that it made stay.",
    **NO_CONTENT,
)
@requires(Scope.IMAGES)
@inject
def delete_image_job(job_id: str, jobs: ImageJobService = Provide["image_jobs"]) -> Answer:
    """Stop and forget a job."""
    jobs.delete(current_principal(), job_id)
    return empty_answer()


def _made(images: ImageService, asked: ImageRequest, public_url: str) -> Answer:
    with begin_call(streamed=False) as paid:
        answer = images.make(current_principal(), asked.order, paid.call)
        return paid_answer(_body(answer, asked, public_url), answer)


def _started(jobs: ImageJobService, order: ImageOrder) -> Answer:
    g.call = call = jobs.call(current_trace().request_id)
    job = jobs.start(current_principal(), order, call)
    return json_answer(orjson.dumps(ImageJobOut().dump(JobView(job, ()))), 202)


def _body(answer: Outcome[Made], asked: ImageRequest, public_url: str) -> bytes:
    usage = answer.usage
    rest = {
        "created": int(answer.started_at.timestamp()),
        "model": answer.model,
        "usage": {
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "input_tokens_details": {"text_tokens": usage.prompt_tokens, "image_tokens": 0},
            "images": usage.images,
            "cost": money(answer.cost),
            "source": usage.source,
        },
    }
    items = b",".join(_items(answer.result, asked, public_url))
    return orjson.dumps(rest)[:-1] + b',"data":[' + items + b"]}"


def _items(made: Made, asked: ImageRequest, public_url: str) -> Iterator[bytes]:
    """Base64 needs no escaping, and there may be much of it."""
    for kept in made.images:
        head = orjson.dumps(_told(kept, asked, public_url))
        yield head[:-1] + b',"b64_json":"' + b64encode(kept.image.content) + b'"}' if asked.base64 else head


def _told(kept: KeptImage, asked: ImageRequest, public_url: str) -> dict[str, str]:
    told = {"file_id": kept.file.id}
    if asked.urls:
        told["url"] = f"{public_url}{PREFIX}/files/{kept.file.id}/content"
    if kept.image.revised_prompt is not None:
        told["revised_prompt"] = kept.image.revised_prompt
    return told


def _id(view: JobView) -> str:
    return view.job.id
