"""Who calls: users, API keys, and the principal behind a token."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from application.ports import Begin, Clock, NewId, NewSecret, PasswordHasher
from domain.api_key import KID_LENGTH, SECRET_LENGTH, ApiKey, compose, digest, kid_of
from domain.errors import InvalidRequest, NotFound, Unauthenticated
from domain.user import Principal, Role, Scope, User, canonical_email

FIRST_EMAIL = "admin@localhost"
PASSWORD_LENGTHS = range(12, 129)

KeyOwner = tuple[ApiKey, User]
FindKey = Callable[[str], KeyOwner | None]
"""From a kid to the key and its user; may answer from memory for up to 5 s."""


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """A key to be made. Limits that are None do not apply; no scopes means all of the user's role."""

    name: str
    scopes: frozenset[Scope] = frozenset()
    models: tuple[str, ...] = ()
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    budget: int | None = None
    window: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IdentityService:
    begin: Begin
    find_key: FindKey
    clock: Clock
    new_id: NewId
    new_secret: NewSecret
    passwords: PasswordHasher
    environment: str = "live"

    def authenticate(self, token: str) -> Principal:
        """Raises Unauthenticated, and DatabaseUnavailable when the key is not in memory and SQL does not answer."""
        found = self.find_key(kid_of(token))
        if found is None or found[1].disabled:
            raise Unauthenticated
        key, user = found
        return key.admit(token, user.role, self.clock.now())

    def describe(self, principal: Principal) -> ApiKey:
        """The caller's own key."""
        with self.begin() as work:
            for key in work.keys.of_user(principal.user_id):
                if key.id == principal.key_id:
                    return key
        raise NotFound

    def create_user(self, email: str, role: Role, password: str | None = None, name: str = "") -> User:
        """Raises InvalidRequest for a bad address or password, Conflict for a taken address."""
        user = User(
            id=self.new_id("usr"),
            email=canonical_email(email),
            role=role,
            created_at=self.clock.now(),
            name=name,
            password_hash=None if password is None else self._hash(password),
        )
        with self.begin() as work:
            work.users.add(user)
        return user

    def create_key(self, email: str, order: KeyOrder) -> tuple[ApiKey, str]:
        """The key and its token, which exists nowhere else. Raises NotFound for an unknown user."""
        with self.begin() as work:
            user = work.users.by_email(canonical_email(email))
            if user is None:
                raise NotFound(f"There is no user {email}.")
            key, token = self._key(user, order)
            work.keys.add(key)
        return key, token

    def all_keys(self) -> list[ApiKey]:
        """Newest first."""
        with self.begin() as work:
            return work.keys.of_user(None)

    def revoke_key(self, key_id: str) -> None:
        """By id or kid. Raises NotFound."""
        with self.begin() as work:
            found = work.keys.by_kid(key_id)
            if not work.keys.revoke(found[0].id if found else key_id, self.clock.now()):
                raise NotFound(f"There is no key {key_id}.")

    def bootstrap(self) -> tuple[User, str] | None:
        """Give an empty store its first administrator and key; None when there are users already."""
        with self.begin() as work:
            if work.users.any():
                return None
            user = User(self.new_id("usr"), FIRST_EMAIL, Role.OWNER, self.clock.now(), name="Administrator")
            key, token = self._key(user, KeyOrder("first key"))
            work.users.add(user)
            work.keys.add(key)
        return user, token

    def _key(self, user: User, order: KeyOrder) -> tuple[ApiKey, str]:
        kid = self.new_secret(KID_LENGTH)
        token = compose(self.environment, kid, self.new_secret(SECRET_LENGTH))
        key = ApiKey(
            id=self.new_id("key"),
            kid=kid,
            user_id=user.id,
            name=order.name,
            digest=digest(token),
            last4=token[-4:],
            created_at=self.clock.now(),
            scopes=order.scopes,
            models=order.models,
            rpm=order.rpm,
            tpm=order.tpm,
            concurrency=order.concurrency,
            budget=order.budget,
            window=order.window,
            expires_at=order.expires_at,
        )
        return key, token

    def _hash(self, password: str) -> str:
        if len(password) not in PASSWORD_LENGTHS:
            raise InvalidRequest("A password has 12 to 128 characters.", param="password")
        return self.passwords.hash(password)
