"""A paid call with an idempotency key is made once, however often and wherever its request is repeated."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from application.contention import at_once, patiently
from application.facts import RequestRepeated
from application.ports import Clock, Record
from application.store import Begin, UnitOfWork
from domain.errors import (
    IdempotencyInProgress,
    IdempotencyKeyReused,
    ParleyError,
    RequestAbandoned,
    Unavailable,
)
from domain.idempotency import KeyedCall, Reply, id_of
from domain.ledger import State
from domain.user import Principal

KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class IdempotencyService:
    """`turn_seconds` is the age from which no call can be running any more; `pause` is never twice the same."""

    begin: Begin
    clock: Clock
    record: Record
    turn_seconds: float = 660.0
    pause: Callable[[], object] = at_once

    def claim(self, principal: Principal, key: str, fingerprint: bytes, request_id: str) -> KeyedCall:
        """The call that has the key. With a reply it is to be answered by that; without one it is this request's own.

        A call of one's own must be finished or released. Raises IdempotencyInProgress, IdempotencyKeyReused,
        RequestAbandoned, and Unavailable: where nobody can be asked, nothing may be executed.
        """
        now = self.clock.now()
        wanted = KeyedCall(id_of(principal, key), principal.user_id, fingerprint, request_id, now)
        try:
            found = patiently(lambda: self._claim_once(wanted), self.pause)
        except (IdempotencyInProgress, IdempotencyKeyReused, RequestAbandoned) as error:
            self.record(RequestRepeated(error.code))
            raise
        if found.reply is not None:
            self.record(RequestRepeated("replayed"))
        return found

    def finish(self, call: KeyedCall, reply: Reply, rest: Sequence[bytes] = ()) -> None:
        """Keep the reply and the `rest` of its body for repeats. Never raises: if that fails, the key stays taken.

        Repeats are then refused: while the call may still be running, and afterwards as abandoned.
        """
        with suppress(Unavailable):
            patiently(lambda: self._finish_once(call, reply, rest), self.pause)

    def rest(self, call: KeyedCall) -> Iterator[bytes]:
        """What follows the reply's body: each part is read when it is asked for, so that nobody holds them all.

        Ends early when the key is another request's meanwhile. Raises Unavailable.
        """
        number = 1
        while (part := patiently(partial(self._part_once, call, number), self.pause)) is not None:
            yield part
            number += 1

    def release(self, call: KeyedCall) -> None:
        """Nothing was executed, so that the next request with this key may be. Never raises."""
        with suppress(Unavailable):
            patiently(lambda: self._release_once(call), self.pause)

    def _claim_once(self, wanted: KeyedCall) -> KeyedCall:
        with self.begin() as work:
            found = work.idempotency.claim(wanted)
            if found.request_id == wanted.request_id:
                return found
            return self._repeated(work, found, wanted)

    def _repeated(self, work: UnitOfWork, found: KeyedCall, wanted: KeyedCall) -> KeyedCall:
        """Raises what `claim` does."""
        outcome = None if found.reply else work.idempotency.outcome(found.request_id)
        over = found.claimed_at < wanted.claimed_at - timedelta(seconds=self.turn_seconds)
        if found.claimed_at <= wanted.claimed_at - KEPT or (over and not found.reply and outcome is None):
            work.idempotency.take_over(wanted)  # too old to be kept, or its worker died before it could begin
            return wanted
        if found.fingerprint != wanted.fingerprint:
            raise IdempotencyKeyReused
        if found.reply is not None:
            return found
        raise _unfinished(outcome, over=over)

    def _finish_once(self, call: KeyedCall, reply: Reply, rest: Sequence[bytes]) -> None:
        with self.begin() as work:
            work.idempotency.finish(call, reply, rest)

    def _part_once(self, call: KeyedCall, number: int) -> bytes | None:
        with self.begin() as work:
            return work.idempotency.part(call, number)

    def _release_once(self, call: KeyedCall) -> None:
        with self.begin() as work:
            work.idempotency.release(call)


def _unfinished(outcome: State | None, *, over: bool) -> ParleyError:
    """An end that the call's own worker wrote may be followed by its reply any moment; a dead worker's may not."""
    if outcome is State.ABANDONED or over:
        return RequestAbandoned()
    return IdempotencyInProgress(retry_after=1)
