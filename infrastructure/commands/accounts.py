"""Commands about users and their API keys."""

import argparse
import sys
from datetime import datetime

from application.keys import KeyOrder
from domain.errors import InvalidRequest
from domain.limits import Budget, Limits, Unit, Window
from domain.user import Role, Scope
from infrastructure.container import Container


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


def _minute(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes")
