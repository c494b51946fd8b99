"""What import-linter cannot say about the shape of the program.

Each rule is a function from a module to the lines that break it. That a rule finds what it is for is tested at the
bottom, on code that breaks it.
"""

import ast
import configparser
import fnmatch
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from statistics import median, quantiles

import pytest

from api.errors import status_of
from domain.errors import ParleyError
from tests.source import (
    PACKAGES,
    ROOT,
    Function,
    Module,
    definitions,
    imports,
    literals,
    mentions,
    module,
    program,
    words,
)

Rule = Callable[[Module], Iterable[int]]

FOLDERS = {"benchmarks", "deploy", "docs", "requirements", "tests", ".ci", ".github"}
FILES = {
    ".dockerignore",
    ".gitignore",
    ".importlinter",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "docker-compose.prod.yml",
    "gunicorn.conf.py",
    "parley.example.toml",
    "pyproject.toml",
    "wsgi.py",
}
TABLES = ("infrastructure/migrations/", "adapters/persistence/tables.py")
BANNED = {"helper", "util", "utils", "manager", "common", "base", "misc", "data", "info", "handle", "process"}
FOREIGN_WORDS = {
    "base_url": "the word of every provider's documentation and of our configuration file",
    "base_exceptions": "a property that the limits library asks for",
    "handle_error": "a method that flask-smorest calls",
    "info": "a log level",
    "process_bind_param": "SQLAlchemy's name for it",
    "process_result_value": "SQLAlchemy's name for it",
}
IMPURE = {"http", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess", "threading", "time"}


def broken(rule: Rule, modules: Iterable[Module] | None = None) -> list[str]:
    return [it.at(line) for it in (program() if modules is None else modules) for line in rule(it)]


# ── layout ───────────────────────────────────────────────────────────────────────────────────────────────────────


def entries() -> Iterator[str]:
    """What lies in the root and is not ignored by git."""
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().split() if not line.startswith("#")]
    for entry in ROOT.iterdir():
        if entry.name != ".git" and not any(fnmatch.fnmatch(entry.name, pattern) for pattern in ignored):
            yield entry.name


def test_the_root_holds_the_five_packages_and_nothing_unexpected():
    assert set(entries()) - FOLDERS - FILES == set(PACKAGES)


def test_the_five_packages_are_what_is_installed_and_what_is_linted():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")

    installed = {pattern.rstrip("*") for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert installed == set(contracts["importlinter"]["root_packages"].split()) == set(PACKAGES)
    assert set(project["tool"]["mypy"]["packages"]) == set(project["tool"]["coverage"]["run"]["source"]) == installed


def test_every_folder_with_python_in_it_is_a_package():
    folders = {(ROOT / it.path).parent for it in program()} - {ROOT}

    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_test_files_have_names_of_their_own():
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]

    assert sorted(names) == sorted(set(names))


# ── sizes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def size(function: Function) -> int:
    return (function.end_lineno or 0) - function.lineno + 1


def p95(sizes: list[int]) -> float:
    return quantiles(sizes, n=20)[-1]


def outgrown_functions(it: Module) -> list[int]:
    return [function.lineno for function in it.functions() if size(function) > 60]


def outgrown_file(it: Module) -> list[int]:
    return [it.lines] if it.lines > 400 else []


def grown() -> list[Module]:
    return [it for it in program() if not it.path.startswith(TABLES)]


def test_no_function_is_longer_than_a_screen():
    assert broken(outgrown_functions, grown()) == []


def test_functions_are_short_as_a_rule():
    sizes = [size(function) for it in grown() for function in it.functions()]

    assert median(sizes) <= 10
    assert p95(sizes) <= 38


def test_files_stay_within_their_budget():
    assert broken(outgrown_file, grown()) == []
    assert p95([it.lines for it in grown()]) <= 300


# ── imports and names ────────────────────────────────────────────────────────────────────────────────────────────


def hidden_imports(it: Module) -> list[int]:
    """Gunicorn's configuration is read before gevent patches the worker; its hooks import what needs the patches."""
    if it.path == "gunicorn.conf.py":
        return []
    return [
        node.lineno
        for function in it.functions()
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]


def impure_imports(it: Module) -> list[int]:
    """The core has no clock, no randomness, no I/O and no logger of its own, and no library at all."""
    if not it.path.startswith(("domain/", "application/")):
        return []
    own = {"domain", "application"}
    allowed = (set(sys.stdlib_module_names) - IMPURE) | own
    return [line for name, line in imports(it.tree) if name.partition(".")[0] not in allowed]


def banned_names(it: Module) -> list[int]:
    named = [(name, line) for name, line in definitions(it.tree) if name not in FOREIGN_WORDS]
    # marshmallow calls `_deserialize` with keywords, so its parameters have marshmallow's names.
    foreign = {f.lineno for f in it.functions() if f.name == "_deserialize"}
    found = [line for name, line in named if line not in foreign and BANNED & set(words(name))]
    return [*found, *([1] if BANNED & set(words(it.path.removesuffix(".py"))) else [])]


