"""What the documents and the example say of `parley.toml` and the environment is what the program does."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import marshmallow as ma
import pytest

from adapters.ai.catalog import known_profiles
from adapters.ai.deadlines import Deadlines
from infrastructure import configuration
from infrastructure.cli import main
from infrastructure.configuration import Document, read
from infrastructure.reload import LIVE, live_part
from infrastructure.settings import load
from tests.source import ROOT

PAGE = (ROOT / "docs/operations.md").read_text()
EXAMPLE = ROOT / "deploy/parley.example.toml"
ROWS = {
    cells[0]: cells[1:]
    for cells in re.findall(r"^\| `([\w.]+)` \| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)
    if cells[0].partition(".")[0] in Document().fields
}
DEADLINES = Deadlines()


def entries(field: ma.fields.Field[Any]) -> ma.Schema | None:
    """The shape of the tables that a field holds."""
    if isinstance(field, ma.fields.Dict):
        return entries(field.value_field)
    if isinstance(field, ma.fields.List):
        return entries(field.inner)
    return field.schema if isinstance(field, ma.fields.Nested) else None


def keys() -> Iterator[tuple[str, ma.fields.Field[Any]]]:
    """Every key of a section; what is below that is part of its row."""
    for name, section in Document().fields.items():
        schema = entries(section)
        entry = "MODEL" if name in {"models", "prices"} else "NAME"
        prefix = f"{name}.{entry}" if isinstance(section, ma.fields.Dict) else name
        if schema is None:
            yield prefix, section
        else:
            yield from ((f"{prefix}.{field.data_key or inner}", field) for inner, field in schema.fields.items())


KEYS = dict(keys())


def last(name: str) -> str:
    return name.rpartition(".")[2]


def toml(value: Any) -> str:
    """As the page writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def default(name: str, field: ma.fields.Field[Any]) -> str | None:
    """None where the page is free to say what happens without it."""
    if name.startswith("deadlines."):
        return toml(getattr(DEADLINES, last(name)))
    if entries(field) or name.endswith(".NAME") or field.load_default in (ma.missing, None):
        return None
    value = field.load_default() if callable(field.load_default) else field.load_default
    return toml(value / 1e9) if isinstance(field, configuration.Money) else toml(value)


def test_every_key_of_the_file_is_on_the_page_and_no_other():
    assert len(KEYS) > 50
    assert sorted(ROWS) == sorted(KEYS)


@pytest.mark.parametrize("name", [name for name, field in KEYS.items() if default(name, field) is not None])
def test_the_default_on_the_page_is_the_one_in_force(name: str):
    assert ROWS[name][0] == f"`{default(name, KEYS[name])}`"


@pytest.mark.parametrize("name", [name for name, field in KEYS.items() if entries(field)])
def test_the_row_of_a_table_names_what_is_in_it(name: str):
    schema = entries(KEYS[name])

    assert schema is not None
    assert [inner for inner in schema.fields if inner not in " ".join(ROWS[name])] == []


def test_the_page_says_what_a_reload_brings_into_force_and_what_needs_a_restart():
    live, fixed = (
        re.findall(rf"^- \*\*{title}:\*\* (.+?)(?:, a longer|\.\n)", PAGE, re.MULTILINE | re.DOTALL)
        for title in ("In force at once", "After a restart")
    )
    named = [set(re.findall(r"`(\w+)`", text)) for (text,) in (live, fixed)]

    assert named == [LIVE - {"environment"}, set(Document().fields) - LIVE]


def test_what_is_said_of_a_reload_is_what_it_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    running = load()
    wanted = replace(running, **{name: object() for name in Document().fields})

    _, fixed = live_part(running, wanted)

    assert set(fixed) == set(Document().fields) - LIVE


def test_every_variable_of_the_environment_is_on_the_page():
    text = "".join((ROOT / "infrastructure" / name).read_text() for name in ("settings.py", "web_settings.py"))
    read_by_name = set(re.findall(r"env\.\w+\(\s*\"([A-Z_]+)\"", text))

    assert len(read_by_name) > 15
    assert [name for name in sorted(read_by_name) if f"`{name}`" not in PAGE] == []


def test_the_readme_names_every_provider_its_variables_and_its_first_model():
    readme = (ROOT / "README.md").read_text()
    there = [profile for profile in known_profiles().values() if not profile.built_in]
    missing = []
    for profile in there:
        variables = profile.key_env if profile.needs_key else (f"{profile.name.upper()}_BASE_URL",)
        model = f"{profile.name}/{profile.default_model}"
        missing += [word for word in (*variables, model) if f"`{word}" not in readme]

    assert len(there) > 10
    assert missing == []


# ── the example ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_program_takes_the_example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys):
    monkeypatch.setenv("PARLEY_CONFIG", str(EXAMPLE))
    monkeypatch.setenv("PARLEY_HOME", str(tmp_path))

    assert main(["check"]) == 0
    assert '"hash"' in capsys.readouterr().out


def test_the_program_takes_what_the_example_leaves_to_be_uncommented(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
):
    """Commented settings have their `#` in the first column and no prose before the `=`."""
    lines = [re.sub(r"^# (?=\[|\]|[a-z_]+ = |    \{)", "", line) for line in EXAMPLE.read_text().splitlines()]
    shown = "\n".join(line for line in lines if not re.match(r"(api_key_env|hook) = ", line))
    (tmp_path / "all.toml").write_text(shown)
    monkeypatch.setenv("PARLEY_CONFIG", str(tmp_path / "all.toml"))
    monkeypatch.setenv("PARLEY_HOME", str(tmp_path))
    for name in ("OPENAI_KEY_A", "OPENAI_KEY_B", "OIDC_CLIENT_SECRET"):
        monkeypatch.setenv(name, "x")

    assert main(["check"]) == 0
    assert '"openai": 2' in capsys.readouterr().out


def test_the_example_shows_every_key():
    shown = set(re.findall(r"^(?:# )? *(\w+) = ", EXAMPLE.read_text(), re.MULTILINE))

    assert [name for name in KEYS if last(name) not in shown | {"NAME", "deadlines", "fallback"}] == []


def test_what_the_example_gives_as_defaults_are_the_defaults():
    """Whoever copies all of it changes nothing but what has a name of its own."""
    shown, usual = read(EXAMPLE), read(None)
    named = {"providers", "aliases", "routes", "prices", "guardrails", "deadlines", "models"}

    assert {name: shown[name] for name in usual if name not in named} == {
        name: usual[name] for name in usual if name not in named
    }
    assert Deadlines(**shown["deadlines"]) == DEADLINES
