from datetime import UTC, datetime

import pytest

from adapters.ai.refusals import by_status, discreet, failure, masked, seconds_to_wait, wrong_content
from domain import provider_errors

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize("said", ["What is {}?", "{} {}", "x" * 485 + " {}", '{"param": "{}"}'])
def test_our_own_key_is_hidden_whatever_it_looks_like(said):
    key = "Zq0123456789abcdefXYZ"

    with pytest.raises(provider_errors.UpstreamRejected) as raised, discreet(["short", key]):
        raise failure(provider_errors.UpstreamRejected, said.replace("{}", key), param=f"keys.{key}")

    told = f"{raised.value} {raised.value.message} {raised.value.param}"
    assert key[:6] not in told
    assert "***" in told


@pytest.mark.parametrize(
    ("key", "said", "told"),
    [
        ("0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOp", "Unknown: {}!", "Unknown: ******!"),
        ("sk-Zq01+23456789/abcdefXYZ=", "Unknown: {}!", "Unknown: ******!"),
        ("Zq0123456789abcdefXYZ", "Unknown: Zq01234567…, …89ABCDEFXYZ.", "Unknown: ***…, …***."),
        ("Zq0123456789abcdefXYZ", "The 0123456 and the İ0123456789abc stay.", "The 0123456 and the İ*** stay."),
    ],
)
def test_parts_of_our_own_key_are_hidden_also_where_the_rest_looked_like_one(key: str, said: str, told: str):
    with pytest.raises(provider_errors.UpstreamRejected) as raised, discreet([key]):
        raise failure(provider_errors.UpstreamRejected, said.replace("{}", key))

    assert raised.value.message == told


def test_a_key_of_a_few_letters_hides_no_words():
    with pytest.raises(provider_errors.UpstreamRejected, match="none of them"), discreet(["none"]):
        raise failure(provider_errors.UpstreamRejected, "none of them")


def test_ordinary_words_are_not_masked():
    text = "Unsupported value: 'temperature' does not support 0.5 with this model; top_k and max_completion_tokens do."

    assert masked(text) == text


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("2", 2),
        ("1.2", 2),
        ("0", 1),
        ("-1", 1),
        ("3600", 120),
        ("abc", 7),
        ("", 7),
        (None, 7),
        ("nan", 7),
        ("inf", 7),
        ("1e400", 7),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 1),
        ("Sat, 21 Nov 2099 11:00:00 GMT", 120),
        ("Sat, 99 Nov 2026 11:00:00 GMT", 7),
    ],
)
def test_a_retry_after_is_a_sane_number_of_seconds(header, seconds):
    assert seconds_to_wait(header, 7, lambda: NOW) == seconds


@pytest.mark.parametrize(
    "secret", ["sk-proj-abcdef0123456789", "Bearer abc.def", "gsk_0123456789", "a1" * 20, "sk-abc***********xyz"]
)
def test_what_looks_like_a_key_is_hidden_and_nothing_else(secret):
    assert masked(f"a {secret} b") == "a *** b"


def test_the_kind_of_content_is_told_without_a_key_in_it():
    assert wrong_content("text/html").message == "The provider answered with text/html."
    assert "sk-abcdef" not in wrong_content("text/sk-abcdef").message
    assert wrong_content("").message == "The provider answered with no content type."


def test_a_status_says_whose_fault_it_was():
    assert by_status(302) is provider_errors.UpstreamRedirect
    assert by_status(418) is provider_errors.UpstreamRejected
    assert by_status(200) is by_status(599) is provider_errors.UpstreamFailed


def test_only_what_may_be_tried_again_says_when():
    assert failure(provider_errors.UpstreamRejected, "x", wait=5).retry_after is None
    assert failure(provider_errors.UpstreamOverloaded, "x", wait=5).retry_after == 5
    assert failure(provider_errors.UpstreamOverloaded, "x").retry_after is None
    assert failure(provider_errors.UpstreamRateLimited, "x").retry_after == 1


@pytest.mark.parametrize("kind", [provider_errors.UpstreamAuth, provider_errors.UpstreamRedirect])
def test_a_refused_credential_and_a_redirect_are_told_in_our_words(kind):
    assert failure(kind, "to http://10.0.0.1 with sk-123456", param="key").message == kind.default


def test_what_is_no_text_tells_nothing():
    error = failure(provider_errors.UpstreamRejected, {"no": 1}, param=7)

    assert (error.message, error.param) == (provider_errors.UpstreamRejected.default, None)
