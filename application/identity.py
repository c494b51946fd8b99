"""Who calls: the principal behind a token, and whether it still is one."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network

from application.account_store import KeyRecord, LoginRecord
from application.ports import Clock
from application.store import Begin
from domain.api_key import parts_of
from domain.errors import RateLimited, Unauthenticated, Unavailable
from domain.login import ENVIRONMENT, TOUCH
from domain.throttle import KEY_GUESS
from domain.user import Principal

FindKey = Callable[[str], KeyRecord | None]
"""By kid; may answer from memory for up to 3 s."""
FindLogin = Callable[[str], LoginRecord | None]
"""By kid; may answer from memory for up to 1 s."""

_REMEMBERED = 10_000
_IPV6_SITE = 64


@dataclass(frozen=True, slots=True)
class IdentityService:
    begin: Begin
    find_key: FindKey
    find_login: FindLogin
    clock: Clock
    touched: dict[str, datetime] = field(default_factory=dict)
    """By the id of the key or login: when this worker last wrote down a use."""

    def authenticate(self, token: str, ip: str = "") -> Principal:
        """Raises Unauthenticated, or RateLimited for whoever guesses.

        Raises DatabaseUnavailable when the credential is not in memory and SQL does not answer.
        """
        environment, kid = parts_of(token)
        found = self.find_login(kid) if environment == ENVIRONMENT else self.find_key(kid)
        now = self.clock.now()
        if found is None or not found.genuine(token):
            self._count_guess(ip, now)
            raise Unauthenticated
        principal = found.admit(token, now)
        self._touch(principal, now)
        return principal

    def lost(self, principal: Principal) -> bool:
        """Whether the credential of a running call has ended meanwhile, or lost a right it had."""
        current = self._login_now(principal) if principal.login else self._key_now(principal)
        return current is None or not principal.rights <= current.rights

    def _login_now(self, principal: Principal) -> Principal | None:
        found = self.find_login(principal.kid)
        if found is None or found.user.disabled or not found.login.works(found.user.role, self.clock.now()):
            return None
        return replace(principal, role=found.user.role)

    def _key_now(self, principal: Principal) -> Principal | None:
        found = self.find_key(principal.kid)
        if found is None or found.user.disabled or not found.key.works(self.clock.now()):
            return None
        return replace(principal, role=found.user.role, scopes=found.key.scopes)

    def _count_guess(self, ip: str, now: datetime) -> None:
        with self.begin() as work:
            wait = work.throttles.hit(f"key:{network_of(ip)}", KEY_GUESS, now)
        if wait:
            raise RateLimited(f"Too many wrong credentials. Try again in {wait} s.", retry_after=wait)

    def _touch(self, principal: Principal, now: datetime) -> None:
        """At most once a minute, and never at the price of the request."""
        last = self.touched.get(principal.key_id)
        if last is not None and now - last < TOUCH:
            return
        if len(self.touched) >= _REMEMBERED:
            self.touched.clear()
        self.touched[principal.key_id] = now
        try:
            with self.begin() as work:
                if principal.login:
                    work.logins.touch(principal.key_id, now)
                else:
                    work.keys.touch(principal.key_id, now)
        except Unavailable:
            return


def network_of(ip: str) -> str:
    """What counts as one visitor: an IPv4 address, or the /64 of an IPv6 address; text that is neither is itself."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, _IPV6_SITE), strict=False))
    return str(address)
