"""The command `parley`, on the embedded store."""

import json
import os
import sqlite3
import sys
from contextlib import closing
from io import StringIO
from pathlib import Path
from pkgutil import resolve_name
from types import SimpleNamespace

import pytest

from domain.api_key import kid_of
from infrastructure.cli import main
from infrastructure.schema import head


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARLEY_HOME", str(tmp_path / "var"))
    monkeypatch.setattr(sys, "stdin", StringIO(""))
    return tmp_path


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]):
    """Run a command that must succeed; what it printed."""

    def run(*argv: str) -> str:
        capsys.readouterr()
        assert main(argv) == 0
        return capsys.readouterr().out

    return run


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(argv) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.fixture
def store(output) -> None:
    output("migrate")
    output("users", "create", "ann@example.com", "--role", "member")


def test_help_and_wrong_usage_load_nothing_of_the_program(capsys: pytest.CaptureFixture[str]):
    for argv, code in (["--help"], 0), (["keys", "create"], 2), (["nonsense"], 2):
        with pytest.raises(SystemExit) as ended:
            main(argv, load=pytest.fail)

        assert ended.value.code == code
    assert "parley" in capsys.readouterr().err


def test_every_command_that_may_be_asked_for_exists():
    keys = ("keys", "create", "--user", "a", "--name", "n"), ("keys", "list"), ("keys", "revoke", "1")
    users = ("users", "create", "a"), ("users", "password", "a")
    plain = [(name,) for name in ("serve", "migrate", "worker", "check", "reconcile", "openapi")]
    asked: list[str] = []

    for argv in (*keys, *users, *plain):
        main(argv, load=lambda _: SimpleNamespace(run=lambda arguments: asked.append(arguments.command)))

    assert all(callable(resolve_name(f"infrastructure.commands.{place}")) for place in asked)
    assert len(set(asked)) == 11


def test_a_reader_that_has_enough_is_no_failure(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)

        assert main(["check"]) == 0

    assert capsys.readouterr().err == ""


def test_migrating_twice_is_safe_and_says_where_the_schema_is(output):
    assert output("migrate") == output("migrate") == f"parley: the schema is at {head()}\n"


def test_a_new_key_is_alone_on_standard_output(output, store):
    printed = output("keys", "create", "--user", "ann@example.com", "--name", "laptop")

    assert kid_of(printed.strip())
    assert printed.count("\n") == 1


def test_keys_are_listed_without_their_secret_and_revoked_by_id_or_kid(output, store):
    tokens = [output("keys", "create", "--user", "ann@example.com", "--name", name).strip() for name in ("a", "b")]
    listed = output("keys", "list")
    assert not any(token in listed for token in tokens)

    output("keys", "revoke", kid_of(tokens[0]))
    output("keys", "revoke", next(line.split("\t")[0] for line in listed.splitlines() if line.endswith("\tb")))

    assert output("keys", "list").count("\trevoked\t") == 2


def test_the_name_of_a_key_cannot_steer_the_terminal_it_is_listed_in(output, store):
    output("keys", "create", "--user", "ann@example.com", "--name", "a")
    with closing(sqlite3.connect("var/parley.db")) as database, database:
        database.execute("UPDATE api_keys SET name = ?", ("\x1b]0;owned\x07\tb\nc",))

    (line,) = output("keys", "list").splitlines()

    assert line.endswith("\t?]0;owned??b?c")


def test_every_limit_of_a_key_can_be_given(output, store):
    limits = ["--rpm", "60", "--tpm", "1000", "--concurrency", "2", "--budget", "12.50", "--window", "month"]
    narrow = ["--scope", "chat", "--model", "echo/echo"]

    assert output("keys", "create", "--user", "ann@example.com", "--name", "n", *limits, *narrow)


