import json

import pytest

from adapters.ai.gemini_errors import in_band, refusal
from domain import provider_errors

TYPE = "type.googleapis.com/google.rpc."


def body(code: int, status: str, message: str = "No.", *details: dict) -> bytes:
    error = {"code": code, "status": status, "message": message, "details": list(details)}
    return json.dumps({"error": error}).encode()


def quota(quota_id: str, delay: str) -> bytes:
    return body(
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota.",
        {"@type": TYPE + "QuotaFailure", "violations": [{"quotaId": quota_id}]},
        {"@type": TYPE + "RetryInfo", "retryDelay": delay},
    )


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        (302, "", provider_errors.UpstreamRedirect),
        (400, "INVALID_ARGUMENT", provider_errors.UpstreamRejected),
        (400, "OUT_OF_RANGE", provider_errors.UpstreamRejected),
        (400, "FAILED_PRECONDITION", provider_errors.UpstreamAuth),
        (401, "UNAUTHENTICATED", provider_errors.UpstreamAuth),
        (403, "PERMISSION_DENIED", provider_errors.UpstreamForbidden),
        (404, "NOT_FOUND", provider_errors.UpstreamRejected),
        (429, "RESOURCE_EXHAUSTED", provider_errors.UpstreamRateLimited),
        (500, "INTERNAL", provider_errors.UpstreamFailed),
        (503, "UNAVAILABLE", provider_errors.UpstreamOverloaded),
        (504, "DEADLINE_EXCEEDED", provider_errors.UpstreamFailed),
    ],
)
def test_every_documented_error_has_its_name(code, status, error):
    assert type(refusal(code, body(code, status))) is error
    assert type(refusal(code, b"")) is type(refusal(code, b"<html>")) or status == "FAILED_PRECONDITION"


@pytest.mark.parametrize(
    "answer",
    [
        body(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
        body(400, "INVALID_ARGUMENT", "API key expired."),
        body(400, "INVALID_ARGUMENT", "x", {"@type": TYPE + "ErrorInfo", "reason": "API_KEY_INVALID"}),
        body(403, "PERMISSION_DENIED", "x", {"@type": TYPE + "ErrorInfo", "reason": "CONSUMER_SUSPENDED"}),
    ],
)
def test_a_key_that_nobody_knows_is_a_refused_credential(answer):
    assert type(refusal(400, answer)) is provider_errors.UpstreamAuth


@pytest.mark.parametrize(
    "message",
    [
        "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
        "The input token count exceeds the maximum number of tokens allowed 1048576.",
    ],
)
def test_a_conversation_that_is_too_long_has_its_name(message):
    assert type(refusal(400, body(400, "INVALID_ARGUMENT", message))) is provider_errors.ContextLengthExceeded


@pytest.mark.parametrize(
    ("quota_id", "delay", "wait"),
    [
        ("GenerateRequestsPerMinutePerProjectPerModel", "22s", 22),
        ("GenerateRequestsPerMinutePerProjectPerModel", "6.4s", 7),
        ("GenerateRequestsPerMinutePerProjectPerModel", "0.1s", 1),
        ("GenerateRequestsPerMinutePerProjectPerModel", "44796s", 120),
        ("GenerateRequestsPerMinutePerProjectPerModel", "infs", 1),
        ("GenerateRequestsPerMinutePerProjectPerModel", "soon", 1),
        ("GenerateRequestsPerMinutePerProjectPerModel", "-5s", 1),
        ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "22s", 120),
    ],
)
def test_the_wait_is_a_sane_number_of_seconds(quota_id, delay, wait):
    assert refusal(429, quota(quota_id, delay)).retry_after == wait


def test_the_header_says_when_where_the_body_does_not():
    assert refusal(503, body(503, "UNAVAILABLE"), "9").retry_after == 9
    assert refusal(429, body(429, "RESOURCE_EXHAUSTED")).retry_after == 1


def test_the_field_that_was_wrong_is_the_parameter():
    violation = {"@type": TYPE + "BadRequest", "fieldViolations": [{"field": "generation_config.top_p"}]}

    assert refusal(400, body(400, "INVALID_ARGUMENT", "x", violation)).param == "generation_config.top_p"


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[1]", b"[]", b'{"error": "x"}', b'{"error": null}', b"\xff"])
def test_a_body_that_explains_nothing_leaves_the_status(answer):
    assert type(refusal(400, answer)) is provider_errors.UpstreamRejected
    assert type(refusal(500, answer)) is provider_errors.UpstreamFailed


def test_an_error_in_a_list_is_one_all_the_same():
    answer = b"[" + body(400, "INVALID_ARGUMENT", "API key not valid.") + b"]"

    assert type(refusal(400, answer)) is provider_errors.UpstreamAuth


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 503, "status": "UNAVAILABLE"}, provider_errors.UpstreamOverloaded),
        ({"code": 429}, provider_errors.UpstreamRateLimited),
        ({"code": 400, "message": "API key not valid."}, provider_errors.UpstreamAuth),
        ({"code": 400, "message": "x"}, provider_errors.UpstreamRejected),
        ("just text", provider_errors.UpstreamFailed),
        (5, provider_errors.UpstreamFailed),
    ],
)
def test_an_error_inside_a_good_answer_is_mapped_by_its_code(error, kind):
    assert type(in_band(error)) is kind
    if isinstance(error, dict):
        assert type(refusal(200, json.dumps({"error": error}).encode())) is kind
