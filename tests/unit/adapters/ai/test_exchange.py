"""The deadlines of an exchange, on a socket that always has something to say."""

import pytest

from adapters.ai.deadlines import Deadlines
from adapters.ai.exchange import Exchange
from application.cancellation import Cancellation
from domain.provider_errors import UpstreamTotalTimeout
from tests.fakes import FrozenClock


class Chatty:
    """A socket, and the pool to which it goes back."""

    def __init__(self) -> None:
        self.released = 0

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0

    def recv(self, _size: int) -> bytes:
        return b"HTTP/1.1 100 Continue\r\n\r\n"

    def release_socket(self, _sock: object) -> None:
        self.released += 1


def test_a_provider_that_never_pauses_is_stopped_at_the_total_deadline():
    clock, line = FrozenClock(), Chatty()
    exchange = Exchange(line, line, Deadlines(), Cancellation(5, clock.monotonic))
    assert exchange.read()

    clock.advance(5)

    with pytest.raises(UpstreamTotalTimeout):
        exchange.read()
    assert line.released == 1
