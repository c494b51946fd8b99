"""Which passwords are accepted (ASVS 5.0, 6.2)."""

import re
from dataclasses import dataclass

from application.ports import KnownPasswords
from domain.errors import InvalidRequest

LENGTHS = range(12, 129)

_PRODUCT = "parley"
_WORD = re.compile(r"[^\W_]{3,}")
_OWN_LENGTH = 8
"""So many characters of a password must be neither the user's address or name nor the name of the product."""


@dataclass(frozen=True, slots=True)
class PasswordRules:
    """Length, words that are too near, and a list of known passwords; no rule asks for digits or capitals."""

    known: KnownPasswords

    def check(self, password: str, *context: str) -> None:
        """`context` are words that are too near: the address, the name. Raises InvalidRequest on `password`."""
        if len(password) not in LENGTHS:
            raise _refused(f"A password has {LENGTHS.start} to {LENGTHS.stop - 1} characters.")
        if any("\ud800" <= char <= "\udfff" for char in password):
            raise _refused("The password has a character that is none.")
        if len(_own(password, context)) < _OWN_LENGTH:
            raise _refused("The password is too near to your address or your name.")
        if password in self.known or password.casefold() in self.known:
            raise _refused("The password is in a list of known passwords: whoever guesses begins with those.")


def _own(password: str, context: tuple[str, ...]) -> str:
    """What is left of a password without the words that others can guess."""
    left = password.casefold()
    words = {word for text in (*context, _PRODUCT) for word in _WORD.findall(text.casefold())}
    for word in sorted(words, key=len, reverse=True):
        left = left.replace(word, "")
    return left


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="password")