def vendor_rule(vendors: set[str], modules: Iterable[Module]) -> Rule:
    """Only `adapters/ai` knows a vendor's name. Elsewhere a wire format may carry it, as the name of a module."""
    wires = {it.path.removesuffix(".py").rpartition("/")[2] for it in modules}

    def named_vendors(it: Module) -> list[int]:
        if it.path.startswith("adapters/ai/"):
            return []
        named = [line for name, line in mentions(it.tree) if name not in wires and vendors & set(words(name))]
        return named + [node.lineno for node in literals(it.tree) if vendors & set(words(str(node.value)))]

    return named_vendors


def vendors() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return set(project["project"]["entry-points"]["parley.providers"])


def test_imports_stand_at_the_top():
    assert broken(hidden_imports) == []


def test_the_core_imports_nothing_that_touches_the_world():
    assert broken(impure_imports) == []


def test_names_say_something():
    assert broken(banned_names) == []


def test_only_the_adapters_know_a_vendor():
    assert broken(vendor_rule(vendors(), program())) == []


def test_every_provider_is_one_file_and_one_line():
    files = {file.stem for file in (ROOT / "adapters/ai/providers").glob("*.py")} - {"__init__"}

    assert files == vendors()


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────


def family(kind: type[ParleyError]) -> list[type[ParleyError]]:
    return [kind] + [heir for child in kind.__subclasses__() for heir in family(child)]


def test_every_error_has_a_status_of_its_own_kind():
    """The nearest ancestor in the table decides, and the root's 500 is for defects alone."""
    undecided = [kind.__name__ for kind in family(ParleyError) if status_of(kind.__new__(kind)) == 500]

    assert undecided == ["ParleyError"]


# ── the rules find what they are for ─────────────────────────────────────────────────────────────────────────────

LONG = "def f():\n" + "    x = 1\n" * 60
WIRES = [module("api/v1/acme_dialect.py", "")]
NO_ACME = vendor_rule({"acme"}, WIRES)


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (outgrown_functions, "api/x.py", LONG),
        (outgrown_file, "api/x.py", "x = 1\n" * 401),
        (hidden_imports, "api/x.py", "def f():\n    import os\n"),
        (hidden_imports, "api/x.py", "class A:\n    def f(self):\n        if 1:\n            from os import path\n"),
        (impure_imports, "domain/x.py", "import logging\n"),
        (impure_imports, "application/x.py", "from os.path import join\n"),
        (impure_imports, "application/x.py", "import flask\n"),
        (banned_names, "api/x.py", "def load_data(): ...\n"),
        (banned_names, "api/x.py", "class BaseThing: ...\n"),
        (banned_names, "api/x.py", "def f(data): ...\n"),
        (banned_names, "api/x.py", "handle = 1\n"),
        (banned_names, "api/utils.py", ""),
        (NO_ACME, "api/x.py", 'x = "acme/large"\n'),
        (NO_ACME, "application/x.py", "def acme_options(): ...\n"),
        (NO_ACME, "api/x.py", "class AcmeError: ...\n"),
        (NO_ACME, "infrastructure/x.py", "x = settings.acme\n"),
        (NO_ACME, "infrastructure/x.py", "from y import acme\n"),
        (NO_ACME, "api/x.py", 'f"the {x} of acme"\n'),
    ],
)
def test_a_rule_finds_what_breaks_it(rule: Rule, path: str, text: str):
    assert list(rule(module(path, text)))


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (outgrown_functions, "api/x.py", LONG.replace("    x = 1\n", "", 1)),
        (impure_imports, "adapters/x.py", "import logging\n"),
        (impure_imports, "application/x.py", "from domain.user import User\nimport re\n"),
        (banned_names, "api/x.py", 'def f(base_url, database): return {"data": base_url}\n'),
        (banned_names, "api/x.py", "log.info(process.pid)\n"),
        (banned_names, "api/x.py", "class A:\n    data = ma.fields.List()\n"),
        (NO_ACME, "adapters/ai/x.py", 'x = "acme"\n'),
        (NO_ACME, "api/x.py", "from api.v1.acme_dialect import envelope\n"),
        (NO_ACME, "api/x.py", "from api.v1 import acme_dialect\nacme_dialect.envelope()\n"),
        (NO_ACME, "api/x.py", '"""As acme does it."""\n'),
        (NO_ACME, "api/x.py", 'note("A model", example="acme/large")\n'),
    ],
)
def test_a_rule_leaves_good_code_alone(rule: Rule, path: str, text: str):
    assert not list(rule(module(path, text)))


def test_the_words_of_a_name_are_found_however_it_is_written():
    assert words("HTTPStatus_of2") == ["http", "status", "of2"]
    assert words("base64_url-x") == ["base64", "url", "x"]
