"""What all commands have in common: parts to work with, and failures that are explained."""

import argparse
import os
import sys
from collections.abc import Callable
from importlib import import_module

from domain.errors import ParleyError
from infrastructure.app import build_container
from infrastructure.configuration import ConfigurationError
from infrastructure.container import Container
from infrastructure.logging import log_to_standard_error
from infrastructure.schema import SchemaError
from infrastructure.settings import load

Command = Callable[[Container, argparse.Namespace], None]


def run(arguments: argparse.Namespace) -> int:
    """`arguments.command` is a module here and its function. Returns the exit code, 1 for an explained failure."""
    log_to_standard_error()
    try:
        _run(_command(arguments.command), arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads it, as `head` does, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ConfigurationError, ParleyError, SchemaError) as error:
        print(f"parley: {error}", file=sys.stderr)
        return 1
    return 0


def _run(command: Command, arguments: argparse.Namespace) -> None:
    container = build_container(load())
    try:
        command(container, arguments)
    finally:
        container.engine().dispose()


def _command(place: str) -> Command:
    module, _, name = place.partition(".")
    command: Command = getattr(import_module(f"infrastructure.commands.{module}"), name)
    return command
