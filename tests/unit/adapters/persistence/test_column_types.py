from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import mysql, postgresql, sqlite

from adapters.persistence.types import LongText, Name, Utc, storable

DIALECTS = [mysql.dialect(), postgresql.dialect(), sqlite.dialect()]
LOCAL = datetime(2026, 11, 21, 14, tzinfo=timezone(timedelta(hours=2)))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_text_that_every_server_takes_is_kept_as_it_is(text):
    assert storable(text) == text


@given(st.text(st.characters()))
def test_any_text_can_be_sent_to_any_server(text):
    stored = storable(text)

    assert "\0" not in stored
    assert stored.encode().decode() == stored


def test_halves_of_a_surrogate_pair_that_stand_together_are_one_character():
    assert storable("\ud83d\ude00!") == "😀!"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_moment_is_the_same_after_the_way_through_a_column(dialect):
    sent = Utc().process_bind_param(LOCAL, dialect)

    assert Utc().process_result_value(sent, dialect) == LOCAL
    assert Utc().process_result_value(LOCAL, dialect).tzinfo is UTC


@pytest.mark.parametrize("column", [Utc(), Name(3), LongText()])
def test_nothing_stays_nothing(column):
    assert column.process_bind_param(None, DIALECTS[0]) is None


def test_a_name_is_cut_to_its_column():
    assert Name(3).process_bind_param("abcd", DIALECTS[0]) == "abc"
