"""The second factor: codes of an authenticator application, and recovery codes for the day it is lost."""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime

from application import attempts
from application.account_store import SecondFactor
from application.auditing import Auditor, Change
from application.ports import Clock, NewSecret, OneTimeCodes, Vault
from application.proofs import locked
from application.store import Begin, UnitOfWork
from domain.api_key import digest
from domain.audit import Actor
from domain.errors import Conflict, InvalidCredentials, InvalidRequest, NotFound, SecondFactorRequired
from domain.user import Principal, User

PURPOSE = "totp"
CODES = 10

_CODE_LENGTH = 20
"""119 random bits, so that a plain digest is enough at rest (ASVS 6.5.2)."""
_GROUP = 5
_SIX_DIGITS = re.compile("[0-9]{6}")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """To be confirmed with a code before it counts."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SecondFactorService:
    begin: Begin
    clock: Clock
    new_secret: NewSecret
    codes: OneTimeCodes
    vault: Vault
    auditor: Auditor

    def enrol(self, principal: Principal) -> Enrolment:
        """Raises ReauthenticationRequired, and Conflict when there is a confirmed one."""
        principal.require_login()
        principal.require_recent()
        secret = self.codes.new_secret()
        with self.begin() as work:
            user = locked(work, principal.user_id)
            if user.totp:
                raise Conflict("There is a second factor already.")
            work.factors.put(SecondFactor(user.id, self.vault.seal(PURPOSE, secret)))
        return Enrolment(secret, self.codes.uri(secret, user.email))

    def confirm(self, principal: Principal, code: str) -> list[str]:
        """Switch it on; returns the recovery codes, which exist nowhere else. Raises InvalidRequest, RateLimited.

        Ends the user's other logins, which did without it.
        """
        principal.require_login()
        counter = attempts.code(principal.user_id)
        with self.begin() as work:
            wait = attempts.count(work, self.clock.now(), counter)
        attempts.refuse(wait)
        recovery = [_grouped(self.new_secret(_CODE_LENGTH)) for _ in range(CODES)]
        with self.begin() as work:
            user = locked(work, principal.user_id)
            factor = self._confirmed(work, user, code)
            work.factors.put(factor, [_digest(it) for it in recovery])
            attempts.forget(work, counter)
            self._switch(work, principal, user, on=True)
        return recovery

    def remove(self, principal: Principal) -> None:
        """Ends the user's other logins. Raises ReauthenticationRequired, NotFound."""
        principal.require_login()
        principal.require_recent()
        with self.begin() as work:
            user = locked(work, principal.user_id)
            if not user.totp:
                raise NotFound("There is no second factor.")
            work.factors.remove(user.id)
            self._switch(work, principal, user, on=False)

    def demand(self, user: User, code: str | None) -> None:
        """Raises SecondFactorRequired when `code` is missing. For a user whose password was right."""
        if user.totp and not code:
            raise SecondFactorRequired

    def check(self, work: UnitOfWork, user: User, code: str | None) -> None:
        """Use `code` up, if the user needs one. Raises SecondFactorRequired, and InvalidCredentials for a wrong one."""
        self.demand(user, code)
        if user.totp and not self.proves(work, user, code or "", self.clock.now()):
            raise InvalidCredentials("The code is wrong, or was used already.", param="code")

    def proves(self, work: UnitOfWork, user: User, code: str, now: datetime) -> bool:
        """Whether `code` is right; it is used up then. For a user with `totp`."""
        if not _SIX_DIGITS.fullmatch(_bare(code)):
            return work.factors.use_code(user.id, _digest(code))
        step = self._step(work.factors.get(user.id), code, now)
        return step is not None and work.factors.use_step(user.id, step)

    def _confirmed(self, work: UnitOfWork, user: User, code: str) -> SecondFactor:
        factor = work.factors.get(user.id)
        if factor is None or factor.confirmed:
            raise InvalidRequest("There is no second factor that waits to be confirmed.", param="code")
        step = self._step(factor, code, self.clock.now())
        if step is None:
            raise InvalidRequest("The code is wrong.", param="code")
        return replace(factor, confirmed=True, last_step=step)

    def _step(self, factor: SecondFactor | None, code: str, now: datetime) -> int | None:
        """None for a wrong code, and for a factor that nobody can read any more: recovery codes still work then."""
        if factor is None:
            return None
        try:
            secret = self.vault.open(PURPOSE, factor.sealed)
        except ValueError:
            return None
        return self.codes.step_of(secret, _bare(code), now)

    def _switch(self, work: UnitOfWork, principal: Principal, user: User, *, on: bool) -> None:
        work.users.save(replace(user, totp=on))
        work.logins.end_all(user.id, self.clock.now(), but=principal.key_id)
        action = "user.add_second_factor" if on else "user.remove_second_factor"
        actor = Actor(principal.user_id, principal.key_id)
        self.auditor.write(work, actor, Change(action, user.id, {"totp": user.totp}, {"totp": on}))


def _grouped(code: str) -> str:
    """Easier to copy by hand."""
    return "-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))


def _bare(code: str) -> str:
    return re.sub(r"[\s-]", "", code)


def _digest(code: str) -> bytes:
    return digest(_bare(code))
