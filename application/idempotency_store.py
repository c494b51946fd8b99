"""What the application asks of storage about idempotency keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain.idempotency import KeyedCall, Reply
from domain.ledger import State


class Idempotency(Protocol):
    """One call per key."""

    def claim(self, call: KeyedCall) -> KeyedCall:
        """Store it unless its key is taken; returns what has the key then, which nobody changes until the unit ends."""
        ...

    def take_over(self, call: KeyedCall) -> None:
        """Put it in the place of what has its key, in the unit in which `claim` returned that."""
        ...

    def finish(self, call: KeyedCall, reply: Reply, rest: Sequence[bytes] = ()) -> None:
        """Keep what it was answered with; nothing when it has a reply, or the key is another request's by now.

        `rest` is what follows `reply.body`, in parts of PART bytes at most.
        """
        ...

    def part(self, call: KeyedCall, number: int) -> bytes | None:
        """Of the rest of its reply, from 1; None behind the last, and when the key is another request's by now."""
        ...

    def release(self, call: KeyedCall) -> None:
        """Forget it, unless it has a reply or the key is another request's by now."""
        ...

    def outcome(self, request_id: str) -> State | None:
        """Of the final row in the ledger; None while there is none."""
        ...

    def forget(self, user_id: str) -> None:
        """Everything of a user who goes."""
        ...

    def sweep(self, before: datetime) -> int:
        """Forget up to 1,000 that were claimed before, fewer when they are long; returns how many."""
        ...
