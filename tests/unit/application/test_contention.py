"""Calls that meet at the same rows."""

import pytest

from application.contention import patiently
from domain.errors import DatabaseBusy, DatabaseUnavailable


class Scripted:
    """Raises its errors one after the other, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_who_meets_another_tries_again_after_a_pause_each():
    pauses: list[int] = []
    action = Scripted(DatabaseBusy(), DatabaseBusy(), DatabaseBusy())

    assert patiently(action, lambda: pauses.append(action.calls)) == "done"
    assert pauses == [1, 2, 3]


@pytest.mark.parametrize("retries", [1, 2, 3])
def test_patience_ends_with_the_error(retries):
    action = Scripted(*(DatabaseBusy() for _ in range(9)))

    with pytest.raises(DatabaseBusy):
        patiently(action, retries=retries)
    assert action.calls == retries + 1


def test_nothing_else_is_tried_again():
    action = Scripted(DatabaseUnavailable())

    with pytest.raises(DatabaseUnavailable):
        patiently(action)
    assert action.calls == 1
