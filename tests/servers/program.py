"""A program that a test starts for itself: on loopback, in a temporary folder, ended by its own pid."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def closed_port() -> socket.socket:
    """Has a port that refuses every connection and that nobody else is given, until it is closed itself."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def connections(port: int) -> int:
    """Those on which this port's server has still something to do: accepted or not, and left by their clients or not.

    Linux tells: 1 is established, 8 is closed by the client alone.
    """
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(fields[1].endswith(f":{port:04X}") and fields[3] in {"01", "08"} for fields in sockets)


def wait_until(ready: Callable[[], bool], seconds: float = 20, what: str = "condition") -> None:
    """Poll `ready`; AssertionError when it is not true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)


class Program:
    """Its output goes to `log`; `stop` asks, `kill` does not."""

    def __init__(
        self, argv: Sequence[str | Path], folder: Path, *, env: Mapping[str, str] | None = None, name: str = "program"
    ) -> None:
        self.argv = [str(part) for part in argv]
        self.folder = folder
        self.log = folder / f"{name}.log"
        self._env = dict(os.environ if env is None else env)
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def start(self, ready: Callable[[], bool], seconds: float = 60) -> None:
        """Start (again) and wait until `ready`; the log is in the error when the program ends instead."""
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                self.argv, cwd=self.folder, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

        def ready_or_dead() -> bool:
            assert self.running, f"{self.argv[0]} ended:\n{self.log.read_text(errors='replace')[-4000:]}"
            return ready()

        wait_until(ready_or_dead, seconds, f"start of {self.argv[0]}")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.running:
            self.signal(signal.SIGKILL)
            self.wait()

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM, then SIGKILL after `seconds`; returns the exit code."""
        if self._popen is None:
            return 0
        if self.running:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self._popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._popen.wait()

    def wait(self, seconds: float = 15) -> int:
        assert self._popen is not None
        return self._popen.wait(seconds)


def require(name: str) -> Path:
    """Where the binary of that name is. Without it the test is skipped with the reason, and fails where CI=true."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/postgresql/15/bin")
    if found is None:
        reason = f"{name} is not installed, so what needs it was not tested"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return Path(found)
