"""Where log lines leave the process. Writing one never waits and never raises."""

import os
import select
from typing import Any

from gevent import monkey

LINE_BYTES = 4096
"""PIPE_BUF: a pipe takes a line of this length whole or not at all, so lines of several workers never mix."""

_Poll: Any = monkey.get_original("select", "poll")


class Sink:
    """A full volume, a closed pipe or a reader that stopped costs lines, which are counted, never a request."""

    def __init__(self, fd: int = 1) -> None:
        self.dropped = 0
        """Lines lost so far."""
        self.redirect(fd)

    def redirect(self, fd: int) -> None:
        """From now on lines go to this file descriptor."""
        self._fd = fd
        self._poll = _Poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, line: bytes) -> None:
        """One line of at most LINE_BYTES, its newline included."""
        if not self._writes(line):
            self.dropped += 1

    def _writes(self, line: bytes) -> bool:
        try:
            ready = self._poll.poll(0)
            return bool(ready) and ready[0][1] & select.POLLOUT != 0 and os.write(self._fd, line) == len(line)
        except OSError:
            return False
