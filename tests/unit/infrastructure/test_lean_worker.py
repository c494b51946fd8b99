"""What a worker keeps in memory: the packages that its configuration asks for, and no others."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.source import ROOT

WORKER = """
import sys
import infrastructure.worker
from infrastructure.app import container_of, create_app
from infrastructure.settings import load

app = create_app(load())
container = container_of(app)
for part in ("journal", "signals", "capacity", "live_configuration", "image_jobs", "guardrails", "mails", "oidc"):
    getattr(container, part)()
assert app.test_client().get("/readyz").status_code == 503  # the store has no schema yet: it has been looked at
print(*sys.modules)
"""

REDIS = {"REDIS_URL": "redis://127.0.0.1:1"}
MYSQL = {"DATABASE_URL": "mysql+pymysql://u:p@127.0.0.1:1/parley"}
POSTGRESQL = {"DATABASE_URL": "postgresql+psycopg://u:p@127.0.0.1:1/parley"}
OIDC = '[oidc]\nissuer = "https://id.example.org"\nclient_id = "parley"\n'
GUARDRAIL = '[guardrails.cards]\npersonal = ["card"]\naction = "block"\n'

ASKED_FOR = {
    "redis": (REDIS, ""),
    "sqlalchemy.dialects.mysql": (MYSQL, ""),
    "pymysql": (MYSQL, ""),
    "sqlalchemy.dialects.postgresql": (POSTGRESQL, ""),
    "psycopg": (POSTGRESQL, ""),
    "joserfc": ({}, OIDC),
    "cryptography": ({}, OIDC),
    "re2": ({}, GUARDRAIL),
    "stdnum": ({}, GUARDRAIL),
}
"""What takes a megabyte or more, and the configuration that needs it."""

NEVER = {"alembic", "mako", "openai", "rs_bpe"}


def loaded(folder: Path, environment: dict[str, str], toml: str) -> set[str]:
    (folder / "parley.toml").write_text(toml)
    env = {"PYTHONPATH": str(ROOT), "PARLEY_HOME": str(folder / "var"), **environment}
    command = [sys.executable, "-c", WORKER]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_a_worker_without_a_configuration_loads_nothing_optional(tmp_path: Path):
    assert not loaded(tmp_path, {}, "") & (ASKED_FOR.keys() | NEVER)


@pytest.mark.parametrize(
    ("environment", "toml"),
    [({**REDIS, **MYSQL}, OIDC + GUARDRAIL), (POSTGRESQL, "")],
    ids=["Redis, MySQL, single sign-on and a guardrail", "PostgreSQL"],
)
def test_a_worker_loads_what_its_configuration_asks_for(tmp_path: Path, environment: dict[str, str], toml: str):
    asked = {
        name for name, (needed, table) in ASKED_FOR.items() if needed.items() <= environment.items() and table in toml
    }

    found = loaded(tmp_path, environment, toml)

    assert found & (ASKED_FOR.keys() | NEVER) == asked
