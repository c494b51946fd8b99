"""What an operator got wrong is complained about without being quoted: it may be a secret in the wrong place."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.security.canaries import Canaries
from tests.source import ROOT

REFUSED: list[tuple[str, dict[str, str], str]] = [
    ("migrate", {"DATABASE_URL": "mysql+pymysql://parley:<secret>@127.0.0.1:9/parley"}, ""),
    ("serve", {"DATABASE_URL": "postgresql+psycopg://parley:<secret>@127.0.0.1:9/parley"}, ""),
    ("check", {"DATABASE_URL": "nonsense+pymysql://parley:<secret>@db/parley"}, ""),
    ("migrate", {"DATABASE_URL": "mysql+pymysql://parley:<secret>@db:port:9/parley"}, ""),
    ("migrate", {"DATABASE_URL": "<secret>"}, ""),
    ("check", {"REDIS_URL": "redis://:<secret>@redis:port/0"}, ""),
    ("worker", {"REDIS_URL": "http://:<secret>@redis/0"}, ""),
    ("check", {"PARLEY_SECRET_KEY": "secret <secret>"}, ""),
    ("check", {"PARLEY_METRICS_TOKEN": "secret <secret>"}, ""),
    ("check", {"PARLEY_WORKERS": "<secret>"}, ""),
    ("check", {"PARLEY_PUBLIC_URL": "https://parley:<secret>@example.org"}, ""),
    ("check", {"PARLEY_TRUSTED_PROXY": "<secret>"}, ""),
    ("check", {"SMTP_HOST": "mail", "SMTP_FROM": "<secret>"}, ""),
    ("check", {"SMTP_HOST": "mail", "SMTP_FROM": "a@b.org", "SMTP_PORT": "<secret>"}, ""),
    ("check", {"OPENAI_BASE_URL": "https://parley:<secret>@example.org/v1"}, ""),
    ("check", {}, '[providers.x]\nbase_url = "https://parley:<secret>@example.org/v1"\n'),
    ("check", {}, '[providers.x]\nbase_url = "https://example.org/v1"\napi_key = "<secret>"\n'),
    ("check", {}, '[providers.x]\nbase_url = "https://example.org/v1"\napi_key_env = "<secret>"\n'),
    ("check", {}, '[oidc]\nissuer = "https://parley:<secret>@example.org"\nclient_id = "x"\n'),
    ("check", {}, '[providers.x]\napi_key = "<secret>\n'),
]
"""What an operator may get wrong."""


_COMMANDS = """
import json, os, sys
from infrastructure.cli import main
for number, (command, env, config) in enumerate(json.load(sys.stdin)):
    os.makedirs(str(number))
    os.chdir(str(number))
    with open("parley.toml", "w") as file:
        file.write(config)
    os.environ.update(env)
    print(f"case {number}:", flush=True)
    print(main([command]), flush=True)
    for name in env:
        del os.environ[name]
    os.chdir("..")
"""
"""All in one process, because starting takes a hundred times longer than complaining."""


def test_a_configuration_that_is_refused_is_not_quoted(tmp_path: Path) -> None:
    canaries = Canaries()
    cases = json.dumps(REFUSED).replace("<secret>", canaries.new("of the operator"))
    env = {**os.environ, "PARLEY_BIND": "127.0.0.1:1", "PYTHONPATH": str(ROOT)}

    done = subprocess.run(
        [sys.executable, "-c", _COMMANDS],
        cwd=tmp_path,
        env=env,
        input=cases.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=True,
    )

    said = dict(zip(map(str, REFUSED), done.stdout.split(b"case ")[1:], strict=True))
    leaks = canaries.leaks(said)
    assert not leaks, "\n".join(leaks)
    assert [case for case, text in said.items() if not text.endswith(b"\n1\n")] == []
