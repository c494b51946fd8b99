"""The command `parley`: what may be asked of it. `infrastructure/commands` has what is done then."""

import argparse
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from importlib import import_module
from typing import Any

from domain.limits import Window
from domain.usage import NANO
from domain.user import Role, Scope

_NAME_LENGTH = 100
_MOST = 2**31 - 1
_MOST_NANO = 2**63
"""What a column of the ledger holds."""


def main(argv: Sequence[str] | None = None, load: Callable[[str], Any] = import_module) -> int:
    """Returns the exit code: 0, 1 for a failure that is explained on standard error, 2 for wrong usage.

    The program takes most of a second to `load`, so that is done for arguments that are right, and not for `--help`.
    """
    arguments = _parser().parse_args(argv)
    code: int = load("infrastructure.commands.run").run(arguments)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="parley", description="A self-hosted AI gateway.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _command(commands, "serve", "gateway.serve", "run the gateway")
    _command(commands, "migrate", "gateway.migrate", "bring the schema to this version; safe to run twice at once")
    _command(commands, "worker", "gateway.worker", "do the background work without serving")
    _command(commands, "check", "gateway.check", "validate the configuration and print it without secrets")
    _command(commands, "reconcile", "gateway.reconcile", "rebuild the usage sums from the ledger")
    _command(commands, "openapi", "gateway.openapi", "print the OpenAPI document")
    _users(commands)
    _keys(commands)
    return parser


def _users(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    users = commands.add_parser("users", help="accounts").add_subparsers(required=True, metavar="COMMAND")
    create = _command(users, "create", "accounts.users_create", "make an account; the password comes on standard input")
    create.add_argument("email")
    create.add_argument("--role", choices=[role.value for role in Role], default=Role.MEMBER.value)
    _command(users, "password", "accounts.users_password", "set a password, from standard input").add_argument("email")


def _keys(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    keys = commands.add_parser("keys", help="API keys").add_subparsers(required=True, metavar="COMMAND")
    create = _command(keys, "create", "accounts.keys_create", "make a key and print it alone")
    create.add_argument("--user", required=True, metavar="EMAIL")
    create.add_argument("--name", required=True, type=_name)
    create.add_argument("--scope", action="append", default=[], choices=[scope.value for scope in Scope])
    create.add_argument("--model", action="append", default=[], metavar="PROVIDER/MODEL")
    for limit in ("--rpm", "--tpm", "--concurrency"):
        create.add_argument(limit, type=_positive, metavar="N")
    create.add_argument("--budget", type=_money, metavar="AMOUNT")
    create.add_argument("--window", choices=[window.value for window in Window], default=Window.TOTAL.value)
    _command(keys, "list", "accounts.keys_list", "all keys, newest first")
    _command(keys, "revoke", "accounts.keys_revoke", "end a key at once").add_argument("id", metavar="ID")


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, command: str, purpose: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=purpose)
    parser.set_defaults(command=command)
    return parser


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
