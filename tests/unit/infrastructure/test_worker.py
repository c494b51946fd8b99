"""What runs in the background of a worker."""

import gevent
import pytest

from domain.errors import DatabaseBusy
from infrastructure import worker


class Rollups:
    """Fails in one way after the other, and then ends the test."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)

    def advance(self) -> int:
        raise self.errors.pop(0)


@pytest.mark.parametrize("error", [DatabaseBusy(), OverflowError("a sum is too large")], ids=["outage", "defect"])
def test_summing_up_goes_on_after_an_error(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    rollups = Rollups(error, gevent.GreenletExit())
    monkeypatch.setattr(worker, "_ROLLUP_SECONDS", 0.0)
    monkeypatch.setattr(worker, "_ROLLUP_PAUSE", 0.0)

    with pytest.raises(gevent.GreenletExit):
        worker._roll_up(rollups)

    assert rollups.errors == []
