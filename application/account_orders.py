"""What people ask of their accounts."""

from dataclasses import dataclass, field

from domain.mail import Locale


@dataclass(frozen=True, slots=True)
class Registration:
    """`invite` is the token of an invitation, which decides address and role."""

    email: str
    password: str = field(repr=False)
    name: str = ""
    invite: str | None = field(default=None, repr=False)
    locale: Locale = Locale.EN
    ip: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a user may change about themselves; None leaves it. A new address needs the password."""

    name: str | None = None
    locale: Locale | None = None
    email: str | None = None
    password: str | None = field(default=None, repr=False)
