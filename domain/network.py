"""Whose an address is: everybody's, one's own, or nobody's. Rules about texts and numbers; nothing is looked up here.

The networks are those of IANA's registries of special-purpose addresses (RFC 6890 and what came after it), and the
addresses at which clouds hand out credentials.
"""

import re
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


class Reach(Enum):
    PUBLIC = "public"
    NEAR = "near"
    """This machine and private networks."""
    NEVER = "never"
    """Nobody whom this program should speak to: link-local, groups, metadata servers, whatever is reserved."""


class UnusableHost(ValueError):
    """The host's text alone says that it is none. The message goes on after the name of what has the host."""


_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_NUMBER = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)")
"""What resolvers may read as an IPv4 address: 127.1, 2130706433, 0x7f.1."""
_METADATA = frozenset({"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"})
"""What clouds call the servers at 169.254.169.254 that hand out credentials."""
_THIS_MACHINE = "localhost"
_OWN_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa")


def _networks(*texts: str) -> tuple[IPNetwork, ...]:
    return tuple(map(ip_network, texts))


_LOOPBACK = _networks("127.0.0.0/8", "::1/128")
_NEAR = (
    *_LOOPBACK,
    *_networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    *_networks("198.18.0.0/15"),  # benchmarks, and tunnels on this machine that make up an address for every name
)
_NEVER = (
    *_networks("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"),  # nowhere, link-local, groups with all that is above them
    *_networks("192.0.0.0/24", "192.88.99.0/24"),  # protocols' own, and relays that are gone
    *_networks("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),  # documentation
    *_networks("2001::/23"),  # protocols' own; Teredo has been unwrapped by then
    # Metadata servers of clouds that are not link-local: Alibaba, Azure, AWS, Google, Scaleway.
    *_networks("100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::/32", "fd20:ce::254/128", "fd00:42::42/128"),
)
_GLOBAL_UNICAST = ip_network("2000::/3")
"""All of IPv6 that anybody was ever given; outside of it lie the unspecified, link-local, site-local and groups too."""

_LAST_IS_IPV4 = _networks(
    "::ffff:0:0/96",  # mapped
    "::/96",  # compatible
    *("64:ff9b::/96", "64:ff9b:1::/96"),  # NAT64; other forms of the latter's /48 cannot be told apart, so: never
)
_SIX_TO_FOUR = ip_network("2002::/16")
_TEREDO = ip_network("2001::/32")
_32_BITS = 0xFFFF_FFFF


def reach_of(address: IPAddress) -> Reach:
    """An IPv4 address in a disguise of IPv6 has to be public: no honest name leads to a private one that way."""
    if _is_scoped(address):
        return Reach.NEVER
    if inner := embedded_in(address):
        return Reach.PUBLIC if all(reach_of(it) is Reach.PUBLIC for it in inner) else Reach.NEVER
    if _within(address, _NEVER):
        return Reach.NEVER
    if _within(address, _NEAR):
        return Reach.NEAR
    return Reach.PUBLIC if address.version == 4 or address in _GLOBAL_UNICAST else Reach.NEVER  # noqa: PLR2004 - IPv4


def embedded_in(address: IPAddress) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses to which a packet for `address` goes in truth: mapped, compatible, NAT64, 6to4, Teredo.

    A prefix that an operator chose for a NAT64 of his own looks like any other address.
    """
    number = int(address)
    if _within(address, _LAST_IS_IPV4) and number > 1:  # :: and ::1 are themselves
        return (IPv4Address(number & _32_BITS),)
    if address in _SIX_TO_FOUR:
        return (IPv4Address(number >> 80 & _32_BITS),)
    if address in _TEREDO:
        return (IPv4Address(number >> 64 & _32_BITS), IPv4Address(~number & _32_BITS))
    return ()


def is_near(host: str) -> bool:
    """Whether `host`, by its text, is on this machine or in a private network.

    Raises UnusableHost for what is neither a name nor an address, and for addresses that nobody may have.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return _is_near_name(host)
    reach = reach_of(address)
    if reach is Reach.NEVER or embedded_in(address):
        raise UnusableHost("must not be a link-local, multicast, reserved or embedded IP address")
    return reach is Reach.NEAR


def is_whole(netloc: str, host: str, port: int | None) -> bool:
    """Whether `netloc`, from which a URL's parser took `host` and `port`, is nothing else, each as usually written."""
    name = f"[{host}]" if ":" in host else host
    return "%" not in host and port != 0 and netloc.lower() == (name if port is None else f"{name}:{port}")


def is_this_machine(host: str) -> bool:
    """Whether `host`, by its text, is a loopback address or the name of one."""
    try:
        return _within(ip_address(host), _LOOPBACK)
    except ValueError:
        return host == _THIS_MACHINE


def _is_near_name(host: str) -> bool:
    """A name of one label means something in one's own network only, and so do the suffixes."""
    if not _NAME.fullmatch(host) or _NUMBER.fullmatch(host):
        raise UnusableHost("has a host that is neither a name nor an IP address in its usual form")
    if host in _METADATA:
        raise UnusableHost("must not be a cloud's metadata server")
    return "." not in host or host.endswith(_OWN_SUFFIXES)


def _is_scoped(address: IPAddress) -> bool:
    """`fd00::1%eth0`: which network that is, only this machine knows."""
    return isinstance(address, IPv6Address) and address.scope_id is not None


def _within(address: IPAddress, networks: tuple[IPNetwork, ...]) -> bool:
    return any(address in network for network in networks)
