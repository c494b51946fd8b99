"""The storage ports of accounts in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from application.account_store import KeyRecord, LoginRecord, SecondFactor
from domain.api_key import ApiKey
from domain.errors import Conflict
from domain.limits import NO_LIMITS, Bound, Kind
from domain.login import Login
from domain.mail import QueuedMail
from domain.one_time_token import OneTimeToken, Purpose
from domain.team import Membership, Team
from domain.throttle import Rule, begin
from domain.user import Role, User
from tests.rows import Rows, newest


@dataclass(frozen=True, slots=True)
class MemoryUsers:
    rows: Rows

    def add(self, user: User) -> None:
        if self.by_email(user.email) is not None:
            raise Conflict("This e-mail address is taken.", param="email")
        self.rows.users[user.id] = replace(user, created_at=user.created_at.astimezone(UTC))

    def get(self, user_id: str) -> User | None:
        return self.rows.users.get(user_id)

    def lock(self, user_id: str) -> User | None:
        return self.get(user_id)

    def by_email(self, email: str) -> User | None:
        return next((user for user in self.rows.users.values() if user.email == email), None)

    def any(self) -> bool:
        return bool(self.rows.users)

    def owners(self) -> int:
        return sum(1 for user in self.rows.users.values() if user.role is Role.OWNER and not user.disabled)

    def page(self, limit: int, before: str | None) -> list[User]:
        return newest(self.rows.users.values(), limit, before)

    def save(self, user: User) -> None:
        other = self.by_email(user.email)
        if other is not None and other.id != user.id:
            raise Conflict("This e-mail address is taken.", param="email")
        self.rows.users[user.id] = replace(user, created_at=self.rows.users[user.id].created_at)


@dataclass(frozen=True, slots=True)
class MemoryKeys:
    rows: Rows

    def add(self, key: ApiKey) -> None:
        self.rows.keys[key.id] = replace(key, limits=NO_LIMITS)

    def by_kid(self, kid: str) -> KeyRecord | None:
        key = next((key for key in self.rows.keys.values() if key.kid == kid), None)
        if key is None:
            return None
        owner = (Kind.TEAM, key.team_id) if key.team_id else (Kind.USER, key.user_id)
        bounds = _bounds(self.rows, (Kind.KEY, key.id), owner)
        return KeyRecord(self._limited(key), self.rows.users[key.user_id], bounds)

    def get(self, key_id: str) -> ApiKey | None:
        key = self.rows.keys.get(key_id)
        return None if key is None else self._limited(key)

    def lock(self, key_id: str) -> ApiKey | None:
        return self.get(key_id)

    def page(self, user_id: str | None, team_id: str | None, limit: int, before: str | None) -> list[ApiKey]:
        found = (
            key for key in self.rows.keys.values() if user_id in (None, key.user_id) and team_id in (None, key.team_id)
        )
        return [self._limited(key) for key in newest(found, limit, before)]

    def save(self, key: ApiKey) -> None:
        stored = self.rows.keys[key.id]
        self.rows.keys[key.id] = replace(
            stored,
            name=key.name,
            scopes=key.scopes,
            models=key.models,
            heartbeats=key.heartbeats,
            expires_at=key.expires_at,
            user_id=key.user_id,
            replaced_by=key.replaced_by,
        )

    def revoke(self, key_id: str, at: datetime) -> bool:
        key = self.rows.keys.get(key_id)
        if key is None:
            return False
        self.rows.keys[key_id] = replace(key, revoked_at=key.revoked_at or at)
        return True

    def touch(self, key_id: str, at: datetime) -> None:
        self.rows.keys[key_id] = replace(self.rows.keys[key_id], last_used_at=at)

    def _limited(self, key: ApiKey) -> ApiKey:
        return replace(key, limits=self.rows.limits.get((Kind.KEY, key.id), NO_LIMITS))


@dataclass(frozen=True, slots=True)
class MemoryLogins:
    rows: Rows

    def add(self, login: Login) -> None:
        self.rows.logins[login.id] = login

    def by_kid(self, kid: str) -> LoginRecord | None:
        login = next((login for login in self.rows.logins.values() if login.kid == kid), None)
        if login is None:
            return None
        bounds = _bounds(self.rows, (Kind.USER, login.user_id))
        return LoginRecord(login, self.rows.users[login.user_id], bounds)

    def of_user(self, user_id: str) -> list[Login]:
        mine = (login for login in self.rows.logins.values() if login.user_id == user_id and login.ended_at is None)
        return newest(mine)

    def touch(self, login_id: str, seen_at: datetime, authenticated_at: datetime | None = None) -> None:
        login = self.rows.logins[login_id]
        again = authenticated_at or login.authenticated_at
        self.rows.logins[login_id] = replace(login, seen_at=seen_at, authenticated_at=again)

    def end(self, login_id: str, user_id: str, at: datetime) -> Login | None:
        login = self.rows.logins.get(login_id)
        if login is None or login.user_id != user_id or login.ended_at is not None:
            return None
        ended = self.rows.logins[login_id] = replace(login, ended_at=at)
        return ended

    def end_all(self, user_id: str, at: datetime, but: str | None = None) -> list[Login]:
        ended = (self.end(login.id, user_id, at) for login in self.of_user(user_id) if login.id != but)
        return [login for login in ended if login is not None]

    def sweep(self, before: datetime) -> int:
        old = [login.id for login in self.rows.logins.values() if login.created_at < before]
        return len([self.rows.logins.pop(login_id) for login_id in old])


@dataclass(frozen=True, slots=True)
class MemoryTokens:
    rows: Rows

    def add(self, token: OneTimeToken) -> None:
        for other in list(self.rows.tokens.values()):
            if (other.purpose, other.email, other.used_at) == (token.purpose, token.email, None):
                self.rows.tokens[other.id] = replace(other, used_at=token.created_at)
        self.rows.tokens[token.id] = token

    def renew(self, token_id: str, digest: bytes, expires_at: datetime) -> bool:
        token = self.rows.tokens.get(token_id)
        if token is None or token.used_at is not None:
            return False
        self.rows.tokens[token_id] = replace(token, digest=digest, expires_at=expires_at)
        return True

    def spend(self, purpose: Purpose, digest: bytes, at: datetime) -> OneTimeToken | None:
        for token in list(self.rows.tokens.values()):
            if (token.purpose, token.digest, token.used_at) == (purpose, digest, None) and token.expires_at > at:
                spent = self.rows.tokens[token.id] = replace(token, used_at=at)
                return spent
        return None

    def issued(self, purpose: Purpose, email: str, since: datetime) -> int:
        tokens = self.rows.tokens.values()
        return sum(1 for it in tokens if (it.purpose, it.email) == (purpose, email) and it.created_at >= since)

    def open_invitations(self) -> list[OneTimeToken]:
        tokens = self.rows.tokens.values()
        return newest(it for it in tokens if it.purpose is Purpose.INVITE and it.used_at is None)

    def withdraw(self, token_id: str, at: datetime) -> bool:
        token = self.rows.tokens.get(token_id)
        if token is None or token.used_at is not None:
            return False
        self.rows.tokens[token_id] = replace(token, used_at=at)
        return True

    def withdraw_all(self, user_id: str, email: str, at: datetime) -> None:
        for token in list(self.rows.tokens.values()):
            if user_id == token.user_id or email == token.email:
                self.withdraw(token.id, at)

    def sweep(self, before: datetime) -> int:
        old = [token.id for token in self.rows.tokens.values() if token.expires_at < before]
        return len([self.rows.tokens.pop(token_id) for token_id in old])


@dataclass(frozen=True, slots=True)
class MemoryFactors:
    rows: Rows

    def get(self, user_id: str) -> SecondFactor | None:
        return self.rows.factors.get(user_id)

    def put(self, factor: SecondFactor, codes: Sequence[bytes] = ()) -> None:
        self.rows.factors[factor.user_id] = factor
        self.rows.codes[factor.user_id] = frozenset(codes)

    def use_step(self, user_id: str, step: int) -> bool:
        factor = self.rows.factors.get(user_id)
        if factor is None or factor.last_step >= step:
            return False
        self.rows.factors[user_id] = replace(factor, last_step=step)
        return True

    def use_code(self, user_id: str, digest: bytes) -> bool:
        codes = self.rows.codes.get(user_id, frozenset())
        self.rows.codes[user_id] = codes - {digest}
        return digest in codes

    def remove(self, user_id: str) -> None:
        self.rows.factors.pop(user_id, None)
        self.rows.codes.pop(user_id, None)


@dataclass(frozen=True, slots=True)
class MemoryIdentities:
    rows: Rows

    def find(self, issuer: str, subject: str) -> str | None:
        return self.rows.identities.get((issuer, subject))

    def add(self, issuer: str, subject: str, user_id: str) -> None:
        if self.rows.identities.setdefault((issuer, subject), user_id) != user_id:
            raise Conflict("This identity belongs to somebody else.")

    def forget(self, user_id: str) -> None:
        for key in [key for key, owner in self.rows.identities.items() if owner == user_id]:
            del self.rows.identities[key]


@dataclass(frozen=True, slots=True)
class MemoryThrottles:
    rows: Rows

    def hit(self, key: str, rule: Rule, now: datetime) -> int:
        throttle = self.rows.throttles.get(key)
        if throttle is None or not throttle.count:
            self.rows.throttles[key] = begin(rule, now)
            return 0
        if wait := throttle.wait(now):
            return wait
        self.rows.throttles[key] = throttle.hit(rule, now)
        return 0

    def clear(self, key: str) -> None:
        self.rows.throttles.pop(key, None)

    def refund(self, key: str) -> None:
        throttle = self.rows.throttles.get(key)
        if throttle is not None:
            self.rows.throttles[key] = replace(throttle, count=max(0, throttle.count - 1))

    def sweep(self, before: datetime) -> int:
        old = [key for key, it in self.rows.throttles.items() if max(it.since, it.blocked_until) < before]
        for key in old:
            del self.rows.throttles[key]
        return len(old)


@dataclass(frozen=True, slots=True)
class MemoryOutbox:
    rows: Rows

    def put(self, mail: QueuedMail) -> None:
        self.rows.outbox[mail.id] = mail

    def claim(self, now: datetime, until: datetime, limit: int) -> list[QueuedMail]:
        due = sorted((it for it in self.rows.outbox.values() if it.due_at <= now), key=lambda it: it.due_at)[:limit]
        claimed = [replace(mail, due_at=until, attempts=mail.attempts + 1) for mail in due]
        self.rows.outbox.update({mail.id: mail for mail in claimed})
        return claimed

    def postpone(self, mail_id: str, due_at: datetime) -> None:
        self.rows.outbox[mail_id] = replace(self.rows.outbox[mail_id], due_at=due_at)

    def done(self, mail_id: str) -> None:
        self.rows.outbox.pop(mail_id, None)

    def waiting(self) -> int:
        return len(self.rows.outbox)


@dataclass(frozen=True, slots=True)
class MemoryTeams:
    rows: Rows

    def add(self, team: Team) -> None:
        self._check_name(team)
        self.rows.teams[team.id] = team

    def get(self, team_id: str) -> Team | None:
        return self.rows.teams.get(team_id)

    def page(self, limit: int, before: str | None) -> list[Team]:
        return newest(self.rows.teams.values(), limit, before)

    def save(self, team: Team) -> None:
        self._check_name(team)
        self.rows.teams[team.id] = replace(self.rows.teams[team.id], name=team.name)

    def delete(self, team_id: str) -> None:
        self.rows.teams.pop(team_id, None)
        for member in self.members(team_id):
            self.remove_member(team_id, member.user_id)

    def members(self, team_id: str) -> list[Membership]:
        return sorted((it for it in self.rows.members.values() if it.team_id == team_id), key=lambda it: it.user_id)

    def of_user(self, user_id: str) -> list[Membership]:
        return sorted((it for it in self.rows.members.values() if it.user_id == user_id), key=lambda it: it.team_id)

    def put_member(self, membership: Membership) -> None:
        self.rows.members[membership.team_id, membership.user_id] = membership

    def remove_member(self, team_id: str, user_id: str) -> bool:
        return self.rows.members.pop((team_id, user_id), None) is not None

    def _check_name(self, team: Team) -> None:
        if any(it.name == team.name and it.id != team.id for it in self.rows.teams.values()):
            raise Conflict("A team has this name already.", param="name")


def _bounds(rows: Rows, *subjects: tuple[Kind, str]) -> tuple[Bound, ...]:
    wanted = (*subjects, (Kind.GLOBAL, ""))
    return tuple(Bound(*subject, rows.limits[subject]) for subject in wanted if subject in rows.limits)
