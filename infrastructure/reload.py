"""SIGHUP to gunicorn's master: a changed file is tried out, kept, and passed on to all workers, which go on running.

The copy that is kept is what a worker begins with that starts later: a file that was spoilt in the meantime does no
harm before somebody asks for it, and then is refused.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from infrastructure.configuration import ConfigurationError
from infrastructure.settings import Settings, load

LIVE = frozenset(
    {
        *("providers", "models", "aliases", "routes", "deadlines", "retries", "breaker", "limits", "prices"),
        *("guardrails", "environment"),
    }
)
"""What may change while the program runs."""

_LONGEST_MESSAGE = 4096
_NO_FILE = (None, Path(os.devnull))

Check = Callable[[Settings], object]
"""Raises ConfigurationError for what the shape of the file does not tell."""


class Reload:
    """`check` imports what the master must not have imported, and therefore runs in a process of its own."""

    def __init__(self, settings: Settings, check: Check) -> None:
        self._settings = settings
        self._check = check
        self._total = settings.total_seconds
        self.copy = settings.home / "accepted.toml"

    def begin(self) -> None:
        """Keep the file that the program was started with. Raises OSError."""
        self._settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write(self.copy, self._read())

    def run(self, server: Any) -> None:
        """Gunicorn's `handle_hup`, in place of its own, which replaces all workers."""
        if self._settings.config_path in _NO_FILE:
            server.log.warning("the program was started without a file; to give it one takes a restart")
            return
        candidate = self.copy.with_suffix(".new")
        try:
            self._write(candidate, self._read())
            wanted = load(candidate)
            self._try_out(wanted)
            candidate.replace(self.copy)
        except (ConfigurationError, OSError) as error:
            message = str(error).replace(str(candidate), str(self._settings.config_path))
            server.log.error("the configuration stays as it is: %s", message)  # noqa: TRY400 - the operator's mistake
            return
        finally:
            candidate.unlink(missing_ok=True)
        self._settings, fixed = live_part(self._settings, wanted)
        if wanted.total_seconds > self._total:
            fixed.append("a longer deadlines.total")
        if fixed:
            server.log.warning("a restart is needed for what changed in: %s", ", ".join(fixed))
        server.kill_workers(signal.SIGHUP)

    def _read(self) -> bytes:
        path = self._settings.config_path
        return b"" if path is None else path.read_bytes()

    def _write(self, path: Path, content: bytes) -> None:
        path.touch(mode=0o600)
        path.write_bytes(content)

    def _try_out(self, settings: Settings) -> None:
        """Raises ConfigurationError."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _tell(self._check, settings, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as told:
            message = told.read()
        with suppress(ChildProcessError):
            os.waitpid(child, 0)
        if message:
            raise ConfigurationError(message.decode(errors="replace"))


def live_part(running: Settings, wanted: Settings) -> tuple[Settings, list[str]]:
    """`running` with all of `wanted` that needs no restart, and the names of what does."""
    differing = [it.name for it in fields(Settings) if getattr(running, it.name) != getattr(wanted, it.name)]
    fixed = [name for name in differing if name not in LIVE]
    return replace(wanted, **{name: getattr(running, name) for name in fixed}), fixed


def _tell(check: Check, settings: Settings, writing: int) -> None:
    """In the child: says what is wrong, or nothing, and ends without a word to anybody else."""
    message = ""
    try:
        check(settings)
    except ConfigurationError as error:
        message = str(error)
    except BaseException as error:  # noqa: BLE001 - nothing may go on behind this in a copy of the master
        message = f"{type(error).__name__}: {error}"
    finally:
        os.write(writing, message.encode()[:_LONGEST_MESSAGE])
        os._exit(0)
