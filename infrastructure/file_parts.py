"""Parts of files and image jobs that need a decision before they can be built."""

from collections.abc import Callable

import gevent

from adapters.files.local import LocalBlobs
from infrastructure.settings import Settings


def blobs(settings: Settings) -> LocalBlobs:
    return LocalBlobs(settings.home / "files")


def spawn(work: Callable[[], None]) -> None:
    gevent.spawn(work)
