"""Ends running calls whose credential has ended: revoked, expired, its user disabled, its rights changed."""

from dataclasses import dataclass

from application.identity import IdentityService
from application.in_flight import InFlight
from domain.errors import KeyRevoked, Unavailable
from domain.user import Principal


@dataclass(frozen=True, slots=True)
class RevocationWatch:
    identity: IdentityService
    in_flight: InFlight

    def sweep(self) -> int:
        """Look at each credential once; to be called every second. Returns how many calls were ended.

        A credential that cannot be looked up (the database is away) is left alone.
        """
        running = self.in_flight.running()
        lost = {caller: self._lost(caller) for caller in {caller for _, caller in running}}
        return sum(self.in_flight.end(request_id, KeyRevoked()) for request_id, caller in running if lost[caller])

    def _lost(self, principal: Principal) -> bool:
        try:
            return self.identity.lost(principal)
        except Unavailable:
            return False
