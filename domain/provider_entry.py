"""What an administrator may enter for a provider: where it is, and its key.

An address is checked when it is entered, by its text alone; nothing is looked up. To what its host leads is checked
whenever it is dialled.
"""

import re
from urllib.parse import urlsplit

from domain.errors import InvalidRequest
from domain.network import UnusableHost, is_near, is_whole

ADDRESS_LENGTH = 1024
SECRET_LENGTH = 1000
_TAIL = 4
_LONG_ENOUGH_FOR_TAIL = 12

_TEXT = re.compile(r"[!-~]+")


def checked_address(text: str) -> str:
    """`text` without a slash at its end. Raises InvalidRequest unless it is an address that a provider may have.

    That is https, or http to this machine and to private networks; without user name, query and fragment.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _refusal("is not a URL") from None
    if len(text) > ADDRESS_LENGTH or not _TEXT.fullmatch(text) or not text.startswith(("https://", "http://")):
        raise _refusal(f"begins with https:// or http:// and has at most {ADDRESS_LENGTH:,} characters, all ASCII")
    host = parts.hostname or ""
    if any(mark in text for mark in "@?#\\") or not is_whole(parts.netloc, host, port):
        raise _refusal("is scheme://host[:port][/path], without user name, query and fragment")
    if not _is_near(host) and parts.scheme == "http":
        raise _refusal("must be https unless the host is on this machine or in a private network")
    return text.rstrip("/")


def checked_secret(text: str) -> str:
    """A key that fits into a header. Raises InvalidRequest."""
    if len(text) > SECRET_LENGTH or not _TEXT.fullmatch(text):
        raise InvalidRequest(
            f"A key has 1 to {SECRET_LENGTH:,} ASCII characters, no spaces and no line ends.",
            param="secret",
        )
    return text


def tail_of(secret: str) -> str:
    """What may be shown of a secret: its last characters, and nothing of a short one."""
    return secret[-_TAIL:] if len(secret) >= _LONG_ENOUGH_FOR_TAIL else ""


def _is_near(host: str) -> bool:
    try:
        return is_near(host)
    except UnusableHost as error:
        raise _refusal(str(error)) from None


def _refusal(what: str) -> InvalidRequest:
    return InvalidRequest(f"A provider's base URL {what}.", param="base_url")
