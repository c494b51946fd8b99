"""Constructs that have led to break-ins elsewhere and do not occur here."""

import ast
import re
from collections.abc import Callable, Iterable

import pytest

from tests.source import Module, dotted, imports, literals, module, nodes, program, words

Rule = Callable[[Module], Iterable[int]]

UNSAFE_MODULES = {
    "pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "dbm",
    "jsonpickle",
    "runpy",
}
UNSAFE_CALLS = {
    *("eval", "exec", "compile", "__import__", "yaml.load", "yaml.unsafe_load", "yaml.full_load"),
    *("render_template_string", "flask.render_template_string", "jinja2.Template", "jinja2.Environment"),
}
PROGRAMS = {"system", "popen", "startfile", "forkpty", "posix_spawn", "posix_spawnp"}
"""And `exec…` and `spawn…`: what `os` has to run another program."""
SQL_CALLS = {
    *("text", "execute", "executemany", "executescript", "exec_driver_sql", "scalar", "scalars", "stream"),
    *("literal_column", "DDL", "from_statement", "prefix_with", "suffix_with", "with_hint", "with_statement_hint"),
}
SQL_KEYWORDS = {"statement", "sql", "query", "text"}
SQL = re.compile(
    r"\s*(SELECT|INSERT\s+(IGNORE\s+)?INTO|UPDATE|DELETE\s+FROM|REPLACE\s+INTO|MERGE\s+INTO|WITH|CREATE|ALTER|DROP|TRUNCATE"
    r"|GRANT|CALL)\s"
)
LIKE = {"like", "ilike", "not_like", "not_ilike", "notlike", "notilike"}
LIKE_PARTS = {"startswith", "endswith", "contains", "istartswith", "iendswith", "icontains"}
MONEY = {"cost", "charged", "balance", "used", "reserved", "remaining", "spent", "amount", "budget"}
SECRETS = {
    *("token", "secret", "digest", "password", "passwd", "signature", "crc", "hmac", "mac", "csrf", "cookie"),
    *("nonce", "verifier", "otp", "totp", "authorization"),
}
WALL_CLOCKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns"}
ENVIRONMENT = {"os.environ", "os.getenv", "os.putenv", "os.environb"}
MAY_READ_ENVIRONMENT = {
    "infrastructure/settings.py": "the one place that turns the environment into settings",
    "gunicorn.conf.py": "runs before any module of ours is imported",
    "wsgi.py": "hands the environment to the settings",
    "infrastructure/commands/gateway.py": "hands its own environment to the server that it becomes",
    "adapters/recorders/metrics.py": "prometheus_client is told its folder by a variable, and by nothing else",
}
MAY_BE_RANDOM = {
    "adapters/ai/rotation.py": "spreads out retries",
    "adapters/journal/applier.py": "spreads out workers",
    "adapters/journal/reaper.py": "spreads out workers",
    "adapters/persistence/ledger.py": "spreads out two writers",
    "infrastructure/container.py": "chooses among equal deployments",
    "infrastructure/chores.py": "spreads out workers",
    "infrastructure/parts.py": "spreads out two writers",
}
MAY_RUN_PROGRAMS = {
    "infrastructure/commands/gateway.py": "becomes gunicorn; no word of the command comes from outside",
}
MAY_ASK_THE_TIME = {
    "adapters/clock.py": "the clock",
    "infrastructure/logging.py": "a log line carries the time at which it was written",
    "api/rate_storage.py": "the limits library asks for the Unix time at which a window ends",
}


def unsafe_code(it: Module) -> list[int]:
    """Nothing that came in is ever run: not as Python, not as a template, not by being unpickled."""
    found = [line for name, line in imports(it.tree) if name.partition(".")[0] in UNSAFE_MODULES]
    return found + [call.lineno for call in _calls(it) if dotted(call.func) in UNSAFE_CALLS]


def other_programs(it: Module) -> list[int]:
    if it.path in MAY_RUN_PROGRAMS:
        return []
    found = [line for name, line in imports(it.tree) if name.partition(".")[0] in {"subprocess", "pty", "commands"}]
    named = [alias.name for node in nodes(it.tree, ast.ImportFrom) if node.module == "os" for alias in node.names]
    called = [call.lineno for call in _calls(it) if dotted(call.func).startswith("os.") and _runs(_name(call))]
    return found + called + [1 for name in named if _runs(name)]


