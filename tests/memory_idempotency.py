"""Idempotency keys in memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from domain.idempotency import KeyedCall, Reply
from domain.ledger import Kind, State
from tests.rows import Rows


@dataclass(frozen=True, slots=True)
class MemoryIdempotency:
    rows: Rows

    def claim(self, call: KeyedCall) -> KeyedCall:
        return self.rows.keyed.setdefault(call.id, call)

    def take_over(self, call: KeyedCall) -> None:
        self.rows.keyed[call.id] = call
        self.rows.keyed_parts.pop(call.id, None)

    def finish(self, call: KeyedCall, reply: Reply, rest: Sequence[bytes] = ()) -> None:
        if self._has_key(call) and self.rows.keyed[call.id].reply is None:
            self.rows.keyed[call.id] = replace(self.rows.keyed[call.id], reply=reply)
            self.rows.keyed_parts[call.id] = tuple(rest)

    def part(self, call: KeyedCall, number: int) -> bytes | None:
        parts = self.rows.keyed_parts.get(call.id, ()) if self._has_key(call) else ()
        return parts[number - 1] if number <= len(parts) else None

    def release(self, call: KeyedCall) -> None:
        if self._has_key(call) and self.rows.keyed[call.id].reply is None:
            del self.rows.keyed[call.id]

    def outcome(self, request_id: str) -> State | None:
        final = self.rows.ledger.get((request_id, 0, Kind.FINAL))
        return None if final is None else final.state

    def forget(self, user_id: str) -> None:
        self._drop(key for key, it in self.rows.keyed.items() if it.user_id == user_id)

    def sweep(self, before: datetime) -> int:
        return self._drop(key for key, it in self.rows.keyed.items() if it.claimed_at < before)

    def _drop(self, keys: Iterable[bytes]) -> int:
        dropped = list(keys)
        for key in dropped:
            del self.rows.keyed[key]
            self.rows.keyed_parts.pop(key, None)
        return len(dropped)

    def _has_key(self, call: KeyedCall) -> bool:
        found = self.rows.keyed.get(call.id)
        return found is not None and found.request_id == call.request_id
