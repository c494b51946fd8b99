"""The audit log: who changed what. Append-only, written in the transaction of the change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, from where."""

    user_id: str | None
    key_id: str | None
    """The key or login that was used; None for a command on the server itself."""
    ip: str = ""
    request_id: str = ""


SYSTEM = Actor(None, None)
"""The command line, which whoever runs the server may use."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`action` is `noun.verb` (`key.revoke`). `before` and `after` hold the changed fields, never a secret."""

    id: str
    at: datetime
    actor: Actor
    action: str
    object_id: str
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
