"""Proving with a password who one is, and finding the account again after the time that takes."""

from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest

from application import attempts
from application.ports import Clock, PasswordHasher
from application.store import Begin, UnitOfWork
from domain.errors import InvalidCredentials, Unauthenticated
from domain.user import Principal, User


@dataclass(frozen=True, slots=True)
class PasswordProof:
    begin: Begin
    clock: Clock
    passwords: PasswordHasher

    def ask(self, principal: Principal, password: str) -> User:
        """The caller, whose password it is. Counts as an attempt, until `settled`; no transaction is open meanwhile.

        Raises InvalidCredentials, RateLimited, Overloaded.
        """
        with self.begin() as work:
            user = found(work, principal.user_id)
            wait = attempts.count(work, self.clock.now(), attempts.proof(user.id))
        attempts.refuse(wait)
        if not self.passwords.verify(user.password_hash, password):
            raise InvalidCredentials("The password is wrong.", param="password")
        return user


def found(work: UnitOfWork, user_id: str) -> User:
    """Raises Unauthenticated when there is no such user any more."""
    return _there(work.users.get(user_id))


def locked(work: UnitOfWork, user_id: str) -> User:
    """As `found`, to be saved: no change that somebody else makes meanwhile is lost."""
    return _there(work.users.lock(user_id))


def settled(work: UnitOfWork, proved: User, read: Callable[[UnitOfWork, str], User] = locked) -> User:
    """The user as stored now, whose attempts are forgotten. Raises InvalidCredentials when the proof is outdated."""
    user = read(work, proved.id)
    if user.disabled or not compare_digest(user.password_hash or "", proved.password_hash or ""):
        raise InvalidCredentials
    for counter in (attempts.account(user.email), attempts.proof(user.id)):
        attempts.forget(work, counter)
    return user


def _there(user: User | None) -> User:
    if user is None:
        raise Unauthenticated
    return user
