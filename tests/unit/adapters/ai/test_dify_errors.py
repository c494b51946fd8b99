import json

import pytest

from adapters.ai import dify_errors
from adapters.ai.dify_errors import in_band, refusal
from domain import provider_errors


def body(code: str = "invalid_param", message: str = "No.", status: object = 400) -> bytes:
    return json.dumps({"code": code, "message": message, "status": status}).encode()


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (302, "x", provider_errors.UpstreamRedirect),
        (400, "agent_not_published", provider_errors.ProviderError),
        (400, "app_unavailable", provider_errors.ProviderError),
        (400, "bad_request", provider_errors.UpstreamRejected),
        (400, "completion_request_error", provider_errors.UpstreamFailed),
        (400, "conversation_completed", dify_errors.ConversationLost),
        (400, "invalid_param", provider_errors.UpstreamRejected),
        (400, "model_currently_not_support", provider_errors.UpstreamForbidden),
        (400, "not_chat_app", provider_errors.ProviderError),
        (400, "provider_not_initialize", provider_errors.UpstreamAuth),
        (400, "provider_quota_exceeded", provider_errors.UpstreamAuth),
        (401, "unauthorized", provider_errors.UpstreamAuth),
        (403, "forbidden", provider_errors.UpstreamForbidden),
        (404, "conversation_not_exists", dify_errors.ConversationLost),
        (404, "not_found", provider_errors.UpstreamRejected),
        (413, "file_too_large", dify_errors.FileTooLarge),
        (415, "unsupported_file_type", dify_errors.FileTypeRefused),
        (429, "rate_limit_error", provider_errors.UpstreamRateLimited),
        (429, "too_many_requests", provider_errors.UpstreamRateLimited),
        (500, "internal_server_error", provider_errors.UpstreamFailed),
        (503, "unavailable", provider_errors.UpstreamOverloaded),
        (504, "", provider_errors.UpstreamFailed),
        (418, "invented_later", provider_errors.UpstreamRejected),
    ],
)
def test_every_documented_error_has_its_name(status, code, error):
    assert type(refusal(status, body(code))) is error


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("[openai] Bad Request Error, maximum context length is 8192 tokens", provider_errors.ContextLengthExceeded),
        ("[azure] Bad Request Error, content_filter: flagged", provider_errors.ContentFiltered),
        ("[openai] Rate Limit Error", provider_errors.UpstreamRateLimited),
        ("[openai] Incorrect model credentials provided", provider_errors.UpstreamAuth),
        ("[openai] Server Unavailable Error", provider_errors.UpstreamOverloaded),
        ("[openai] Bad Request Error, top_p", provider_errors.UpstreamRejected),
        ("[openai] Connection Error", provider_errors.UpstreamFailed),
    ],
)
def test_what_failed_in_the_model_is_told_by_the_words_of_its_provider(message, error):
    assert type(refusal(400, body("completion_request_error", message))) is error
    assert type(in_band({"event": "error", "code": "completion_request_error", "message": message})) is error


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (404, "Conversation Not Exists.", dify_errors.ConversationLost),
        (404, "Workflow not found with id: 1", provider_errors.UpstreamRejected),
        (400, "Agent Chat App does not support blocking mode", dify_errors.StreamsOnly),
        (400, "Agent App only supports streaming response mode.", dify_errors.StreamsOnly),
        (400, "Bad Request Error of nobody", provider_errors.UpstreamRejected),
    ],
)
def test_a_vague_code_is_told_apart_by_its_words(status, message, error):
    code = "not_found" if status == 404 else "bad_request"
    assert type(refusal(status, body(code, message))) is error


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"status": 400, "code": "invalid_param"}, provider_errors.UpstreamRejected),
        ({"status": 500, "code": "internal_server_error"}, provider_errors.UpstreamFailed),
        ({"status": "many", "code": "invalid_param"}, provider_errors.UpstreamRejected),
        ({"status": 503}, provider_errors.UpstreamOverloaded),
        ({"status": True}, provider_errors.UpstreamFailed),
        ({}, provider_errors.UpstreamFailed),
    ],
)
def test_an_error_inside_an_answer_tells_its_own_status(told, error):
    assert type(in_band(told)) is error
    assert type(refusal(200, json.dumps(told).encode())) is error


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[1]", b'"no"'])
def test_a_body_of_another_shape_leaves_the_status(answer):
    assert type(refusal(429, answer, "3")) is provider_errors.UpstreamRateLimited
    assert refusal(429, answer, "3").retry_after == 3


def test_a_refused_credential_is_told_without_any_words():
    assert "secret" not in refusal(401, body("unauthorized", "app-secret")).message
