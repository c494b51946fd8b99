"""A worker with a few threads that all want the same key's capacity; prints what it got as one line of JSON.

python capacity_worker.py <redis url> gauge|tokens|requests|hold <concurrency> <tpm>
"""

import json
import sys
import threading
import time
import uuid
from collections.abc import Callable

from adapters.clock import SystemClock
from adapters.limits.memory import MemoryCounters
from adapters.limits.memory_capacity import MemoryCapacity
from adapters.limits.redis import RedisCounters
from adapters.limits.redis_capacity import RedisCapacity
from adapters.redis_link import RedisLink, connect
from application.breaker import Breaker
from application.ports import Share

THREADS, SECONDS, LEASE, TOKENS = 6, 1.5, 1.0, 7


class Worker:
    def __init__(self, url: str, share: Share) -> None:
        self.clock = SystemClock()
        facts: list[object] = []
        self.facts = facts
        self.link = RedisLink(connect(url), Breaker("redis", self.clock, facts.append), facts.append)
        self.capacity = RedisCapacity(self.link, MemoryCapacity(self.clock), lease=LEASE)
        self.shares = [share]
        self.most = self.passed = 0
        self._lock = threading.Lock()

    def gauge(self) -> None:
        """A call counts itself after it was let in and before it leaves, so the count is never above the truth."""
        name = uuid.uuid4().hex
        if self.capacity.reserve(name, self.shares, 0).refused is None:
            running = self.link.client.incr("running")
            time.sleep(0.002)
            self.link.client.decr("running")
            self.capacity.settle(name, 0)
            self._passed(running)

    def tokens(self) -> None:
        if self.capacity.reserve(uuid.uuid4().hex, self.shares, TOKENS).refused is None:
            self._passed(1)

    def requests(self) -> None:
        counters = RedisCounters(self.link, MemoryCounters(self.clock), 1)
        if counters.hit("rpm:key:a", 60)[0] <= (self.shares[0].tpm or 0):
            self._passed(1)

    def _passed(self, running: int) -> None:
        with self._lock:
            self.passed += 1
            self.most = max(self.most, running)

    def run(self, act: Callable[[], None]) -> None:
        until = time.monotonic() + SECONDS

        def work() -> None:
            while time.monotonic() < until:
                act()

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def hold(self) -> None:
        """Take every place and keep it until this process is killed."""
        while self.capacity.reserve(uuid.uuid4().hex, self.shares, 0).refused is None:
            self.passed += 1
        print(json.dumps({"passed": self.passed}), flush=True)  # noqa: T201 - the result
        while True:
            time.sleep(LEASE / 3)
            self.capacity.renew()


def main(url: str, act: str, concurrency: str, tpm: str) -> None:
    share = Share("a", int(tpm) if int(tpm) >= 0 else None, int(concurrency) if int(concurrency) >= 0 else None)
    worker = Worker(url, share)
    if act == "hold":
        worker.hold()
    worker.run(getattr(worker, act))
    result = {"passed": worker.passed, "most": worker.most, "facts": [str(fact) for fact in worker.facts]}
    print(json.dumps(result))  # noqa: T201 - the result


if __name__ == "__main__":
    main(*sys.argv[1:])
