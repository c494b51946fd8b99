import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from infrastructure.configuration import ConfigurationError
from infrastructure.secret_key import FILE, secret_keys
from infrastructure.settings import Settings, load

_IN_A_PROCESS = """
import sys
from dataclasses import replace
from pathlib import Path
from infrastructure.secret_key import secret_keys
from infrastructure.settings import load
settings = replace(load(), home=Path(sys.argv[1]), secret_keys=())
sys.stdin.readline()
print(secret_keys(settings)[0])
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return replace(load(), home=tmp_path / "home", secret_keys=())


def test_the_operators_keys_are_the_ones_in_force(settings: Settings):
    given = replace(settings, secret_keys=("n" * 40, "o" * 40))

    assert secret_keys(given) == ("n" * 40, "o" * 40)
    assert not settings.home.exists()


def test_without_them_a_key_is_made_once_and_kept(settings: Settings):
    (key,) = secret_keys(settings)

    assert len(bytes.fromhex(key)) == 32
    assert secret_keys(settings) == (key,)
    assert [path.name for path in settings.home.iterdir()] == [FILE]


def test_two_installations_have_different_keys(settings: Settings, tmp_path: Path):
    assert secret_keys(settings) != secret_keys(replace(settings, home=tmp_path / "other"))


def test_nobody_else_can_read_it_whatever_the_umask(settings: Settings):
    before = os.umask(0)
    try:
        secret_keys(settings)
    finally:
        os.umask(before)

    assert stat.S_IMODE((settings.home / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.home.stat().st_mode) == 0o700


def test_a_key_that_another_process_made_meanwhile_is_taken(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    link = os.link

    def overtaken(source: Path, target: Path) -> None:
        target.write_text("other-process-" * 4)
        link(source, target)

    monkeypatch.setattr(os, "link", overtaken)

    assert secret_keys(settings) == ("other-process-" * 4,)
    assert [path.name for path in settings.home.iterdir()] == [FILE]


def test_processes_that_start_at_once_end_with_the_same_key(tmp_path: Path):
    command = [sys.executable, "-c", _IN_A_PROCESS, str(tmp_path / "home")]
    root = Path(__file__).parents[3]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) for _ in range(3)
    ]
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()

    keys = {process.communicate(timeout=60)[0] for process in started}

    assert len(keys) == 1
    assert len(keys.pop().strip()) == 64


@pytest.mark.parametrize("content", ["", "\n", "0123456789abc\n", "x" * 31])
def test_a_file_that_is_too_short_is_refused(settings: Settings, content: str):
    settings.home.mkdir()
    (settings.home / FILE).write_text(content)

    with pytest.raises(ConfigurationError, match="too short") as refusal:
        secret_keys(settings)

    assert not content.strip() or content.strip() not in str(refusal.value)
    assert (settings.home / FILE).read_text() == content, "a key is never replaced"


@pytest.mark.parametrize("break_it", [lambda path: path.mkdir(), lambda path: path.write_bytes(b"\xff" * 64)])
def test_a_file_that_cannot_be_read_is_refused(settings: Settings, break_it):
    settings.home.mkdir()
    break_it(settings.home / FILE)

    with pytest.raises(ConfigurationError, match=FILE):
        secret_keys(settings)


def test_a_home_that_cannot_be_written_to_is_refused(settings: Settings, tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match=FILE):
        secret_keys(replace(settings, home=tmp_path / "file"))
