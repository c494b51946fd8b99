"""What gunicorn's master does when it is told to reload."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from infrastructure.configuration import ConfigurationError
from infrastructure.reload import Reload, live_part
from infrastructure.settings import ACCEPTED, Settings, accepted_copy, load


class Master:
    """Stands for gunicorn's arbiter."""

    def __init__(self) -> None:
        self.log = self
        self.lines: list[tuple[str, str]] = []
        self.sent: list[signal.Signals] = []

    def error(self, message: str, *arguments: object) -> None:
        self.lines.append(("error", message % arguments))

    def warning(self, message: str, *arguments: object) -> None:
        self.lines.append(("warning", message % arguments))

    def kill_workers(self, number: signal.Signals) -> None:
        self.sent.append(number)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PARLEY_HOME", raising=False)
    write("[limits]\nrpm = 1")
    return tmp_path


def write(text: str) -> None:
    Path("parley.toml").write_text(text)


def fine(_: Settings) -> None:
    """Nothing is wrong."""


def begun(check: Callable[[Settings], object] = fine) -> tuple[Reload, Master]:
    reload = Reload(load(), check)
    reload.begin()
    return reload, Master()


def test_the_file_of_the_start_is_kept_for_workers_that_start_later() -> None:
    reload, _ = begun()
    write("[typo]")

    assert load(reload.copy).limits["rpm"] == 1
    assert reload.copy.stat().st_mode & 0o077 == 0


def test_a_gateway_without_a_file_keeps_an_empty_one() -> None:
    Path("parley.toml").unlink()
    reload, _ = begun()

    assert reload.copy.read_bytes() == b""


def test_a_good_file_is_kept_and_passed_on_to_the_workers() -> None:
    reload, master = begun()
    write("[limits]\nrpm = 2")
    reload.run(master)

    assert load(reload.copy).limits["rpm"] == 2
    assert master.sent == [signal.SIGHUP]
    assert master.lines == []


@pytest.mark.parametrize("named", ["", os.devnull])
def test_a_gateway_that_was_started_without_a_file_says_that_one_takes_a_restart(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("parley.toml").unlink()
    monkeypatch.setenv("PARLEY_CONFIG", named)
    reload, master = begun()
    write("[limits]\nrpm = 2")
    reload.run(master)

    assert master.lines == [("warning", "the program was started without a file; to give it one takes a restart")]
    assert master.sent == []


@pytest.mark.parametrize("text", ["[typo]", "[limits", "\udcff"])
def test_a_bad_file_is_refused_in_one_line_and_nobody_is_told(folder: Path, text: str) -> None:
    reload, master = begun()
    Path("parley.toml").write_bytes(text.encode(errors="surrogateescape"))
    reload.run(master)

    ((level, line),) = master.lines
    assert (level, master.sent) == ("error", [])
    assert line.startswith(f"the configuration stays as it is: {folder / 'parley.toml'}: ")
    assert load(reload.copy).limits["rpm"] == 1
    assert sorted(path.name for path in reload.copy.parent.iterdir()) == ["accepted.toml"]


def test_a_file_that_is_gone_is_refused_too() -> None:
    reload, master = begun()
    Path("parley.toml").unlink()
    reload.run(master)

    assert [level for level, _ in master.lines] == ["error"]
    assert master.sent == []


def fault(message: str) -> Callable[[Settings], object]:
    def check(_: Settings) -> None:
        raise ConfigurationError(message)

    return check


def defect(_: Settings) -> None:
    raise ZeroDivisionError("a defect")


@pytest.mark.parametrize(
    ("check", "line"),
    [(fault("routes.fast: no"), "routes.fast: no"), (defect, "ZeroDivisionError: a defect"), (fault("ü" * 9_000), "ü")],
)
def test_what_the_check_objects_to_is_refused(check: Callable[[Settings], object], line: str) -> None:
    reload, master = begun(check)
    write("[limits]\nrpm = 2")
    reload.run(master)

    ((_, told),) = master.lines
    assert line in told
    assert master.sent == []
    assert load(reload.copy).limits["rpm"] == 1


def test_the_check_leaves_nothing_behind_in_the_master() -> None:
    seen: list[int] = []
    reload, master = begun(lambda _: seen.append(os.getpid()))
    reload.run(master)

    assert seen == [], "it ran in a process of its own"
    assert master.sent == [signal.SIGHUP]
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_what_needs_a_restart_is_said_by_name() -> None:
    reload, master = begun()
    write('[server]\nin_flight = 7\n[accounts]\nregistration = "open"\n[deadlines]\ntotal = 900')
    reload.run(master)

    ((level, line),) = master.lines
    assert level == "warning"
    assert line.endswith("server, accounts, a longer deadlines.total")
    assert master.sent == [signal.SIGHUP]

    reload.run(master)
    assert len(master.lines) == 2, "it is said again as long as it is so"


def test_only_what_needs_no_restart_is_taken_over() -> None:
    running = load()
    write('[limits]\nrpm = 2\n[server]\nin_flight = 7\n[breaker]\nfailures = 9\n[aliases]\nfast = "echo/echo"')
    now, fixed = live_part(running, load())

    assert fixed == ["server"]
    assert (now.limits["rpm"], now.breaker["failures"], now.aliases) == (2, 9, {"fast": "echo/echo"})
    assert now.server == running.server


def test_a_process_that_is_no_worker_has_no_copy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(ACCEPTED, raising=False)
    assert accepted_copy() is None

    monkeypatch.setenv(ACCEPTED, str(tmp_path / "accepted.toml"))
    assert accepted_copy() == tmp_path / "accepted.toml"
