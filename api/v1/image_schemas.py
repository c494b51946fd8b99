"""The shapes of image jobs and files."""

import marshmallow as ma
from marshmallow import validate

from api.v1.blueprint import Output
from api.v1.fields import Money, Sum, Time, note
from api.v1.schemas import PageIn
from domain.image_job import JobStatus
from domain.stored_file import Purpose


class FileOut(Output):
    id = ma.fields.String(required=True)
    name = ma.fields.String(required=True)
    purpose = ma.fields.String(required=True, validate=validate.OneOf([it.value for it in Purpose]))
    media_type = ma.fields.String(required=True, metadata=note("What the content itself is.", example="image/png"))
    size = ma.fields.Integer(required=True, metadata=note("Bytes."))
    sha256 = ma.fields.String(required=True, metadata=note("Of the content, in hexadecimal."))
    request_id = ma.fields.String(required=True, allow_none=True, metadata=note("The call that made it."))
    created_at = Time(required=True)


class FilePageIn(PageIn):
    purpose = ma.fields.Enum(Purpose, by_value=True, load_default=None, metadata=note("Only files of this purpose."))


class FilePageOut(Output):
    data = ma.fields.List(ma.fields.Nested(FileOut), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


class ImageUsageOut(Output):
    input_tokens = ma.fields.Integer(required=True, attribute="prompt_tokens")
    output_tokens = ma.fields.Integer(required=True, attribute="completion_tokens")
    total_tokens = Sum("prompt_tokens", "completion_tokens", required=True)
    images = ma.fields.Integer(required=True, metadata=note("How many the provider bills."))
    source = ma.fields.String(
        required=True, validate=validate.OneOf(["provider", "estimated", "none"]), metadata=note("Who counted.")
    )


class JobErrorOut(Output):
    code = ma.fields.String(required=True)
    message = ma.fields.String(required=True)
    param = ma.fields.String(required=True, allow_none=True)
    provider = ma.fields.String(required=True, allow_none=True)
    retryable = ma.fields.Boolean(required=True)


class ImageJobOut(Output):
    id = ma.fields.String(required=True, attribute="job.id")
    request_id = ma.fields.String(required=True, attribute="job.request_id")
    status = ma.fields.String(
        required=True, attribute="job.status", validate=validate.OneOf([it.value for it in JobStatus])
    )
    progress = ma.fields.Float(required=True, attribute="job.progress", metadata=note("0.0 to 1.0."))
    model = ma.fields.String(required=True, attribute="job.model")
    prompt = ma.fields.String(required=True, attribute="job.prompt")
    n = ma.fields.Integer(required=True, attribute="job.count")
    size = ma.fields.String(required=True, allow_none=True, attribute="job.size")
    files = ma.fields.List(
        ma.fields.Nested(FileOut), required=True, metadata=note("Those that have not been deleted since.")
    )
    error = ma.fields.Nested(JobErrorOut, required=True, allow_none=True, attribute="job.error")
    usage = ma.fields.Nested(ImageUsageOut, required=True, allow_none=True, attribute="job.usage")
    cost = Money(
        required=True,
        allow_none=True,
        attribute="job.cost",
        metadata=note("Null until it is over, and when the model's price is not known."),
    )
    created_at = Time(required=True, attribute="job.created_at")
    ended_at = Time(required=True, allow_none=True, attribute="job.ended_at")


class ImageJobPageOut(Output):
    data = ma.fields.List(ma.fields.Nested(ImageJobOut), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)
