import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.clock import SystemClock
from adapters.journal.journal import FileJournal, JournalOptions
from domain.usage import Usage
from tests.contracts.journal import ScriptedApply
from tests.fakes import RecordingRecorder

Start = Callable[..., FileJournal]


def a_cent_per_token(model: str, usage: Usage) -> int:
    return 10_000_000 * usage.total_tokens


@pytest.fixture
def apply() -> ScriptedApply:
    return ScriptedApply()


@pytest.fixture
def record() -> RecordingRecorder:
    return RecordingRecorder()


@pytest.fixture
def start(tmp_path: Path, apply: ScriptedApply, record: RecordingRecorder) -> Iterator[Start]:
    """Starts a journal in `home`, with whatever options the test cares about."""
    started: list[FileJournal] = []

    def begin(home: str = "journal", *, apply: ScriptedApply = apply, **options: object) -> FileJournal:
        chosen = JournalOptions(**{"reserve": 0, "reap_every": 0.02, **options})  # type: ignore[arg-type] # by name
        journal = FileJournal(
            tmp_path / home, apply, record, cost=a_cent_per_token, clock=SystemClock(), options=chosen
        )
        journal.start()
        started.append(journal)
        return journal

    yield begin
    for journal in started:
        journal.close(0.2)


@pytest.fixture
def crash(tmp_path: Path) -> Callable[[str, str], Path]:
    """A copy of a folder as it is now, in which nobody holds a lock: what a killed process leaves behind."""

    def copy(folder: str = "journal", to: str = "crashed") -> Path:
        return Path(shutil.copytree(tmp_path / folder, tmp_path / to))

    return copy
