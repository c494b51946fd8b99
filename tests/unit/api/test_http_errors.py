import logging

import pytest

from api.auth import PUBLIC, requires
from api.errors import STATUS, envelope, status_of
from domain import errors, provider_errors
from domain.errors import ParleyError

FIELDS = ["message", "type", "code", "param", "request_id", "retryable", "provider"]


def _family(kind):
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in _family(child))]


ALL = [kind for kind in _family(ParleyError) if kind.__module__ == "domain.errors"]


@pytest.fixture
def site(raises, shared_site):  # Flask takes routes before its first request only
    return shared_site


@pytest.fixture(scope="module")
def raises(shared_site):
    """Ask a route that raises what it is given."""
    waiting: list[BaseException] = []

    @requires(PUBLIC)
    def fail() -> None:
        raise waiting.pop()

    shared_site.app.add_url_rule("/fail", "fail", fail)

    def ask(error: BaseException):
        waiting.append(error)
        return shared_site.anonymous().get("/fail")

    return ask


@pytest.mark.parametrize("kind", ALL[1:], ids=lambda kind: kind.__name__)
def test_every_error_of_the_domain_has_a_status_of_its_own_or_of_its_family(kind):
    family = [ancestor for ancestor in kind.__mro__ if ancestor in STATUS]

    assert family[0] is not ParleyError
    assert status_of(kind()) == STATUS[family[0]]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.UnknownField(), 400),
        (errors.Unauthenticated(), 401),
        (errors.ModelNotAllowed(), 403),
        (errors.UnknownModel(), 404),
        (errors.RequestTimeout(), 408),
        (errors.ConversationBusy(), 409),
        (errors.PayloadTooLarge(), 413),
        (errors.UnsupportedMediaType(), 415),
        (errors.RateLimited(), 429),
        (provider_errors.UpstreamRateLimited(), 429),
        (errors.ClientGone(), 499),
        (provider_errors.UpstreamUnreachable(), 502),
        (provider_errors.UpstreamAuth(), 502),
        (errors.DatabaseUnavailable(), 503),
        (provider_errors.UpstreamOverloaded(), 503),
        (provider_errors.UpstreamTimeout(), 504),
        (provider_errors.ContextLengthExceeded(), 400),
    ],
    ids=lambda value: getattr(value, "code", value),
)
def test_an_error_answers_with_its_status_and_the_one_envelope(raises, error, status):
    answer = raises(error)

    assert answer.status_code == status
    assert list(answer.json["error"]) == FIELDS
    assert answer.json["error"]["code"] == error.code
    assert answer.json["error"]["request_id"] == answer.headers["X-Request-Id"]


def test_an_error_names_the_field_and_the_provider(raises):
    answer = raises(provider_errors.UpstreamRejected("no", param="temperature", provider="acme"))

    assert answer.json["error"]["param"] == "temperature"
    assert answer.json["error"]["provider"] == "acme"
    assert answer.headers["X-Parley-Provider"] == "acme"


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (errors.RateLimited(retry_after=17), "17"),
        (errors.DatabaseUnavailable(), "2"),
        (errors.Overloaded(retry_after=1), "1"),
        (provider_errors.UpstreamFailed(), None),
        (errors.NotFound(), None),
    ],
    ids=lambda value: getattr(value, "code", value),
)
def test_who_may_come_back_is_told_when(raises, error, wait):
    assert raises(error).headers.get("Retry-After") == wait


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.Unauthenticated(), "false"),
        (provider_errors.UpstreamAuth(), "false"),
        (provider_errors.UpstreamTimeout(), "false"),
        (errors.Conflict(), "false"),
        (provider_errors.UpstreamFailed(), None),
        (errors.RateLimited(), None),
        (errors.InvalidRequest(), None),
    ],
    ids=lambda value: getattr(value, "code", value),
)
def test_an_sdk_is_kept_from_a_retry_that_is_useless(raises, error, told):
    assert raises(error).headers.get("x-should-retry") == told


def test_a_missing_credential_is_answered_with_the_scheme(raises):
    assert raises(errors.Unauthenticated()).headers["WWW-Authenticate"] == "Bearer"


def test_an_unexpected_error_tells_the_log_everything_and_the_client_nothing(raises, caplog):
    with caplog.at_level(logging.ERROR, "api.errors"):
        answer = raises(ZeroDivisionError("secret detail"))

    assert answer.status_code == 500
    assert answer.json["error"]["code"] == "internal_error"
    assert answer.json["error"]["retryable"] is False
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["X-Request-Id"] in caplog.text
    assert "secret detail" in caplog.text


def test_an_unknown_route_answers_with_the_envelope(site):
    answer = site.get("/nowhere")

    assert answer.status_code == 404
    assert answer.json["error"]["code"] == "not_found"
    assert list(answer.json["error"]) == FIELDS


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "TRACE", "BREW"])
def test_a_wrong_method_answers_405_with_the_right_ones(site, method):
    answer = site.client.open("/api/v1/chat/completions", method=method, headers=site.headers)

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert answer.json["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["//api/v1/models", "/api/v1//models", "/api/v1/models/", "/api/v1/./models"])
def test_a_path_in_disguise_is_no_route(site, path):
    answer = site.get(path)

    assert answer.status_code == 404
    assert "Location" not in answer.headers


def test_the_envelope_of_a_stream_is_the_same():
    assert list(envelope(provider_errors.UpstreamReset(), "req_1")) == FIELDS
