"""What the application asks of storage about people: accounts, what they log in with, keys and teams."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from typing import Protocol

from domain.api_key import ApiKey, digest
from domain.limits import Bound
from domain.login import Login
from domain.mail import QueuedMail
from domain.one_time_token import OneTimeToken, Purpose
from domain.team import Membership, Team
from domain.throttle import Rule
from domain.user import Principal, User


class Users(Protocol):
    def add(self, user: User) -> None:
        """Raises Conflict when the e-mail address is taken."""
        ...

    def get(self, user_id: str) -> User | None: ...

    def lock(self, user_id: str) -> User | None:
        """As stored now, to be saved: nobody else changes the user until the unit ends."""
        ...

    def by_email(self, email: str) -> User | None: ...

    def any(self) -> bool:
        """Whether there is at least one user."""
        ...

    def owners(self) -> int:
        """How many enabled owners there are, locked against change until the unit ends."""
        ...

    def page(self, limit: int, before: str | None) -> list[User]:
        """Newest first by id."""
        ...

    def save(self, user: User) -> None:
        """Stores everything but id and `created_at`. Raises Conflict as `add` does."""
        ...


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key with all that decides what it may do, whatever the state of each."""

    key: ApiKey
    user: User
    bounds: tuple[Bound, ...] = ()
    """Those of its own, its user's or, instead, its team's, and the installation's; only where there are any."""

    def genuine(self, token: str) -> bool:
        return compare_digest(self.key.digest, digest(token))

    def admit(self, token: str, now: datetime) -> Principal:
        return self.key.admit(token, self.user, self.bounds, now)


class Keys(Protocol):
    """A key's limits come back with it; they are stored by `LimitBook.put`."""

    def add(self, key: ApiKey) -> None: ...

    def by_kid(self, kid: str) -> KeyRecord | None: ...

    def get(self, key_id: str) -> ApiKey | None: ...

    def lock(self, key_id: str) -> ApiKey | None:
        """As stored now, to be saved: nobody else changes the key until the unit ends."""
        ...

    def page(self, user_id: str | None, team_id: str | None, limit: int, before: str | None) -> list[ApiKey]:
        """Newest first by id; of all users or teams where None. With `team_id` only keys that the team shares."""
        ...

    def save(self, key: ApiKey) -> None:
        """Stores name, scopes, models, expiry, user, `replaced_by`."""
        ...

    def revoke(self, key_id: str, at: datetime) -> bool:
        """False when there is no such key. Revoking twice keeps the first time."""
        ...

    def touch(self, key_id: str, at: datetime) -> None:
        """Remember the last use."""
        ...


@dataclass(frozen=True, slots=True)
class LoginRecord:
    login: Login
    user: User
    bounds: tuple[Bound, ...] = ()
    """The user's and the installation's."""

    def genuine(self, token: str) -> bool:
        return compare_digest(self.login.digest, digest(token))

    def admit(self, token: str, now: datetime) -> Principal:
        return self.login.admit(token, self.user, self.bounds, now)


class Logins(Protocol):
    def add(self, login: Login) -> None: ...

    def by_kid(self, kid: str) -> LoginRecord | None: ...

    def of_user(self, user_id: str) -> list[Login]:
        """Those that nobody ended, newest first; some may have run out."""
        ...

    def touch(self, login_id: str, seen_at: datetime, authenticated_at: datetime | None = None) -> None: ...

    def end(self, login_id: str, user_id: str, at: datetime) -> Login | None:
        """None when the user has no such login that still runs."""
        ...

    def end_all(self, user_id: str, at: datetime, but: str | None = None) -> list[Login]:
        """End every login of the user except the id `but`; returns those that were ended."""
        ...

    def sweep(self, before: datetime) -> int:
        """Forget up to 1,000 that began before; returns how many."""
        ...


