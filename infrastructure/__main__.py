"""`parley`, and `python -m infrastructure`."""

import gc
import sys
from importlib import import_module
from types import ModuleType

from infrastructure import cli


def main() -> int:
    """Returns the exit code."""
    return cli.main(load=_load)


def _load(name: str) -> ModuleType:
    """What is imported stays: looking through it for garbage would take a third of the time."""
    gc.disable()
    module = import_module(name)
    gc.freeze()
    gc.enable()
    return module


if __name__ == "__main__":
    sys.exit(main())
