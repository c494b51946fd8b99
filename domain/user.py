"""Who calls: users, and the principal that a credential resolves to."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.errors import Forbidden, InvalidRequest, ModelNotAllowed

EMAIL_LENGTH = 254
_ADDRESS = re.compile(r"[^@]+@([^@.]+(\.[^@.]+)+|localhost)")


class Role(StrEnum):
    """From most to least powerful."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


class Scope(StrEnum):
    """What a key may do. A key without scopes has all that its user's role has."""

    CHAT = "chat"
    USAGE_READ = "usage:read"
    ADMIN = "admin"


_RIGHTS: dict[Role, frozenset[Scope]] = {
    Role.OWNER: frozenset(Scope),
    Role.ADMIN: frozenset(Scope),
    Role.MEMBER: frozenset({Scope.CHAT, Scope.USAGE_READ}),
    Role.VIEWER: frozenset({Scope.USAGE_READ}),
}


@dataclass(frozen=True, slots=True)
class User:
    id: str
    email: str
    role: Role
    created_at: datetime
    name: str = ""
    password_hash: str | None = None
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of one request: a user acting through a key."""

    user_id: str
    key_id: str
    role: Role
    scopes: frozenset[Scope]
    models: tuple[str, ...] = ()
    rpm: int | None = None

    def require(self, scope: Scope) -> None:
        """Effective right = role ∩ key scope, evaluated at use. Raises Forbidden."""
        if scope not in _RIGHTS[self.role] or (self.scopes and scope not in self.scopes):
            raise Forbidden(f"This key lacks the scope {scope}.")

    def require_model(self, model: str) -> None:
        """`model` is `provider/model`; an entry `provider/*` allows all models of one provider."""
        if not self.may_use(model):
            raise ModelNotAllowed(f"This key may not use the model {model}.", param="model")

    def may_use(self, model: str) -> bool:
        provider = model.partition("/")[0]
        return not self.models or model in self.models or f"{provider}/*" in self.models


def canonical_email(text: str) -> str:
    """The one form under which an address is unique: NFKC, case folded, no spaces around. Raises InvalidRequest."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    email = unicodedata.normalize("NFKC", folded).strip()  # folding can take a composed letter apart
    odd = any(unicodedata.category(char)[0] in "CZ" for char in email)
    if odd or len(email) > EMAIL_LENGTH or not _ADDRESS.fullmatch(email):
        raise InvalidRequest("That is not an e-mail address.", param="email")
    return email
