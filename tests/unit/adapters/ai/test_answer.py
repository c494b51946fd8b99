import pytest
from geventhttpclient.response import HTTPParseError

from adapters.ai.answer import Answer

CHUNKED = (
    b"HTTP/1.1 100 Continue\r\nRetry-After: 9\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Type:\r\nX-Empty: \r\nTransfer-Encoding: chunked\r\nContent-Encoding: br\r\n\r\n"
    b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
)


@pytest.mark.parametrize("at", range(len(CHUNKED) + 1))
def test_an_answer_means_the_same_wherever_it_is_split(at):
    answer = Answer()
    for read in (CHUNKED[:at], CHUNKED[at:]):
        if read:
            answer.feed(read)

    assert (answer.status, answer.begun, answer.complete, answer.reusable) == (200, True, True, True)
    assert answer.headers == {"content-type": "", "content-encoding": "br"}
    assert answer.take() == b"abcde"
    assert answer.take() == b""


def test_a_body_without_a_length_ends_with_the_connection():
    answer = Answer()
    answer.feed(b"HTTP/1.0 200 OK\r\n\r\nabc")
    answer.feed(b"")

    assert (answer.complete, answer.reusable, answer.take()) == (True, False, b"abc")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    ],
)
def test_a_body_that_ends_too_early_is_not_complete(head):
    answer = Answer()
    answer.feed(head)

    with pytest.raises(HTTPParseError):
        answer.feed(b"")
    assert not answer.complete


@pytest.mark.parametrize("extra", [b"Connection: close\r\n", b""])
def test_a_connection_is_reused_only_when_the_server_keeps_it(extra):
    answer = Answer()
    answer.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + extra + b"\r\nok")

    assert answer.reusable is (extra == b"")


def test_a_connection_with_more_to_say_than_was_asked_is_not_reused():
    answer = Answer()
    answer.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")

    assert not answer.reusable
