"""What a request costs the database when nothing is in a cache."""

import pytest
from sqlalchemy import event

from domain.limits import Kind, Limits
from tests.builders import KID, a_key, a_login, a_user


@pytest.fixture
def statements(engine, begin):
    """The statements after a user with a key, a login and limits was stored."""
    with begin() as work:
        work.users.add(a_user())
        work.keys.add(a_key())
        work.logins.add(a_login())
        for subject in ((Kind.KEY, "key_1"), (Kind.USER, "usr_1"), (Kind.GLOBAL, "")):
            work.limits.put(*subject, Limits(rpm=1))
    found = []

    def keep(*arguments):
        found.append(arguments[2])

    event.listen(engine, "before_cursor_execute", keep)
    yield found
    event.remove(engine, "before_cursor_execute", keep)


@pytest.mark.parametrize(("port", "bounds"), [("keys", 3), ("logins", 2)])
def test_a_credential_is_looked_up_in_two_statements(begin, statements, port, bounds):
    with begin() as work:
        record = getattr(work, port).by_kid(KID)

    assert len(record.bounds) == bounds
    assert [statement.split()[0] for statement in statements] == ["BEGIN", "SELECT", "SELECT"]


def test_an_unknown_credential_costs_one_statement(begin, statements):
    with begin() as work:
        assert work.keys.by_kid("unknown") is None
        assert work.logins.by_kid("unknown") is None

    assert len(statements) == 3