@pytest.mark.parametrize(
    "argv",
    [
        ("keys", "create", "--user", "ann@example.com", "--name", "n", "--rpm", "0"),
        ("keys", "create", "--user", "ann@example.com", "--name", "n", "--budget", "much"),
        ("keys", "create", "--user", "ann@example.com", "--name", "n", "--budget", "-1"),
        ("keys", "create", "--user", "ann@example.com", "--name", "n", "--budget", "0.0000000001"),
        ("keys", "create", "--user", "ann@example.com", "--name", "n", "--budget", "nan"),
        ("keys", "create", "--user", "ann@example.com", "--name", "n", "--budget", "inf"),
        ("keys", "create", "--user", "ann@example.com", "--name", "n", "--budget", "1e30"),
        ("keys", "create", "--user", "ann@example.com", "--name", "n", "--rpm", "9" * 23),
        ("keys", "create", "--user", "ann@example.com", "--name", "n", "--rpm", "٣"),
        ("keys", "create", "--user", "ann@example.com", "--name", ""),
        ("keys", "create", "--user", "ann@example.com", "--name", "a\n\x1b[31m"),
        ("keys", "create", "--user", "ann@example.com", "--name", "n" * 101),
        ("keys", "create", "--user", "ann@example.com", "--name", "n", "--scope", "everything"),
        ("users", "create", "ann@example.com", "--role", "emperor"),
        ("frobnicate",),
        (),
    ],
)
def test_wrong_usage_ends_with_2(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        main(argv)

    assert ended.value.code == 2


def test_what_cannot_be_done_is_explained_on_standard_error(capsys, store):
    assert "no user bob" in refusal(capsys, "keys", "create", "--user", "bob@example.com", "--name", "n")
    assert "e-mail" in refusal(capsys, "users", "create", "not an address")
    assert "no key" in refusal(capsys, "keys", "revoke", "nothing")


def test_a_password_that_is_too_short_is_refused(capsys, monkeypatch, store):
    monkeypatch.setattr(sys, "stdin", StringIO("short\n"))

    assert "12 to 128" in refusal(capsys, "users", "create", "bob@example.com")


def test_without_a_schema_a_command_says_what_to_do(capsys):
    assert "parley migrate" in refusal(capsys, "keys", "list")


def test_check_prints_the_effective_configuration_without_secrets(output, monkeypatch):
    monkeypatch.setenv("DEEPSEEK_API_KEY", "canary-in-the-environment")

    printed = output("check")

    assert json.loads(printed)["workers"] == 1
    assert "canary" not in printed


def test_check_prints_routes_aliases_and_how_many_credentials_there_are(output, folder, monkeypatch):
    monkeypatch.setenv("FIRST", "canary-1")
    monkeypatch.setenv("SECOND", "canary-2")
    (folder / "parley.toml").write_text(
        """
        [providers.mine]
        base_url = "http://127.0.0.1:1/v1"
        credentials = [{api_key_env = "FIRST"}, {api_key_env = "SECOND", weight = 3}]
        [aliases]
        fast = "mine/small"
        [routes.careful]
        try = ["mine/large", "echo/echo"]
        """
    )

    printed = output("check")

    told = json.loads(printed)
    assert told["credentials"] == {"mine": 2, "echo": 0}
    assert told["aliases"] == {"fast": "mine/small"}
    assert [tier[0]["model"] for tier in told["routes"]["careful"]["try"]] == ["mine/large", "echo/echo"]
    assert "canary" not in printed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[nonsense]", "nonsense"),
        ("[aliases]\nfast = 'nobody/x'", "aliases.fast: there is no model nobody/x"),
        ("[providers.mine]\nmodels = ['a']", "base_url is missing"),
        ("[providers.mine]\nbase_url = 'http://127.0.0.1:1/v1'\napi_key_env = 'NOT_SET'", "NOT_SET is not set"),
    ],
)
def test_check_says_what_is_wrong_with_the_file(capsys, folder, text, told):
    (folder / "parley.toml").write_text(text)

    assert told in refusal(capsys, "check")


def test_a_broken_redis_address_is_refused_without_repeating_it(capsys, monkeypatch):
    monkeypatch.setenv("REDIS_URL", "nonsense://:canary@127.0.0.1")

    told = refusal(capsys, "openapi")

    assert "REDIS_URL" in told
    assert "canary" not in told


def test_reconciling_an_empty_ledger_finds_no_difference(output, store):
    assert output("reconcile") == "parley: 0 groups differed from the ledger and were rebuilt\n"


def test_serving_an_empty_store_makes_the_first_key_and_becomes_gunicorn(output, monkeypatch, folder):
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execve", lambda _, argv, env: became.append([*argv, env["PARLEY_HOME"]]))
    monkeypatch.setattr(os, "chdir", lambda _: None)

    first, second = output("serve"), output("serve")

    assert "API key, shown only now" in first
    assert second == ""
    assert became[0][1:3] == ["-m", "gunicorn"]
    assert became[0][-1] == str(folder / "var")


def test_a_folder_that_cannot_be_made_is_explained(capsys, folder, monkeypatch):
    (folder / "file").write_text("")
    monkeypatch.setenv("PARLEY_HOME", str(folder / "file" / "var"))

    assert "PARLEY_HOME" in refusal(capsys, "check")


def test_a_database_address_that_cannot_be_read_is_explained_without_it(capsys, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "mysql+pymysql://ann:a-hidden-word@[::1/parley")

    error = refusal(capsys, "keys", "list")

    assert "DATABASE_URL" in error
    assert "a-hidden-word" not in error


def test_nobody_else_can_look_into_the_folder(folder):
    assert main(["check"]) == 0

    assert (folder / "var").stat().st_mode & 0o077 == 0
