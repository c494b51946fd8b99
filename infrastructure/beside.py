"""Work that goes on after its request has ended."""

from collections.abc import Callable

import gevent

from application.call import Call
from application.in_flight import InFlight


class Beside:
    """Stays in flight, so that a process that has to go waits for it, and ends it at the same deadline."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self.running = 0

    def __call__(self, call: Call, work: Callable[[], object]) -> None:
        self._in_flight.stay(call.request_id)
        self.running += 1
        gevent.spawn(self._run, call.request_id, work)

    def _run(self, request_id: str, work: Callable[[], object]) -> None:
        try:
            work()
        finally:
            self.running -= 1
            self._in_flight.leave(request_id)
