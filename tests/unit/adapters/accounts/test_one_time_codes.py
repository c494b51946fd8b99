from base64 import b32decode, b32encode
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.accounts.one_time_codes import TotpCodes

CODES = TotpCodes()
SECRET = b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ],
)
def test_the_examples_of_the_standard_are_right(seconds: int, code: str):
    """RFC 6238, appendix B, the last six of its eight digits."""
    assert CODES.step_of(SECRET, code, datetime.fromtimestamp(seconds, UTC)) == seconds // 30


@pytest.mark.parametrize(("steps", "right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_wrong_by_one_step(steps: int, right: bool):
    moment = datetime.fromtimestamp(1_234_567_890, UTC)

    step = CODES.step_of(SECRET, "005924", moment - steps * timedelta(seconds=30))

    assert step == (1_234_567_890 // 30 if right else None)


@pytest.mark.parametrize(
    "code", ["", "5924", "005925", "0059240", " 005924", "005924\n", "００５９２４", "00592x", "\ud800" * 6]
)
def test_anything_else_is_wrong(code: str):
    assert CODES.step_of(SECRET, code, datetime.fromtimestamp(1_234_567_890, UTC)) is None


def test_a_new_secret_has_160_bits_and_differs_from_all_others():
    secrets = {CODES.new_secret() for _ in range(20)}

    assert len(secrets) == 20
    assert {len(b32decode(secret)) for secret in secrets} == {20}


def test_an_application_gets_all_it_needs_from_the_address():
    uri = urlsplit(CODES.uri(SECRET, "ada+x@example.org"))

    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/Parley:ada%2Bx%40example.org")
    assert parse_qs(uri.query) == {"secret": [SECRET], "issuer": ["Parley"]}