def shell_commands(it: Module) -> list[int]:
    return [
        call.lineno
        for call in _calls(it)
        for keyword in call.keywords
        if keyword.arg == "shell" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
    ]


def built_sql(it: Module) -> list[int]:
    """A statement is a constant or built by SQLAlchemy; a value never becomes part of its text."""
    called = [call for call in _calls(it) if _name(call) in SQL_CALLS]
    given = [value for call in called for value in (*call.args[:1], *_keywords(call, SQL_KEYWORDS))]
    return [value.lineno for value in given if _is_made_text(value)]


def sql_in_made_text(it: Module) -> list[int]:
    """The same where the text is made first and given to the database later."""
    made = [node for node in nodes(it.tree, ast.JoinedStr, ast.BinOp, ast.Call) if _is_made_text(node)]
    return [node.lineno for node in made if SQL.match(_first_words(node))]


def unescaped_patterns(it: Module) -> list[int]:
    """A `%` or `_` of the caller's is a letter to be found, not a pattern (R4b)."""
    found = []
    for call in _calls(it):
        patterned = _name(call) in LIKE and not all(isinstance(value, ast.Constant) for value in call.args)
        column = _name(call) in LIKE_PARTS and ".c." in dotted(call.func)
        escaped = any(keyword.arg in {"escape", "autoescape"} for keyword in call.keywords)
        if (patterned or column) and not escaped:
            found.append(call.lineno)
    raw = [node for node in literals(it.tree) if re.search(r"\bI?LIKE\s+[:%]", str(node.value))]
    return found + [node.lineno for node in raw if "ESCAPE" not in str(node.value)]


def money_read_and_written_back(it: Module) -> list[int]:
    """Two that do so at the same time lose one of their changes: the database adds, in one conditional UPDATE."""
    if not it.path.startswith("adapters/persistence/"):
        return []
    added = [node.target for node in nodes(it.tree, ast.AugAssign) if isinstance(node.target, ast.Attribute)]
    found = [target.lineno for target in added if MONEY & set(words(target.attr))]
    values = [call for call in _calls(it) if _name(call) == "values"]
    written = [keyword for call in values for keyword in call.keywords if MONEY & set(words(keyword.arg or ""))]
    sums = [keyword.value for keyword in written if isinstance(keyword.value, ast.BinOp)]
    return found + [value.lineno for value in sums if not any(".c." in dotted(node) for node in ast.walk(value))]


def secrets_compared_in_the_open(it: Module) -> list[int]:
    """`==` stops at the first difference, and the time it takes tells where that was."""
    return [
        node.lineno
        for node in nodes(it.tree, ast.Compare)
        if any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        and any(SECRETS & set(words(_last_name(side))) for side in (node.left, *node.comparators))
        and not any(".c." in dotted(side) for side in (node.left, *node.comparators))  # the database compares
    ]


def weak_hashes(it: Module) -> list[int]:
    """MD5 and SHA-1 may name things; then they say so."""
    weak = [call for call in _calls(it) if _name(call) in {"md5", "sha1"} or _is_new_weak_hash(call)]
    return [call.lineno for call in weak if not any(keyword.arg == "usedforsecurity" for keyword in call.keywords)]


def weak_randomness(it: Module) -> list[int]:
    """`random` can be foretold; secrets come from `secrets` or `os.urandom`."""
    return [] if it.path in MAY_BE_RANDOM else [line for name, line in imports(it.tree) if name == "random"]


def unverified_tls(it: Module) -> list[int]:
    switches = {"verify", "check_hostname", "verify_ssl", "ssl_verify", "ssl_check_hostname", "cert_reqs"}
    passed = [(keyword.arg, keyword.value) for call in _calls(it) for keyword in call.keywords]
    assigned = [(_last_name(target), node.value) for node in nodes(it.tree, ast.Assign) for target in node.targets]
    off = [value.lineno for name, value in passed + assigned if name in switches and _is_off(value)]
    named = nodes(it.tree, ast.Attribute, ast.Name)
    unsafe = {"CERT_NONE", "CERT_OPTIONAL", "_create_unverified_context"}
    return off + [node.lineno for node in named if dotted(node).rpartition(".")[2] in unsafe]