class OneTimeTokens(Protocol):
    def add(self, token: OneTimeToken) -> None:
        """Earlier unused ones of the same purpose and address stop working."""
        ...

    def renew(self, token_id: str, digest: bytes, expires_at: datetime) -> bool:
        """Give an unused token another secret, which ends the old one; False when there is no such unused token."""
        ...

    def spend(self, purpose: Purpose, digest: bytes, at: datetime) -> OneTimeToken | None:
        """The token, used up by one conditional UPDATE; None when it is unknown, used or over."""
        ...

    def issued(self, purpose: Purpose, email: str, since: datetime) -> int:
        """How many were made for the address since then, used or not."""
        ...

    def open_invitations(self) -> list[OneTimeToken]:
        """Neither used nor withdrawn, newest first; some may have run out."""
        ...

    def withdraw(self, token_id: str, at: datetime) -> bool:
        """False when there is no such unused token."""
        ...

    def withdraw_all(self, user_id: str, email: str, at: datetime) -> None:
        """Every unused one of the user, and every unused one that was made for the address."""
        ...

    def sweep(self, before: datetime) -> int:
        """Forget up to 1,000 that ran out before; returns how many."""
        ...


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """`sealed` is the encrypted secret; `last_step` the newest time step whose code was used."""

    user_id: str
    sealed: bytes
    confirmed: bool = False
    last_step: int = 0


class SecondFactors(Protocol):
    def get(self, user_id: str) -> SecondFactor | None: ...

    def put(self, factor: SecondFactor, codes: Sequence[bytes] = ()) -> None:
        """Replace the user's factor and its recovery codes (digests)."""
        ...

    def use_step(self, user_id: str, step: int) -> bool:
        """False when this or a later step was used: a code works once."""
        ...

    def use_code(self, user_id: str, digest: bytes) -> bool:
        """Use up a recovery code; False when there is no such one."""
        ...

    def remove(self, user_id: str) -> None: ...


class Identities(Protocol):
    """Accounts at identity providers (OIDC)."""

    def find(self, issuer: str, subject: str) -> str | None:
        """The user's id."""
        ...

    def add(self, issuer: str, subject: str, user_id: str) -> None:
        """Raises Conflict when it belongs to somebody already."""
        ...

    def forget(self, user_id: str) -> None:
        """All of the user's."""
        ...


class Throttles(Protocol):
    def hit(self, key: str, rule: Rule, now: datetime) -> int:
        """Count an attempt, or refuse it: 0, or the seconds until the next one is allowed. Atomic."""
        ...

    def clear(self, key: str) -> None: ...

    def refund(self, key: str) -> None:
        """Take one attempt back; a wait that has begun goes on."""
        ...

    def sweep(self, before: datetime) -> int:
        """Forget what began and was blocked before; returns how many."""
        ...


class Outbox(Protocol):
    def put(self, mail: QueuedMail) -> None: ...

    def claim(self, now: datetime, until: datetime, limit: int) -> list[QueuedMail]:
        """Up to `limit` mails that are due, with one more attempt counted; nobody else gets them before `until`."""
        ...

    def postpone(self, mail_id: str, due_at: datetime) -> None: ...

    def done(self, mail_id: str) -> None:
        """Sent, or given up: it is forgotten."""
        ...

    def waiting(self) -> int: ...


class Teams(Protocol):
    def add(self, team: Team) -> None:
        """Raises Conflict when the name is taken."""
        ...

    def get(self, team_id: str) -> Team | None: ...

    def page(self, limit: int, before: str | None) -> list[Team]:
        """Newest first by id."""
        ...

    def save(self, team: Team) -> None:
        """Stores the name. Raises Conflict as `add` does."""
        ...

    def delete(self, team_id: str) -> None:
        """With its memberships; its keys must have been revoked."""
        ...

    def members(self, team_id: str) -> list[Membership]: ...

    def of_user(self, user_id: str) -> list[Membership]: ...

    def put_member(self, membership: Membership) -> None:
        """Add the member or change the role."""
        ...

    def remove_member(self, team_id: str, user_id: str) -> bool:
        """False when the user was no member."""
        ...
