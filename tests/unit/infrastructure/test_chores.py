"""What runs in the background of a worker goes on, whatever happens to it."""

import logging

import gevent
import pytest

from domain.errors import DatabaseBusy
from infrastructure import chores
from infrastructure.chores import attempt, every


def test_a_store_that_is_away_is_waited_out_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    def chore() -> None:
        raise DatabaseBusy

    assert attempt(chore)
    assert caplog.records == []


def test_a_defect_is_reported_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert not attempt(lambda: 1 // 0)

    assert "ZeroDivisionError" in caplog.text


def test_a_chore_runs_at_once_and_for_ever_and_after_a_defect_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    outcomes = iter([1, 0, 1])

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise gevent.GreenletExit

    monkeypatch.setattr(chores.gevent, "sleep", sleep)

    with pytest.raises(gevent.GreenletExit):
        every(5.0, lambda: 1 // next(outcomes))

    assert [4.5 <= waits[0] <= 5.5, 54 <= waits[1] <= 66, 4.5 <= waits[2] <= 5.5] == [True] * 3
