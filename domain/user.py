"""Who calls: users, and the principal that a credential resolves to."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.errors import Forbidden, InvalidRequest, ModelNotAllowed, ReauthenticationRequired
from domain.limits import Bound

EMAIL_LENGTH = 254
_MAILBOX = re.compile(r'[^"(),:;<>@\[\\\]]{1,64}')
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+|localhost")


class Role(StrEnum):
    """From most to least powerful."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


class Scope(StrEnum):
    """What a key may do. A key without scopes has all that its user's role has."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"
    IMAGES = "images"
    FILES = "files"
    USAGE_READ = "usage:read"
    KEYS = "keys"
    """Make, change and revoke the user's keys."""
    ADMIN = "admin"


EVERYDAY = frozenset({Scope.CHAT, Scope.EMBEDDINGS, Scope.IMAGES, Scope.FILES, Scope.USAGE_READ})
"""What a key may do when its maker did not say."""


_RIGHTS: dict[Role, frozenset[Scope]] = {
    Role.OWNER: frozenset(Scope),
    Role.ADMIN: frozenset(Scope),
    Role.MEMBER: EVERYDAY | {Scope.KEYS},
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
    confirmed: bool = True
    """Whether the address was shown to be the user's."""
    locale: str = "en"
    totp: bool = False
    """Whether a login needs a second factor."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of one request: a user acting through a key or a login."""

    user_id: str
    key_id: str
    """The id of the key or of the login."""
    role: Role
    scopes: frozenset[Scope] = frozenset()
    models: tuple[str, ...] = ()
    bounds: tuple[Bound, ...] = ()
    """The limits that apply, the key's own first, then the user's, the team's and the installation's."""
    kid: str = ""
    team_id: str | None = None
    heartbeats: bool = True
    """Whether streams to this caller show signs of life while they wait."""
    login: bool = False
    recent: bool = True
    """Of a login: whether the user proved lately who they are."""

    @property
    def rights(self) -> frozenset[Scope]:
        """Effective right = role ∩ key scope, evaluated at use."""
        allowed = _RIGHTS[self.role]
        return allowed & self.scopes if self.scopes else allowed

    def require(self, scope: Scope) -> None:
        """Raises Forbidden; for ADMIN also ReauthenticationRequired when a login is not a recent one."""
        if scope not in self.rights:
            raise Forbidden(f"This {'user' if self.login else 'key'} lacks the scope {scope}.")
        if scope is Scope.ADMIN:
            self.require_recent()

    def require_login(self) -> None:
        """What a person does with their own account. Raises Forbidden for a key."""
        if not self.login:
            raise Forbidden("That needs a login: a key may not do it.")

    def require_person(self) -> None:
        """For what belongs to the user alone. Raises Forbidden: a key that a team shares acts for nobody in person."""
        if self.team_id is not None:
            raise Forbidden("A key of a team has no sessions, files or usage of its own; `GET /key` tells its use.")

    def require_recent(self) -> None:
        """Raises ReauthenticationRequired. A key needs no repetition: holding it is its proof."""
        if not self.recent:
            raise ReauthenticationRequired

    def require_power_over(self, *roles: Role) -> None:
        """For what touches users of these roles, or what is theirs: only owners touch owners. Raises Forbidden."""
        self.require(Scope.ADMIN)
        if Role.OWNER in roles and self.role is not Role.OWNER:
            raise Forbidden("Only owners may do that to owners.")

    def require_model(self, model: str) -> None:
        """`model` is `provider/model`; an entry `provider/*` allows all models of one provider."""
        if not self.may_use(model):
            raise ModelNotAllowed(f"This key may not use the model {model}.", param="model")

    def may_use(self, model: str) -> bool:
        provider = model.partition("/")[0]
        return not self.models or model in self.models or f"{provider}/*" in self.models


def rights_of(role: Role) -> frozenset[Scope]:
    return _RIGHTS[role]


def canonical_email(text: str) -> str:
    """The one form under which an address is unique: NFKC, case folded, no spaces around.

    Raises InvalidRequest for what is none, and for addresses that need quotes: no mail is sent to those.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    email = unicodedata.normalize("NFKC", folded).strip()  # folding can take a composed letter apart
    odd = any(unicodedata.category(char)[0] in "CZ" for char in email)
    if odd or len(email) > EMAIL_LENGTH or not _is_address(email):
        raise InvalidRequest("That is not an e-mail address.", param="email")
    return email


def _is_address(email: str) -> bool:
    mailbox, _, host = email.rpartition("@")
    try:
        ascii_host = host.encode("idna").decode()
    except UnicodeError:
        return False
    return _MAILBOX.fullmatch(mailbox) is not None and _HOST.fullmatch(ascii_host) is not None