def silenced_scanner(it: Module) -> list[int]:
    """Whatever bandit finds is mended."""
    return [number for number, line in enumerate(it.text.splitlines(), 1) if "# nosec" in line]


def wall_clocks(it: Module) -> list[int]:
    if it.path in MAY_ASK_THE_TIME:
        return []
    return [call.lineno for call in _calls(it) if ".".join(dotted(call.func).split(".")[-2:]) in WALL_CLOCKS]


def environment_reads(it: Module) -> list[int]:
    if it.path in MAY_READ_ENVIRONMENT:
        return []
    named = [
        node.lineno
        for node in nodes(it.tree, ast.ImportFrom)
        if node.module == "os" and any(f"os.{alias.name}" in ENVIRONMENT for alias in node.names)
    ]
    return named + [node.lineno for node in nodes(it.tree, ast.Name, ast.Attribute) if dotted(node) in ENVIRONMENT]


def _calls(it: Module) -> list[ast.Call]:
    return nodes(it.tree, ast.Call)


def _name(call: ast.Call) -> str:
    """What is called, without what it belongs to, be that a name or another call."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else dotted(call.func)


def _keywords(call: ast.Call, names: set[str]) -> list[ast.expr]:
    return [keyword.value for keyword in call.keywords if keyword.arg in names]


def _runs(name: str) -> bool:
    return name in PROGRAMS or name.startswith(("exec", "spawn"))


def _is_made_text(node: ast.expr) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add | ast.Mod)
    if isinstance(node, ast.Call):
        inner = _name(node) in {"format", "format_map", "join", "replace", "safe_substitute", "substitute"}
        return inner or any(_is_made_text(argument) for argument in node.args[:1])
    return False


def _first_words(node: ast.expr) -> str:
    """The constant with which a made text begins."""
    if isinstance(node, ast.JoinedStr):
        return _first_words(node.values[0])
    if isinstance(node, ast.BinOp):
        return _first_words(node.left)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _first_words(node.func.value)
    return str(node.value) if isinstance(node, ast.Constant) else ""


def _is_new_weak_hash(call: ast.Call) -> bool:
    names = [value.value for value in call.args[:1] if isinstance(value, ast.Constant)]
    return dotted(call.func) == "hashlib.new" and any(str(name).lower() in {"md5", "sha1"} for name in names)


def _is_off(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value in (False, None, "none", "CERT_NONE", 0)


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        return _last_name(node.slice) or _last_name(node.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return ""
    return dotted(node).rpartition(".")[2]


RULES = [
    *(unsafe_code, other_programs, shell_commands),
    *(built_sql, sql_in_made_text, unescaped_patterns, money_read_and_written_back),
    *(secrets_compared_in_the_open, weak_hashes, weak_randomness, unverified_tls, silenced_scanner),
    *(wall_clocks, environment_reads),
]


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
        (unsafe_code, "compile(x, y, z)"),
        (unsafe_code, "__import__(x)"),
        (unsafe_code, "render_template_string(x)"),
        (unsafe_code, "jinja2.Template(x)"),
        (unsafe_code, "import joblib"),
        (other_programs, "import subprocess"),
        (other_programs, "from subprocess import run"),
        (other_programs, "from os import execv"),
        (other_programs, "os.system(x)"),
        (other_programs, "os.popen(x)"),
        (other_programs, "os.execvp(x, y)"),
        (other_programs, "os.spawnl(x)"),
        (other_programs, "os.posix_spawn(x, y, z)"),
        (shell_commands, "run(x, shell=True)"),
        (shell_commands, "run(x, shell=y)"),
        (built_sql, 'text(f"SELECT {x}")'),
        (built_sql, 'connection.execute(text("SELECT %s" % x))'),
        (built_sql, 'connection.execute("SELECT " + x)'),
        (built_sql, 'sa.text("SELECT {}".format(x))'),
        (built_sql, 'cursor.execute(" ".join(x))'),
        (built_sql, 'work().execute(f"SELECT {x}")'),
        (built_sql, 'connection.exec_driver_sql("SELECT %s" % x)'),
        (built_sql, 'connection.execute(statement=f"SELECT {x}")'),
        (built_sql, 'select(a).prefix_with(f"/* {x} */")'),
        (built_sql, 'literal_column("a + " + x)'),
        (built_sql, 'text("SELECT x".replace("x", y))'),
        (sql_in_made_text, 'statement = f"SELECT a FROM b WHERE c = {x}"'),
        (sql_in_made_text, 'statement = "DELETE FROM a WHERE b = " + x + y'),
        (sql_in_made_text, 'statement = "UPDATE a SET b = %s" % x'),
        (sql_in_made_text, 'statement = "INSERT INTO a VALUES ({})".format(x)'),
        (unescaped_patterns, "select(t).where(t.c.name.like(x))"),
        (unescaped_patterns, 'select(t).where(t.c.name.ilike(f"%{x}%"))'),
        (unescaped_patterns, "select(t).where(t.c.name.contains(x))"),
        (unescaped_patterns, "select(t).where(t.c.name.startswith(x))"),
        (unescaped_patterns, 'text("SELECT a FROM b WHERE c LIKE :x")'),
        (money_read_and_written_back, "row.used += x"),
        (money_read_and_written_back, "budget.remaining_nano -= x"),
        (money_read_and_written_back, "update(t).values(used=row.used + x)"),
        (weak_hashes, "hashlib.md5(x)"),
        (weak_hashes, "sha1(x).hexdigest()"),
        (weak_hashes, 'hashlib.new("MD5", x)'),
        (weak_randomness, "import random"),
        (weak_randomness, "from random import choice"),
        (unverified_tls, "get(x, verify=False)"),
        (unverified_tls, "context.check_hostname = False"),
        (unverified_tls, "context.verify_mode = ssl.CERT_NONE"),
        (unverified_tls, "ssl._create_unverified_context()"),
        (unverified_tls, 'Redis(cert_reqs="none")'),
        (silenced_scanner, "x = 1  # nosec B105 - a reason"),
        (secrets_compared_in_the_open, "x == token"),
        (secrets_compared_in_the_open, "csrf != x"),
        (secrets_compared_in_the_open, "given.signature == expected"),
        (secrets_compared_in_the_open, "codeVerifier == x"),
        (secrets_compared_in_the_open, "x.otp == y"),
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
    assert list(rule(module("adapters/persistence/x.py", text)))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (unsafe_code, "import marshmallow\nx.exec()"),
        (built_sql, 'connection.execute(text("SELECT 1"))'),
        (built_sql, "connection.execute(select(x).where(y == z))"),
        (built_sql, 'Response(f"hello {x}")'),
        (other_programs, "os.environ\nos.path.join(x)"),
        (sql_in_made_text, 'f"Selected {x}"\n"Update " + x\nf"{x} SELECT"'),
        (unescaped_patterns, "select(t).where(t.c.name.like(x, escape='/'))\nname.startswith(x)"),
        (unescaped_patterns, "select(t).where(t.c.name.contains(x, autoescape=True))\nt.c.name.like('a%')"),
        (unescaped_patterns, "text(\"SELECT a FROM b WHERE c LIKE :x ESCAPE '/'\")"),
        (money_read_and_written_back, "update(t).values(used=t.c.used + x, cost=x)\nself.failures += 1"),
        (weak_hashes, "sha256(x)\nsha1(x, usedforsecurity=False)"),
        (weak_randomness, "import secrets"),
        (unverified_tls, "get(x, verify=True)\ncontext.check_hostname = True"),
        (secrets_compared_in_the_open, "select(t).where(t.c.digest == digest)"),
        (secrets_compared_in_the_open, "max_tokens == 5\nname == y\nhmac.compare_digest(a.digest, b)"),
        (secrets_compared_in_the_open, "token is None"),
        (wall_clocks, "clock.now()\ntime.monotonic()"),
        (environment_reads, "settings.environment"),
    ],
)
def test_a_rule_leaves_good_code_alone(rule: Rule, text: str):
    assert not list(rule(module("adapters/persistence/x.py", text)))
