import json

import pytest

from adapters.ai.anthropic_errors import in_band, refusal
from domain import provider_errors


def body(kind: str = "invalid_request_error", message: str = "No.", **fields: object) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message, **fields}}).encode()


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (302, "x", provider_errors.UpstreamRedirect),
        (400, "invalid_request_error", provider_errors.UpstreamRejected),
        (401, "authentication_error", provider_errors.UpstreamAuth),
        (402, "billing_error", provider_errors.UpstreamAuth),
        (403, "permission_error", provider_errors.UpstreamForbidden),
        (404, "not_found_error", provider_errors.UpstreamRejected),
        (409, "conflict_error", provider_errors.UpstreamRejected),
        (413, "request_too_large", provider_errors.UpstreamRejected),
        (429, "rate_limit_error", provider_errors.UpstreamRateLimited),
        (500, "api_error", provider_errors.UpstreamFailed),
        (503, "api_error", provider_errors.UpstreamOverloaded),
        (504, "timeout_error", provider_errors.UpstreamFailed),
        (529, "overloaded_error", provider_errors.UpstreamOverloaded),
        (500, "overloaded_error", provider_errors.UpstreamOverloaded),
        (500, "invalid_request_error", provider_errors.UpstreamFailed),
        (418, "invented_later", provider_errors.UpstreamRejected),
    ],
)
def test_every_documented_error_has_its_name(status, kind, error):
    assert type(refusal(status, body(kind))) is error


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("prompt is too long: 200001 tokens > 200000 maximum", provider_errors.ContextLengthExceeded),
        (
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
            provider_errors.ContextLengthExceeded,
        ),
        ("Your credit balance is too low to access the API.", provider_errors.UpstreamAuth),
    ],
)
def test_a_known_phrase_says_more_than_the_type(message, error):
    assert type(refusal(400, body(message=message))) is error


@pytest.mark.parametrize(
    "code",
    ["contract_spend_limit_reached", "enforced_spend_limit_reached", "linked_organization_spend_limit_reached"],
)
def test_a_limit_of_spending_is_no_limit_of_the_rate(code):
    answer = body("rate_limit_error", details={"error_code": code})

    assert type(refusal(429, answer)) is provider_errors.UpstreamAuth
    assert type(refusal(429, body("rate_limit_error", details={"error_code": "ramp_limit_exceeded"}))) is (
        provider_errors.UpstreamRateLimited
    )


def test_the_field_that_a_message_begins_with_is_its_parameter():
    error = refusal(400, body(message="messages.1.content.0: text is required"))

    assert (error.param, error.message) == ("messages.1.content.0", "messages.1.content.0: text is required")
    assert refusal(400, body(message="Error: no")).param is None


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[1]", b'{"error": "x"}', b'{"error": null}', b"\xff"])
def test_a_body_that_explains_nothing_leaves_the_status(answer):
    assert type(refusal(400, answer)) is provider_errors.UpstreamRejected
    assert type(refusal(500, answer)) is provider_errors.UpstreamFailed


def test_the_wait_is_the_headers():
    assert refusal(429, body("rate_limit_error"), "7").retry_after == 7
    assert refusal(529, body("overloaded_error"), "3").retry_after == 3
    assert refusal(529, body("overloaded_error")).retry_after is None


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("overloaded_error", provider_errors.UpstreamOverloaded),
        ("api_error", provider_errors.UpstreamFailed),
        ("invalid_request_error", provider_errors.UpstreamRejected),
        ("rate_limit_error", provider_errors.UpstreamRateLimited),
        ("authentication_error", provider_errors.UpstreamAuth),
        ("invented_later", provider_errors.UpstreamFailed),
    ],
)
def test_an_error_inside_a_good_answer_is_mapped_by_its_type(kind, error):
    assert type(in_band(json.loads(body(kind)))) is error
    assert type(refusal(200, body(kind))) is error
