import json

import pytest

from adapters.ai.openai_errors import in_band, refusal
from domain import provider_errors


def body(message: str = "No.", **fields: object) -> bytes:
    return json.dumps({"error": {"message": message, **fields}}).encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, provider_errors.UpstreamRedirect),
        (400, provider_errors.UpstreamRejected),
        (401, provider_errors.UpstreamAuth),
        (402, provider_errors.UpstreamAuth),
        (403, provider_errors.UpstreamForbidden),
        (404, provider_errors.UpstreamRejected),
        (408, provider_errors.UpstreamTimeout),
        (409, provider_errors.UpstreamRejected),
        (413, provider_errors.UpstreamRejected),
        (415, provider_errors.UpstreamRejected),
        (418, provider_errors.UpstreamRejected),
        (422, provider_errors.UpstreamRejected),
        (429, provider_errors.UpstreamRateLimited),
        (500, provider_errors.UpstreamFailed),
        (502, provider_errors.UpstreamFailed),
        (503, provider_errors.UpstreamOverloaded),
        (504, provider_errors.UpstreamFailed),
        (529, provider_errors.UpstreamOverloaded),
    ],
)
def test_a_status_decides_when_nothing_says_more(status, kind):
    assert type(refusal(status, body())) is kind


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (400, body(code="context_length_exceeded"), provider_errors.ContextLengthExceeded),
        (400, body(type="exceed_context_size_error", code=400), provider_errors.ContextLengthExceeded),
        (400, body("This model's maximum context length is 8192 tokens."), provider_errors.ContextLengthExceeded),
        (400, body(code="content_filter"), provider_errors.ContentFiltered),
        (400, body(code="data_inspection_failed"), provider_errors.ContentFiltered),
        (400, body(code="moderation_blocked", type="image_generation_user_error"), provider_errors.ContentFiltered),
        (400, body("Blocked by our content policy."), provider_errors.ContentFiltered),
        (429, body(code="insufficient_quota"), provider_errors.UpstreamAuth),
        (500, body(type="invalid_request_error"), provider_errors.UpstreamFailed),
        (503, body("context window"), provider_errors.UpstreamOverloaded),
    ],
)
def test_a_code_or_a_known_phrase_says_more_than_the_status(status, answer, kind):
    assert type(refusal(status, answer)) is kind


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("answer", [b"", b"<html>", b"[1]", b'"text"', b'{"error": 5}', b'{"error": null}', b"\xff"])
def test_a_body_that_explains_nothing_leaves_the_status(status, answer):
    kind = provider_errors.UpstreamRejected if status == 400 else provider_errors.UpstreamFailed

    assert type(refusal(status, answer)) is kind


@pytest.mark.parametrize(
    "answer", [body("No such model."), b'{"error": "No such model."}', b'{"detail": "No such model."}']
)
def test_the_message_of_the_provider_reaches_the_caller(answer):
    assert refusal(404, answer).message == "No such model."


def test_the_parameter_that_the_provider_names_reaches_the_caller():
    assert refusal(400, body(param="messages.0.role")).param == "messages.0.role"


def test_a_long_message_is_trimmed():
    assert len(refusal(400, body("a b " * 1000)).message) == 500


@pytest.mark.parametrize(
    "secret", ["sk-proj-abcdef0123456789", "Bearer abc.def", "gsk_0123456789", "a1" * 20, "sk-abc***********xyz"]
)
def test_what_looks_like_a_key_is_masked(secret):
    assert secret not in refusal(400, body(f"You sent {secret} to us")).message


def test_a_refused_credential_is_told_without_a_word_of_the_provider():
    error = refusal(401, body("Incorrect API key provided: sk-123456"))

    assert error.message == provider_errors.UpstreamAuth.default


def test_a_rate_limit_always_says_when_to_come_back():
    assert refusal(429, body()).retry_after == 1
    assert refusal(503, body()).retry_after is None
    assert refusal(503, body(), "9").retry_after == 9


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"message": "x", "code": 503}, provider_errors.UpstreamOverloaded),
        ({"message": "x", "code": "429"}, provider_errors.UpstreamRateLimited),
        ({"message": "x", "code": 400}, provider_errors.UpstreamRejected),
        ({"message": "x", "type": "server_error"}, provider_errors.UpstreamFailed),
        ({"message": "x", "type": "invalid_request_error"}, provider_errors.UpstreamRejected),
        ({"message": "sk-123456", "code": 401}, provider_errors.UpstreamAuth),
        ("x", provider_errors.UpstreamFailed),
        (5, provider_errors.UpstreamFailed),
    ],
)
def test_an_error_inside_a_good_answer_is_mapped_by_its_code(told, kind):
    assert type(in_band(told)) is kind
