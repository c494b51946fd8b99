"""What a process does again and again in the background."""

import logging
from collections.abc import Callable
from random import uniform
from typing import NoReturn

import gevent

from domain.errors import Unavailable

_PAUSE = 60.0
"""After an error that the next round will probably meet again."""

_log = logging.getLogger(__name__)


def every(seconds: float, chore: Callable[[], object]) -> NoReturn:
    """A greenlet's life: at once, then about every so many seconds; workers that start together drift apart."""
    while True:
        pause = seconds if attempt(chore) else max(seconds, _PAUSE)
        gevent.sleep(pause * uniform(0.9, 1.1))  # noqa: S311 - spreads workers, guards nothing


def attempt(chore: Callable[[], object]) -> bool:
    """Never raises. A store that is away is no error: the next round does what this one could not."""
    try:
        chore()
    except Unavailable:
        return True
    except Exception:  # noqa: BLE001 - the outermost frame of a greenlet that has to outlive everything
        _log.exception("%s failed", getattr(chore, "__qualname__", "a chore"))
        return False
    return True
