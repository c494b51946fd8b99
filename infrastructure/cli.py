"""The command `parley`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import orjson

from application.keys import KeyOrder
from domain.errors import Conflict, InvalidRequest, ParleyError
from domain.limits import Budget, Limits, Unit, Window
from domain.usage import NANO
from domain.user import Role, Scope
from infrastructure import schema
from infrastructure.app import build_container, create_app, openapi_document
from infrastructure.configuration import ConfigurationError
from infrastructure.container import Container
from infrastructure.database import check_durability
from infrastructure.logging import log_to_standard_error
from infrastructure.settings import Settings, load
from infrastructure.worker import run_alone

_NAME_LENGTH = 100
_MOST = 2**31 - 1
_MOST_NANO = 2**63
"""What a column of the ledger holds."""

_ROOT = Path(__file__).resolve().parent.parent

Command = Callable[[Container, argparse.Namespace], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, 1 for a failure that is explained on standard error, 2 for wrong usage."""
    arguments = _parser().parse_args(argv)
    log_to_standard_error()
    try:
        _run(arguments.command, arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads it, as `head` does, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ConfigurationError, ParleyError, schema.SchemaError) as error:
        print(f"parley: {error}", file=sys.stderr)
        return 1
    return 0


def _run(command: Command, arguments: argparse.Namespace) -> None:
    container = build_container(load())
    try:
        command(container, arguments)
    finally:
        container.engine().dispose()


def serve(container: Container, _: argparse.Namespace) -> None:
    """Become gunicorn. The embedded store is migrated first; other stores wait for `parley migrate`."""
    settings = container.settings()
    if settings.embedded:
        schema.migrate(container.engine())
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
    schema.migrate(engine)
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


def users_create(container: Container, arguments: argparse.Namespace) -> None:
    """Without a password the account cannot log in by one."""
    user = container.accounts().create_user(arguments.email, Role(arguments.role), _password())
    print(user.id)


def users_password(container: Container, arguments: argparse.Namespace) -> None:
    """Also the way back in for an administrator who forgot theirs; ends the user's logins."""
    password = _password()
    if password is None:
        raise InvalidRequest("The password is the first line of standard input.")
    container.accounts().set_password(arguments.email, password)


def keys_create(container: Container, arguments: argparse.Namespace) -> None:
    """The token alone on standard output, so that a script can keep it."""
    budget = None if arguments.budget is None else Budget(Unit.MONEY, Window(arguments.window), arguments.budget)
    order = KeyOrder(
        name=arguments.name,
        scopes=frozenset(Scope(scope) for scope in arguments.scope),
        models=tuple(arguments.model),
        limits=Limits(
            rpm=arguments.rpm,
            tpm=arguments.tpm,
            concurrency=arguments.concurrency,
            budgets=() if budget is None else (budget,),
        ),
    )
    print(container.keys().issue(arguments.user, order)[1])


def keys_list(container: Container, _: argparse.Namespace) -> None:
    for key in container.keys().all():
        state = "revoked" if key.revoked_at else "active"
        name = "".join(char if char.isprintable() else "?" for char in key.name)  # it shall not steer the terminal
        print(key.id, key.kid, f"…{key.last4}", key.user_id, state, _minute(key.created_at), name, sep="\t")


def keys_revoke(container: Container, arguments: argparse.Namespace) -> None:
    container.keys().revoke_any(arguments.id)


def _password() -> str | None:
    """The first line of standard input, None when it is empty or somebody would have to type it in the clear."""
    return None if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n") or None


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


def _money(text: str) -> int:
    try:
        nano = Decimal(text) * NANO
    except InvalidOperation:
        raise argparse.ArgumentTypeError("an amount of money, as 12.50") from None
    if not nano.is_finite() or not 0 <= nano < _MOST_NANO or nano != int(nano):
        raise argparse.ArgumentTypeError("an amount of money of at most nine decimals, below 9.2 billion")
    return int(nano)


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= _MOST:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {_MOST}")
    return int(text)


def _name(text: str) -> str:
    if not text.isprintable() or not 1 <= len(text) <= _NAME_LENGTH:
        raise argparse.ArgumentTypeError(f"a name of 1 to {_NAME_LENGTH} printable characters")
    return text


def _minute(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="parley", description="A self-hosted AI gateway.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _command(commands, "serve", serve, "run the gateway")
    _command(commands, "migrate", migrate, "bring the schema to this version; safe to run twice at once")
    _command(commands, "worker", worker, "do the background work without serving")
    _command(commands, "check", check, "validate the configuration and print it without secrets")
    _command(commands, "reconcile", reconcile, "rebuild the usage sums from the ledger")
    _command(commands, "openapi", openapi, "print the OpenAPI document")
    _users(commands)
    _keys(commands)
    return parser


def _users(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    users = commands.add_parser("users", help="accounts").add_subparsers(required=True, metavar="COMMAND")
    create = _command(users, "create", users_create, "make an account; the password comes on standard input")
    create.add_argument("email")
    create.add_argument("--role", choices=[role.value for role in Role], default=Role.MEMBER.value)
    _command(users, "password", users_password, "set a password, from standard input").add_argument("email")


def _keys(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    keys = commands.add_parser("keys", help="API keys").add_subparsers(required=True, metavar="COMMAND")
    create = _command(keys, "create", keys_create, "make a key and print it alone")
    create.add_argument("--user", required=True, metavar="EMAIL")
    create.add_argument("--name", required=True, type=_name)
    create.add_argument("--scope", action="append", default=[], choices=[scope.value for scope in Scope])
    create.add_argument("--model", action="append", default=[], metavar="PROVIDER/MODEL")
    for limit in ("--rpm", "--tpm", "--concurrency"):
        create.add_argument(limit, type=_positive, metavar="N")
    create.add_argument("--budget", type=_money, metavar="AMOUNT")
    create.add_argument("--window", choices=[window.value for window in Window], default=Window.TOTAL.value)
    _command(keys, "list", keys_list, "all keys, newest first")
    _command(keys, "revoke", keys_revoke, "end a key at once").add_argument("id", metavar="ID")


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, command: Command, purpose: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=purpose)
    parser.set_defaults(command=command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
