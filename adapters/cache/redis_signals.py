"""How a wish to stop a generation reaches the worker that runs it, over Redis."""

import threading
from collections.abc import Callable

from redis.client import PubSub
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.cache.signals import MemorySignals
from adapters.redis_link import RedisLink

CHANNEL = "parley:stop"
QUIET = 5.0
"""Seconds of silence after which the server has to prove that it is there."""
PATIENCE = 1.0
"""Seconds it has for that, and the pause before the next attempt when it has not."""


class RedisSignals:
    """Local at once, to the other workers by publish and subscribe; one connection per worker for listening.

    A listener in the publishing worker hears a wish twice.
    """

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._local = MemorySignals()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def publish(self, request_id: str) -> None:
        self._local.publish(request_id)
        self._link.ask(self._link.client.publish, CHANNEL, request_id)

    def listen(self, callback: Callable[[str], object]) -> None:
        """To be called in the worker itself: a thread does not survive a fork."""
        self._local.listen(callback)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="signals", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Listening ends within `QUIET` seconds."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                with self._subscription() as line:
                    line.subscribe(CHANNEL)
                    self._hear(line)
            except Exception:  # noqa: BLE001 - the outermost handler of its thread, which has to outlive everything
                self._closed.wait(PATIENCE)

    def _subscription(self) -> PubSub:
        line: PubSub = self._link.client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call] # redis-py
        return line

    def _hear(self, line: PubSub) -> None:
        while not self._closed.is_set():
            message = line.get_message(timeout=QUIET)
            if message is None:
                message = self._prove(line)
            if message["type"] == "message":
                self._local.publish(message["data"].decode(errors="replace"))

    def _prove(self, line: PubSub) -> dict[str, bytes]:
        """Without an answer the connection is dead, however open it looks."""
        line.ping()
        answer: dict[str, bytes] | None = line.get_message(timeout=PATIENCE)
        if answer is None:
            raise RedisTimeoutError("no answer to a ping")
        return answer
