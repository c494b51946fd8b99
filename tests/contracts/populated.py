"""The store that most contracts begin with, and what they put into it."""

from datetime import timedelta

import pytest

from tests.builders import NOW, a_key, a_session, a_user

EMOJI = "Grüße 😀 👩‍💻 漢字 𝔘"
LATER = NOW + timedelta(hours=1)
SECOND = timedelta(seconds=1)


class Populated:
    @pytest.fixture
    def populated(self, begin):
        """`begin` on a store with one user, one key and one session."""
        with begin() as work:
            work.users.add(a_user())
            work.keys.add(a_key())
            work.sessions.add(a_session())
        return begin


def ids(rows):
    return [row.id for row in rows]
