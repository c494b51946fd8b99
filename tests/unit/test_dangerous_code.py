"""Constructs that have led to break-ins elsewhere and do not occur here."""

import ast
from collections.abc import Callable, Iterable

import pytest

from tests.source import Module, dotted, imports, module, program, words

Rule = Callable[[Module], Iterable[int]]

UNSAFE_MODULES = {"pickle", "cPickle", "dill", "marshal", "shelve", "jsonpickle"}
UNSAFE_CALLS = {"eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen"}
SQL_CALLS = {"text", "execute", "executemany", "exec_driver_sql", "scalar", "scalars"}
SECRETS = {"token", "secret", "digest", "password", "signature", "crc"}
WALL_CLOCKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns"}
ENVIRONMENT = {"os.environ", "os.getenv", "os.putenv", "os.environb"}
MAY_READ_ENVIRONMENT = {
    "infrastructure/settings.py": "the one place that turns the environment into settings",
    "gunicorn.conf.py": "runs before any module of ours is imported",
    "wsgi.py": "hands the environment to the settings",
    "infrastructure/cli.py": "hands its own environment to the server that it becomes",
    "adapters/recorders/metrics.py": "prometheus_client is told its folder by a variable, and by nothing else",
}
MAY_ASK_THE_TIME = {
    "adapters/clock.py": "the clock",
    "infrastructure/logging.py": "a log line carries the time at which it was written",
    "api/rate_storage.py": "the limits library asks for the Unix time at which a window ends",
}


def unsafe_code(it: Module) -> list[int]:
    found = [line for name, line in imports(it.tree) if name.partition(".")[0] in UNSAFE_MODULES]
    return found + [call.lineno for call in _calls(it) if dotted(call.func) in UNSAFE_CALLS]


def shell_commands(it: Module) -> list[int]:
    return [
        call.lineno
        for call in _calls(it)
        for keyword in call.keywords
        if keyword.arg == "shell" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
    ]


def built_sql(it: Module) -> list[int]:
    """A statement is a constant or built by SQLAlchemy; a value never becomes part of its text."""
    return [
        call.lineno
        for call in _calls(it)
        if dotted(call.func).rpartition(".")[2] in SQL_CALLS and call.args and _is_made_text(call.args[0])
    ]


def secrets_compared_in_the_open(it: Module) -> list[int]:
    """`==` stops at the first difference, and the time it takes tells where that was."""
    return [
        node.lineno
        for node in ast.walk(it.tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        and any(SECRETS & set(words(_last_name(side))) for side in (node.left, *node.comparators))
    ]


def wall_clocks(it: Module) -> list[int]:
    if it.path in MAY_ASK_THE_TIME:
        return []
    return [call.lineno for call in _calls(it) if ".".join(dotted(call.func).split(".")[-2:]) in WALL_CLOCKS]


def environment_reads(it: Module) -> list[int]:
    if it.path in MAY_READ_ENVIRONMENT:
        return []
    named = [
        node.lineno
        for node in ast.walk(it.tree)
        if isinstance(node, ast.ImportFrom)
        and node.module == "os"
        and any(f"os.{alias.name}" in ENVIRONMENT for alias in node.names)
    ]
    return named + [node.lineno for node in ast.walk(it.tree) if dotted(node) in ENVIRONMENT]


def _calls(it: Module) -> list[ast.Call]:
    return [node for node in ast.walk(it.tree) if isinstance(node, ast.Call)]


def _is_made_text(node: ast.expr) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add | ast.Mod)
    if isinstance(node, ast.Call):
        inner = isinstance(node.func, ast.Attribute) and node.func.attr in ("format", "join", "replace")
        return inner or any(_is_made_text(argument) for argument in node.args[:1])
    return False


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        return _last_name(node.slice) or _last_name(node.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return ""
    return dotted(node).rpartition(".")[2]


RULES = [unsafe_code, shell_commands, built_sql, secrets_compared_in_the_open, wall_clocks, environment_reads]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_there_is_none_of(rule: Rule):
    assert [it.at(line) for it in program() for line in rule(it)] == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (unsafe_code, "import pickle"),
        (unsafe_code, "from marshal import loads"),
        (unsafe_code, "import shelve as x"),
        (unsafe_code, "eval(x)"),
        (unsafe_code, "exec(x)"),
        (unsafe_code, "yaml.load(x)"),
        (shell_commands, "run(x, shell=True)"),
        (shell_commands, "run(x, shell=y)"),
        (built_sql, 'text(f"SELECT {x}")'),
        (built_sql, 'connection.execute(text("SELECT %s" % x))'),
        (built_sql, 'connection.execute("SELECT " + x)'),
        (built_sql, 'sa.text("SELECT {}".format(x))'),
        (built_sql, 'cursor.execute(" ".join(x))'),
        (secrets_compared_in_the_open, "x == token"),
        (secrets_compared_in_the_open, "key.digest != y"),
        (secrets_compared_in_the_open, "x == user.password_hash"),
        (secrets_compared_in_the_open, "x == y[secret]"),
        (secrets_compared_in_the_open, "a == b == metricsToken"),
        (wall_clocks, "datetime.now(UTC)"),
        (wall_clocks, "datetime.datetime.utcnow()"),
        (wall_clocks, "date.today()"),
        (wall_clocks, "time.time()"),
        (environment_reads, 'os.environ["X"]'),
        (environment_reads, 'os.getenv("X")'),
        (environment_reads, "from os import environ"),
    ],
)
def test_a_rule_finds_what_breaks_it(rule: Rule, text: str):
    assert list(rule(module("api/x.py", text)))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (unsafe_code, "import marshmallow\nx.exec()"),
        (built_sql, 'connection.execute(text("SELECT 1"))'),
        (built_sql, "connection.execute(select(x).where(y == z))"),
        (built_sql, 'Response(f"hello {x}")'),
        (secrets_compared_in_the_open, "max_tokens == 5\nname == y\nhmac.compare_digest(a.digest, b)"),
        (secrets_compared_in_the_open, "token is None"),
        (wall_clocks, "clock.now()\ntime.monotonic()"),
        (environment_reads, "settings.environment"),
    ],
)
def test_a_rule_leaves_good_code_alone(rule: Rule, text: str):
    assert not list(rule(module("api/x.py", text)))
