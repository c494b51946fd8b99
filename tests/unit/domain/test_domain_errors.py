import re
from collections import Counter

import pytest

from domain import errors, provider_errors
from domain.errors import ParleyError, RateLimited
from domain.provider_errors import ProviderError, UpstreamAuth, UpstreamFailed, UpstreamForbidden


def family(kind: type[ParleyError]) -> list[type[ParleyError]]:
    return [kind] + [heir for child in kind.__subclasses__() for heir in family(child)]


ALL = [kind for kind in family(ParleyError) if kind.__module__ in {errors.__name__, provider_errors.__name__}]


def test_the_outline_on_top_names_every_error_and_nothing_else():
    outline, _, _ = (errors.__doc__ or "").partition("\n\nThe HTTP status")
    outline += (provider_errors.__doc__ or "").partition("ProviderError")[2]
    drawn = re.findall(r"\b[A-Z][a-z]+[A-Z][A-Za-z]+\b|\bUnauthenticated\b|\bForbidden\b|\bConflict\b", outline)
    drawn += re.findall(r"\bUnavailable\b|\bCancelled\b|\bOverloaded\b", outline)

    assert Counter(drawn) == Counter(kind.__name__ for kind in ALL)


def test_no_two_errors_share_a_code():
    shared = {code for code, number in Counter(kind.code for kind in ALL).items() if number > 1}

    # The general failure of a provider is what its own class is called when nothing more is known. Which calls a
    # credential was refused for is of no use to a client.
    assert shared == {UpstreamFailed.code, UpstreamForbidden.code} == {ProviderError.code, UpstreamAuth.code}


@pytest.mark.parametrize("kind", ALL)
def test_an_error_speaks_for_itself(kind: type[ParleyError]):
    error = kind()

    assert str(error) == error.message == kind.default
    assert error.message.endswith(".")
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert (error.param, error.retry_after, error.provider) == (None, None, None)


@pytest.mark.parametrize("kind", ALL)
def test_an_error_tells_what_its_raiser_knows(kind: type[ParleyError]):
    error = kind("Not now.", param="messages.0.role", retry_after=3, provider="acme")

    assert str(error) == error.message == "Not now."
    assert (error.param, error.retry_after, error.provider) == ("messages.0.role", 3, "acme")


def test_an_empty_message_falls_back_to_the_default():
    assert RateLimited("").message == RateLimited.default


def test_only_what_certainly_never_reached_the_provider_is_undialled():
    undialled = {kind.__name__ for kind in family(ProviderError) if not kind.dialled}

    assert undialled == {
        *("UpstreamUnreachable", "UpstreamDns", "UpstreamAddressRefused", "UpstreamTls", "UpstreamConnectTimeout"),
    }
