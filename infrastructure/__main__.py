"""`parley`, and `python -m infrastructure`."""

import gc
import sys


def main() -> int:
    """Returns the exit code."""
    gc.disable()  # what is imported stays: looking through it for garbage would take a third of the time
    from infrastructure.cli import main as run  # noqa: PLC0415 - not before collecting is off

    gc.freeze()
    gc.enable()
    return run()


if __name__ == "__main__":
    sys.exit(main())
