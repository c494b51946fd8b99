import pytest
from flask import Flask

from api.csrf import CsrfGuard
from domain.errors import CsrfRejected, UnsupportedMediaType

ORIGIN = "https://parley.example.org"
GUARD = CsrfGuard(b"k" * 32, ORIGIN)
SID = "parley_login_kid_secret"
OURS = {"Sec-Fetch-Site": "same-origin"}


def check(method: str = "POST", *, token: str | None = None, sid: str = SID, site=None, **request) -> None:
    """Raises what the guard raises for such a request."""
    headers = {**(OURS if site is None else site), "X-CSRF-Token": GUARD.token(SID) if token is None else token}
    with Flask("x").test_request_context("/", method=method, headers=headers, **request):
        GUARD.check(sid)


def test_a_request_of_our_own_page_passes():
    check()
    check("DELETE")
    check(json={"name": "x"})


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_changes_nothing_needs_no_proof(method):
    check(method, token="", site={"Sec-Fetch-Site": "cross-site"})


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "ODD"])
def test_every_other_method_needs_one(method):
    with pytest.raises(CsrfRejected):
        check(method, token="")


@pytest.mark.parametrize(
    ("site", "passes"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN}, False),
        ({"Sec-Fetch-Site": ""}, False),
        ({"Sec-Fetch-Site": "", "Origin": ORIGIN}, False),
        ({"Origin": ORIGIN}, True),
        ({"Origin": ORIGIN.upper()}, False),
        ({"Origin": ORIGIN + "/"}, False),
        ({"Origin": ORIGIN + ".evil.example"}, False),
        ({"Origin": "http://parley.example.org"}, False),
        ({"Origin": "https://parley.example.org:8443"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Referer": ORIGIN + "/login"}, False),
        ({}, False),
    ],
)
def test_only_our_own_pages_may_send_the_cookie(site, passes):
    if passes:
        check(site=site)
    else:
        with pytest.raises(CsrfRejected):
            check(site=site)


def _forgeries():
    head, _, signature = GUARD.token(SID).partition(".")
    other, _, _ = GUARD.token(SID).partition(".")
    return [
        "",
        ".",
        "x",
        signature,
        f"{head}.",
        f".{signature}",
        f"{other}.{signature}",
        f"{head}.{signature[:-1]}",
        f"{head}.{signature}0",
        f"{head}.{signature}.{signature}",
        f"{head}00.{signature}",
        f"zz{head[2:]}.{signature}",
        f"{head}.{'é' * 64}",
        f"{'é' * 32}.{signature}",
        GUARD.token("parley_login_other_secret"),
        CsrfGuard(b"o" * 32, ORIGIN).token(SID),
    ]


@pytest.mark.parametrize("token", _forgeries(), ids=lambda _: "forged")  # random, and names must be the same everywhere
def test_a_forged_token_is_refused(token):
    with pytest.raises(CsrfRejected):
        check(token=token)


def test_a_token_fits_its_own_cookie_only():
    with pytest.raises(CsrfRejected):
        check(sid=SID + "x")


def test_the_border_between_cookie_and_random_part_cannot_be_moved():
    head, _, signature = GUARD.token(SID + "ab").partition(".")

    with pytest.raises(CsrfRejected):
        check(token=f"{b'ab'.hex()}{head}.{signature}")


def test_each_token_is_new_and_none_tells_the_cookie():
    tokens = {GUARD.token(SID) for _ in range(3)}

    assert len(tokens) == 3
    assert all(SID not in token and len(token) == 97 for token in tokens)


def test_the_key_is_not_in_what_is_printed():
    assert "kkkk" not in repr(GUARD)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_a_body_that_a_form_could_have_sent_is_refused(kind):
    with pytest.raises(UnsupportedMediaType):
        check(data=b'{"name": "x"}', content_type=kind)


def test_a_body_in_pieces_is_a_body():
    with pytest.raises(UnsupportedMediaType):
        check(environ_base={"HTTP_TRANSFER_ENCODING": "chunked"})
