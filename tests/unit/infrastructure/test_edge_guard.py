import pytest
from gunicorn.http.errors import InvalidHeader

from infrastructure.edge import strict

COMPLETE = b"GET / HTTP/1.1\r\nHost: parley\r\n\r\n"


def parse(received: bytes, **_: object):
    return {"consumed": len(received.removesuffix(b"body\n"))}


def test_a_head_with_whole_line_ends_is_taken_whatever_the_body_holds():
    assert strict(parse, InvalidHeader)(COMPLETE + b"body\n") == {"consumed": len(COMPLETE)}


@pytest.mark.parametrize("line", [b"X: a\n", b"X: a\r\n b\r\n", b"X: a\r\n\tb\r\n"], ids=["bare LF", "fold", "tab"])
def test_a_head_with_a_line_that_could_be_read_twice_is_refused(line):
    with pytest.raises(InvalidHeader):
        strict(parse, InvalidHeader)(COMPLETE[:-2] + line + b"\r\n")
