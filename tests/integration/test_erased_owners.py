"""Whoever is erased while something is being stored for them: it is stored before that and goes too, or not at all."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from application.erasure import erase
from application.files import require_owner
from application.store import Begin
from domain.errors import DatabaseBusy, KeyRevoked
from tests.builders import NOW, a_user
from tests.contracts.files import a_file


def test_nothing_is_left_of_who_goes_while_a_file_is_stored(begin: Begin) -> None:
    _race(begin, first=_stores, then=_erases)


def test_nothing_is_stored_for_who_is_going(begin: Begin) -> None:
    _race(begin, first=_erases, then=_stores)


Step = Callable[[Begin, Callable[[], object]], None]


def _stores(begin: Begin, between: Callable[[], object]) -> None:
    with begin() as work:
        require_owner(work, "usr_1")
        between()
        work.files.add(a_file(user_id="usr_1"))


def _erases(begin: Begin, between: Callable[[], object]) -> None:
    with begin() as work:
        user = work.users.lock("usr_1")
        assert user is not None
        erase(work, user, NOW)
        between()


def _race(begin: Begin, first: Step, then: Step) -> None:
    """The second begins while the first is in the middle of it."""
    with begin() as work:
        work.users.add(a_user(id="usr_1"))
    inside, waited = threading.Event(), threading.Event()

    def between() -> None:
        inside.set()
        waited.wait(0.5)

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(first, begin, between)
        assert inside.wait(10)
        other = pool.submit(then, begin, lambda: None)
        one.result(20)
        try:
            other.result(20)
        except (KeyRevoked, DatabaseBusy):
            assert then is _stores

    with begin() as work:
        assert work.files.page("usr_1", 10, None) == []
        gone = work.users.get("usr_1")
        assert gone is not None
        assert gone.disabled
