"""Runs checks in their order. Each prints one line: {"check", "found"}, or {"check", "threw"} without a result.

For programs that run in the environment of the client SDKs; `checks.mjs` is the same for Node's.
"""

import json
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

QUESTION: list[Any] = [{"role": "user", "content": "Say five words."}]
WRONG_KEY = "sk-wrong"
ANSWERED = "rain"

Check = Callable[[], Any]
now = time.time


def address_and_key() -> tuple[str, str]:
    url, key = sys.argv[1:]
    return url, key


def run(*checks: Check) -> None:
    """The name of a check is its function's."""
    for check in checks:
        line: dict[str, Any] = {"check": check.__name__}
        try:
            line["found"] = check()
        except Exception:  # noqa: BLE001 - whatever it is, the test shows it
            line["threw"] = traceback.format_exc()
        sys.stdout.write(json.dumps(line) + "\n")


def refusal(call: Check) -> dict[str, Any]:
    """What a caller can tell about the error that `call` ends with; it must end with one."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - its kind is what the test looks at
        return described(error)
    raise AssertionError("nothing was refused")


def described(error: Exception) -> dict[str, Any]:
    response = getattr(error, "response", None)
    return {
        "kinds": [kind.__name__ for kind in type(error).__mro__],
        "status": getattr(error, "status_code", None),
        "message": str(error),
        "wait": response.headers.get("retry-after") if response is not None else None,
    }
