"""Tells Dify to stop a generation that nobody waits for any more: a closed connection does not stop it.

https://docs.dify.ai/en/api-reference/chat-messages/stop-chat-message-generation
"""

from contextlib import suppress
from time import monotonic
from urllib.parse import quote

from gevent.pool import Pool

from adapters.ai.http_json import JsonCalls
from application.cancellation import Cancellation
from domain.provider_errors import ProviderError

SECONDS = 5.0
MOST = 16
_LONGEST_ID = 100


class Stops:
    """In the background, `MOST` at once and each for `SECONDS` at most; what is more than that is left out."""

    def __init__(self, most: int = MOST, seconds: float = SECONDS) -> None:
        self._pool = Pool(most)
        self._seconds = seconds

    def send(self, calls: JsonCalls, task_id: str, user: str) -> None:
        """Returns at once. Nothing is sent for a task whose id never came; `user` is who the answer was for."""
        if task_id and len(task_id) <= _LONGEST_ID and self._pool.free_count() > 0:
            self._pool.spawn(self._stop, calls, f"/chat-messages/{quote(task_id, safe='')}/stop", user)

    def _stop(self, calls: JsonCalls, path: str, user: str) -> None:
        with suppress(ProviderError):  # it is over anyhow, by its own end or by Dify's deadline
            calls.post(path, {"user": user}, Cancellation(self._seconds, monotonic))
