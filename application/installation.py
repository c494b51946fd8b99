"""The first start of an empty store."""

from dataclasses import dataclass

from application.keys import KeyOrder, KeyService
from application.ports import Clock, NewId
from application.store import Begin
from domain.user import Role, User

FIRST_EMAIL = "admin@localhost"


@dataclass(frozen=True, slots=True)
class Installation:
    begin: Begin
    clock: Clock
    new_id: NewId
    keys: KeyService

    def bootstrap(self) -> tuple[User, str] | None:
        """Give an empty store its first administrator and key; None when there are users already.

        The administrator has no password, so nobody can log in before one is set (`parley users password`).
        """
        with self.begin() as work:
            if work.users.any():
                return None
            user = User(self.new_id("usr"), FIRST_EMAIL, Role.OWNER, self.clock.now(), name="Administrator")
            work.users.add(user)
            _, token = self.keys.add(work, user, KeyOrder("first key", scopes=frozenset()))
        return user, token
