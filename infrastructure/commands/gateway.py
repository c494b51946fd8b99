"""Commands that run the gateway, and look after its store and its configuration."""

import argparse
import os
import sys
from pathlib import Path

import orjson

from domain.errors import Conflict
from infrastructure import schema, schema_changes
from infrastructure.app import create_app, openapi_document
from infrastructure.container import Container
from infrastructure.database import check_durability
from infrastructure.settings import Settings
from infrastructure.worker import run_alone

_ROOT = Path(__file__).resolve().parents[2]


def serve(container: Container, _: argparse.Namespace) -> None:
    """Become gunicorn. The embedded store is migrated first; other stores wait for `parley migrate`."""
    settings = container.settings()
    if settings.embedded:
        schema_changes.migrate(container.engine())
    check_durability(container.engine())
    container.models()  # what a worker would fail at is better said here
    mismatch = schema.mismatch(container.engine())
    if mismatch is None:
        _announce_first_key(container, settings)
    else:
        print(f"parley: {mismatch}", file=sys.stderr)
    container.engine().dispose()
    os.chdir(_ROOT)
    command = [sys.executable, "-m", "gunicorn", "-c", str(_ROOT / "gunicorn.conf.py"), "wsgi:app"]
    os.execve(sys.executable, command, {**os.environ, **_absolute(settings)})  # noqa: S606 - the same program, no shell


def migrate(container: Container, _: argparse.Namespace) -> None:
    engine = container.engine()
    schema_changes.migrate(engine)
    print(f"parley: the schema is at {schema.state(engine)[0]}")


def worker(container: Container, _: argparse.Namespace) -> None:
    """Beside or instead of a gateway: settle what dead workers left in PARLEY_HOME, keep the usage sums."""
    mismatch = schema.mismatch(container.engine())
    if mismatch is not None:
        raise schema.SchemaError(mismatch)
    run_alone(container)


def check(container: Container, _: argparse.Namespace) -> None:
    """Validate everything that a start would need, then print the effective configuration."""
    settings = container.settings()
    for part in (container.models, container.redis, container.mails, container.oidc):
        part()
    credentials = {provider.name: len(provider.credentials) for provider in container.configured()}
    told = settings.effective() | {"credentials": credentials, "hash": settings.config_hash}
    print(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())


def reconcile(container: Container, _: argparse.Namespace) -> None:
    """Make the sums anew from the ledger and say how far they had drifted."""
    print(f"parley: {container.rollups().rebuild()} groups differed from the ledger and were rebuilt")


def openapi(container: Container, _: argparse.Namespace) -> None:
    print(orjson.dumps(openapi_document(create_app(container.settings())), option=orjson.OPT_INDENT_2).decode())


def _announce_first_key(container: Container, settings: Settings) -> None:
    try:
        first = container.installation().bootstrap()
    except Conflict:  # another process was first
        return
    if first is not None:
        user, token = first
        print(f"\n  First start: made the administrator {user.email} and an API key, shown only now:\n\n    {token}\n")
        print(f"  curl http://{settings.bind}/api/v1/chat/completions -H 'Authorization: Bearer {token}' \\")
        model = container.models().default()
        body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
        print(f"    -H 'Content-Type: application/json' -d '{body}'\n", flush=True)


def _absolute(settings: Settings) -> dict[str, str]:
    """Gunicorn runs in the program's folder: what was relative to the caller's must not move, no file there counts."""
    return {
        "PARLEY_HOME": str(settings.home),
        "DATABASE_URL": settings.database_url,
        "PARLEY_CONFIG": str(settings.config_path or os.devnull),
    }
