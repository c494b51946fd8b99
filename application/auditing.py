"""Writes the audit log, always inside the transaction of the change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from application.ports import Clock, NewId
from application.store import UnitOfWork
from domain.audit import Actor, AuditEntry


@dataclass(frozen=True, slots=True)
class Change:
    """What is written down: only fields that differ, never a secret, a hash or a digest."""

    action: str
    object_id: str
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Auditor:
    clock: Clock
    new_id: NewId

    def write(self, work: UnitOfWork, actor: Actor, change: Change) -> None:
        """When this fails, the caller's transaction fails with it."""
        before, after = _difference(change.before, change.after)
        entry = AuditEntry(self.new_id("aud"), self.clock.now(), actor, change.action, change.object_id, before, after)
        work.audit.add(entry)


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    same = {name for name in before.keys() & after.keys() if before[name] == after[name]}
    return (
        {name: value for name, value in before.items() if name not in same},
        {name: value for name, value in after.items() if name not in same},
    )
