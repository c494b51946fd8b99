import gevent
import pytest

from adapters.ai.dify_stops import Stops
from domain.provider_errors import UpstreamReset


class SlowCalls:
    """Answers nothing for as long as it may take."""

    def __init__(self, error=None):
        self.asked = []
        self.error = error
        self.done = 0

    def post(self, path, body, cancellation):
        self.asked.append((path, body))
        if self.error is not None:
            raise self.error
        gevent.sleep(cancellation.remaining())
        self.done += 1


@pytest.fixture
def calls():
    return SlowCalls()


def test_a_task_is_stopped_for_the_user_who_asked_and_nobody_waits_for_it(calls):
    Stops(seconds=0.05).send(calls, "task/1?x", "usr_1")
    assert calls.asked == []

    gevent.sleep(0.01)
    assert calls.asked == [("/chat-messages/task%2F1%3Fx/stop", {"user": "usr_1"})]


def test_no_more_are_under_way_than_are_allowed_and_none_for_longer(calls):
    stops = Stops(most=2, seconds=0.1)
    for number in range(5):
        stops.send(calls, f"task-{number}", "usr_1")
    gevent.sleep(0.03)
    assert len(calls.asked) == 2

    gevent.sleep(0.12)
    assert calls.done == 2
    stops.send(calls, "task-9", "usr_1")
    gevent.sleep(0.03)
    assert len(calls.asked) == 3


@pytest.mark.parametrize("task_id", ["", "x" * 101])
def test_nothing_is_sent_for_what_is_no_task(calls, task_id):
    Stops(seconds=0.05).send(calls, task_id, "usr_1")
    gevent.sleep(0.01)

    assert calls.asked == []


def test_a_stop_that_fails_is_nobodys_matter():
    calls, stops = SlowCalls(UpstreamReset()), Stops(most=1)
    for _ in range(2):
        stops.send(calls, "task-1", "usr_1")
        gevent.sleep(0.01)

    assert len(calls.asked) == 2


def test_by_default_sixteen_at_once_for_five_seconds():
    stops = Stops()

    assert (stops._pool.size, stops._seconds) == (16, 5)
