"""The shapes of sessions, chat and errors: what comes in and what goes out. Business rules are the domain's."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from api.v1.blueprint import Output, Strict
from api.v1.fields import QueryInteger, StrictBoolean, StrictFloat, Time, Word, note
from application.sessions import SessionDraft
from domain.session import TITLE_LENGTH, SessionConfig, Strategy

TEXT_LENGTH = 200_000
PAGE = 100
CURSOR_LENGTH = 64

_MODEL = note("The provider's own name of the model, or `provider/model`.", example="gpt-4o-mini")


class ConfigIn(Strict):
    """A null leaves a setting to the provider."""

    temperature = StrictFloat(allow_none=True, validate=validate.Range(0, 2))
    max_tokens = ma.fields.Integer(strict=True, allow_none=True, validate=validate.Range(1, 10_000_000))
    top_p = StrictFloat(allow_none=True, validate=validate.Range(0, 1))
    system_prompt = ma.fields.String(allow_none=True, validate=validate.Length(max=TEXT_LENGTH))
    history = ma.fields.Integer(
        strict=True,
        validate=validate.Range(0, 1_000),
        metadata=note("How many earlier messages a turn sends along at most."),
    )
    context = ma.fields.Enum(
        Strategy,
        by_value=True,
        metadata=note(
            "What becomes of messages that do not fit any more: they stay behind (`sliding`), a summary by a model "
            "is sent in their place (`summary`), or the turn is refused (`error`)."
        ),
    )


class SessionIn(Strict):
    title = ma.fields.String(
        load_default="",
        validate=validate.Length(max=TITLE_LENGTH),
        metadata=note("Without one, the start of the first message becomes the title."),
    )
    ai_provider = Word(64, load_default=None, allow_none=True, metadata=note("One of those in `GET /models`."))
    model = Word(200, load_default=None, allow_none=True, metadata=_MODEL)
    config = ma.fields.Nested(ConfigIn, load_default=dict)

    @ma.post_load
    def draft(self, fields: dict[str, Any], **_: Any) -> SessionDraft:
        return SessionDraft(**{**fields, "config": SessionConfig(**fields["config"])})


class SessionChangeIn(Strict):
    """Changes only what it names, inside `config` as well."""

    title = ma.fields.String(validate=validate.Length(max=TITLE_LENGTH))
    ai_provider = Word(64)
    model = Word(200, metadata=_MODEL)
    config = ma.fields.Nested(ConfigIn)


class ConfigOut(Output):
    temperature = ma.fields.Float(required=True, allow_none=True)
    max_tokens = ma.fields.Integer(required=True, allow_none=True)
    top_p = ma.fields.Float(required=True, allow_none=True)
    system_prompt = ma.fields.String(required=True, allow_none=True)
    history = ma.fields.Integer(required=True)
    context = ma.fields.Enum(Strategy, by_value=True, required=True)


class SessionOut(Output):
    id = ma.fields.String(required=True, metadata={"example": "sess_01jd3v8k2f8e7c9m4q5r6s7t8v"})
    title = ma.fields.String(required=True)
    ai_provider = ma.fields.String(required=True, attribute="provider")
    model = ma.fields.String(required=True)
    config = ma.fields.Nested(ConfigOut, required=True)
    message_count = ma.fields.Integer(required=True)
    active_request_id = ma.fields.String(
        required=True, allow_none=True, metadata=note("The generation that is running, to stop it.")
    )
    created_at = Time(required=True)
    updated_at = Time(required=True)


class MessageOut(Output):
    id = ma.fields.String(required=True)
    session_id = ma.fields.String(required=True)
    seq = ma.fields.Integer(required=True, metadata=note("1, 2, 3 … without a gap inside one session."))
    role = ma.fields.String(required=True)
    content = ma.fields.String(required=True)
    state = ma.fields.String(required=True, metadata=note("`incomplete`: the answer was cut."))
    model = ma.fields.String(required=True, allow_none=True)
    finish_reason = ma.fields.String(required=True, allow_none=True)
    request_id = ma.fields.String(required=True, allow_none=True)
    created_at = Time(required=True)


class PageIn(Strict):
    limit = QueryInteger(load_default=20, validate=validate.Range(1, PAGE), metadata=note("Items on a page."))
    cursor = Word(CURSOR_LENGTH, load_default=None, metadata=note("`next_cursor` of the page before."))


class MessagePageIn(Strict):
    limit = QueryInteger(load_default=20, validate=validate.Range(1, PAGE), metadata=note("Items on a page."))
    cursor = QueryInteger(
        load_default=0, validate=validate.Range(0, 999_999_999), metadata=note("`next_cursor` of the page before.")
    )


class SessionPageOut(Output):
    data = ma.fields.List(ma.fields.Nested(SessionOut), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


class MessagePageOut(Output):
    data = ma.fields.List(ma.fields.Nested(MessageOut), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


class ExportIn(Strict):
    format = ma.fields.String(load_default="json", validate=validate.OneOf(["json", "markdown"]))


class ExportOut(Output):
    session = ma.fields.Nested(SessionOut, required=True)
    messages = ma.fields.List(ma.fields.Nested(MessageOut), required=True)


class ChatIn(Strict):
    session_id = Word(64, required=True)
    message = ma.fields.String(required=True, validate=validate.Length(1, TEXT_LENGTH))
    stream = StrictBoolean(load_default=False, metadata=note("True answers as `POST /chat/stream` does."))
    model = Word(200, load_default=None, allow_none=True, metadata=note("`provider/model` for this turn only."))


class ChatUsageOut(Output):
    prompt_tokens = ma.fields.Integer(required=True)
    completion_tokens = ma.fields.Integer(required=True)
    total_tokens = ma.fields.Integer(required=True)
    cached_tokens = ma.fields.Integer(required=True)
    cost = ma.fields.Float(required=True, allow_none=True, metadata=note("Null when the model's price is not known."))
    source = ma.fields.String(
        required=True, validate=validate.OneOf(["provider", "estimated", "none"]), metadata=note("Who counted.")
    )


class ContextOut(Output):
    tokens = ma.fields.Integer(required=True, metadata=note("What the model was sent."))
    dropped_messages = ma.fields.Integer(required=True, metadata=note("Earlier messages that it was not sent."))
    summarized_messages = ma.fields.Integer(
        required=True, metadata=note("Earlier messages that it was sent a summary of.")
    )
    method = ma.fields.String(
        required=True, metadata=note("How tokens were counted: the name of a tokenizer, or the estimate `chars/4`.")
    )


class ChatAnswerOut(Output):
    id = ma.fields.String(required=True)
    request_id = ma.fields.String(required=True)
    session_id = ma.fields.String(required=True)
    role = ma.fields.String(required=True)
    content = ma.fields.String(required=True)
    finish_reason = ma.fields.String(required=True)
    model = ma.fields.String(required=True, metadata=note("`provider/model` that answered."))
    usage = ma.fields.Nested(ChatUsageOut, required=True)
    context = ma.fields.Nested(ContextOut, required=True)


class StoppingOut(Output):
    request_id = ma.fields.String(required=True)
    status = ma.fields.String(required=True, validate=validate.OneOf(["stopping"]))


class ErrorDetailOut(Output):
    message = ma.fields.String(required=True)
    type = ma.fields.String(required=True, metadata=note("OpenAI's kind of error.", example="invalid_request_error"))
    code = ma.fields.String(required=True, metadata=note("The contract: programs compare this one."))
    param = ma.fields.String(
        required=True, allow_none=True, metadata=note("The offending field.", example="config.temperature")
    )
    request_id = ma.fields.String(required=True)
    retryable = ma.fields.Boolean(required=True, metadata=note("Whether the same request can succeed later."))
    provider = ma.fields.String(required=True, allow_none=True)


class ErrorOut(Output):
    error = ma.fields.Nested(ErrorDetailOut, required=True)
