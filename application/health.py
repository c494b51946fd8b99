"""Whether this process should get traffic, and what it has to do without."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from application.in_flight import InFlight

Check = Callable[[], str | None]
"""None when all is well, else the reason in a few words."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """`failed` makes it unready, `degraded` does not; both say why. `config` is the hash of the configuration."""

    ready: bool
    failed: dict[str, str]
    degraded: dict[str, str]
    schema: str
    config: str


@dataclass(frozen=True, slots=True)
class HealthService:
    in_flight: InFlight
    required: Mapping[str, Check]
    optional: Mapping[str, Check]
    schema: Callable[[], str]
    config: Callable[[], str]

    def ready(self) -> Readiness:
        failed = _reasons(self.required)
        if self.in_flight.draining:
            failed["server"] = "shutting down"
        return Readiness(not failed, failed, _reasons(self.optional), self.schema(), self.config())


def _reasons(checks: Mapping[str, Check]) -> dict[str, str]:
    found = {name: check() for name, check in checks.items()}
    return {name: reason for name, reason in found.items() if reason}
