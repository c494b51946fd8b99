"""Prints the microseconds of CPU of one call to a provider at URL, made N times as a worker makes it.

`python -m benchmarks.provider_call URL N`
"""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402 - after the patch, as in a worker
import time  # noqa: E402 - the same

from adapters.ai.catalog import ProviderConfig, load_catalog  # noqa: E402 - the same
from adapters.ai.profile import Profile  # noqa: E402 - the same
from application.cancellation import Cancellation  # noqa: E402 - the same
from domain.completion import Prompt  # noqa: E402 - the same

_MESSAGES = [{"role": "user", "content": "Explain to a new colleague what a reverse proxy is. " * 8}]
_WARM = 100


def main(url: str, calls: int) -> None:
    config = ProviderConfig("bench", Profile("bench", url), base_url=url)
    chat = load_catalog([config], lambda _fact: None).resolve("bench/mock").first.chat
    prompt = Prompt("mock", _MESSAGES, {"max_tokens": 2048, "temperature": 0.7}, "req_bench")
    used = 0.0
    for call in range(_WARM + calls):
        if call == _WARM:
            used = time.process_time()
        chat.complete(prompt, Cancellation(60, time.monotonic))
    print(f"{1e6 * (time.process_time() - used) / calls:.1f}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
