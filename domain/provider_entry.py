"""What an administrator may enter for a provider: where it is, and its key.

An address is checked when it is entered, by its text alone; nothing is looked up.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from domain.errors import InvalidRequest

ADDRESS_LENGTH = 1024
SECRET_LENGTH = 1000
_TAIL = 4
_LONG_ENOUGH_FOR_TAIL = 12

_TEXT = re.compile(r"[!-~]+")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_NUMBER = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)")
"""What resolvers may read as an IPv4 address: 127.1, 2130706433, 0x7f.1."""
_METADATA = frozenset({"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"})
"""What clouds call the servers at 169.254.169.254 that hand out credentials."""
_OWN_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa")

_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_PRIVATE = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")),
)
_NEVER = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"),  # nowhere, link-local with its metadata servers, groups
            *("::/96", "::ffff:0:0/96", "64:ff9b::/32", "2001::/32", "2002::/16"),  # an IPv4 address in disguise
            *("fe80::/10", "fec0::/10", "ff00::/8"),
        ),
    )
)


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
    if any(mark in text for mark in "@?#\\") or not _is_whole(parts.netloc, host, port):
        raise _refusal("is scheme://host[:port][/path], without user name, query and fragment")
    private = _is_private(host)
    if parts.scheme == "http" and not private:
        raise _refusal("must be https unless the host is on this machine or in a private network")
    return text.rstrip("/")


def checked_secret(text: str) -> str:
    """A key that fits into a header. Raises InvalidRequest."""
    if len(text) > SECRET_LENGTH or not _TEXT.fullmatch(text):
        raise InvalidRequest(
            f"A key has 1 to {SECRET_LENGTH:,} ASCII characters and no spaces.",
            param="secret",
        )
    return text


def tail_of(secret: str) -> str:
    """What may be shown of a secret: its last characters, and nothing of a short one."""
    return secret[-_TAIL:] if len(secret) >= _LONG_ENOUGH_FOR_TAIL else ""


def _is_whole(netloc: str, host: str, port: int | None) -> bool:
    """Whether nothing but the host and the port is there, each as it is usually written."""
    name = f"[{host}]" if ":" in host else host
    return "%" not in host and port != 0 and netloc.lower() == (name if port is None else f"{name}:{port}")


def _is_private(host: str) -> bool:
    """Raises InvalidRequest for what is neither a name nor an address, and for addresses that no provider has."""
    try:
        address = ip_address(host)
    except ValueError:
        return _is_private_name(host)
    if _within(address, _LOOPBACK):
        return True
    if _within(address, _NEVER):
        raise _refusal("must not be a link-local, multicast, reserved or embedded IP address")
    return _within(address, _PRIVATE)


def _is_private_name(host: str) -> bool:
    """A name of one label means something in one's own network only, and so do the suffixes."""
    if not _NAME.fullmatch(host) or _NUMBER.fullmatch(host):
        raise _refusal("has a host that is neither a name nor an IP address in its usual form")
    if host in _METADATA:
        raise _refusal("must not be a cloud's metadata server")
    return "." not in host or host.endswith(_OWN_SUFFIXES)


def _within(address: IPv4Address | IPv6Address, networks: tuple[object, ...]) -> bool:
    return any(address in network for network in networks)  # type: ignore[operator]


def _refusal(what: str) -> InvalidRequest:
    return InvalidRequest(f"A provider's base URL {what}.", param="base_url")
