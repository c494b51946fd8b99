from datetime import timedelta

import pytest

from domain.one_time_token import Purpose
from tests.builders import a_one_time_token


@pytest.mark.parametrize(
    ("purpose", "lifetime"),
    [
        (Purpose.RESET, timedelta(minutes=15)),
        (Purpose.CONFIRM, timedelta(days=1)),
        (Purpose.INVITE, timedelta(days=7)),
    ],
)
def test_every_purpose_has_its_lifetime(purpose: Purpose, lifetime: timedelta):
    assert purpose.lifetime == lifetime


def test_nothing_works_for_ever():
    assert all(timedelta(0) < purpose.lifetime <= timedelta(days=7) for purpose in Purpose)


def test_what_is_stored_is_a_digest():
    assert len(a_one_time_token().digest) == 32
