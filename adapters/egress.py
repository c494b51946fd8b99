"""The way out: every connection to a provider of models or of identities goes to an address that was checked here.

A host is looked up once for each new connection, and what was checked is what is dialled: a second answer of the name
server has no chance. Looking up is left to gevent's resolver, so that nobody else waits for it. The operator's own
machinery (database, Redis, mail server) is dialled by its drivers, wherever its address leads.
"""

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from time import monotonic
from typing import Any

import gevent
from gevent import socket as gevent_socket

from domain.network import Reach, UnusableHost, is_near, reach_of

SocketAddress = tuple[Any, ...]
Resolved = tuple[int, int, int, str, SocketAddress]
"""As `socket.getaddrinfo` has it: family, kind, protocol, canonical name, address."""

_MOMENT = 0.001
"""The shortest wait: 0 would mean not to wait at all."""


class AddressRefused(OSError):
    """The host leads, or may lead, to where this program does not go. Nothing was sent there."""


@dataclass(frozen=True, slots=True)
class Destination:
    host: str
    port: int
    near: bool
    """It may be on this machine or in a private network. Without it only public addresses are dialled."""


def resolved(destination: Destination) -> list[Resolved]:
    """Every address of the host, checked; at least one. A single bad one among them refuses them all.

    Raises AddressRefused, and `socket.gaierror` for a name without any address.
    """
    host, port = destination.host, destination.port
    try:
        is_near(host)
    except UnusableHost as error:
        raise AddressRefused(f"{host}: it {error}") from None
    found: list[Resolved] = gevent_socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    for family, _, _, _, address in found:
        if not _may_be_dialled(family, address, near=destination.near):
            raise AddressRefused(f"{host} leads to {address[0]}")
    return found


def dialled(destination: Destination, seconds: float) -> socket.socket:
    """A plain connection, made within `seconds`, all of the host's addresses together; its timeout is that too.

    Raises OSError: what `resolved` raises, TimeoutError, or why the last of the addresses could not be reached.
    """
    ends = monotonic() + seconds
    with gevent.Timeout(seconds, TimeoutError("The name was not resolved in time.")):
        found = resolved(destination)
    for number, (family, kind, protocol, _, address) in enumerate(found, start=1):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(_MOMENT, ends - monotonic()))
            sock.connect(address)
            sock.settimeout(seconds)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            sock.close()
            if number == len(found):
                raise
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise AssertionError  # pragma: no cover - at least one address was found


def _may_be_dialled(family: int, address: SocketAddress, *, near: bool) -> bool:
    """What is no IP address at all must not be dialled either."""
    if family not in (socket.AF_INET, socket.AF_INET6):
        return False
    reach = reach_of(ip_address(address[0]))
    return reach is Reach.PUBLIC or (near and reach is Reach.NEAR)
