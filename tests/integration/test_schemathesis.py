"""schemathesis over the OpenAPI document, against the running gateway."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.gateway import Gateway

pytestmark = [pytest.mark.xdist_group("schemathesis"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("schemathesis")).start()
    yield gateway
    gateway.stop()


def test_no_request_makes_a_server_error_or_an_answer_that_is_not_documented(gateway: Gateway, tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("st")),
        "run",
        f"{gateway.api}/openapi.json",
        f"--url={gateway.url}",
        f"--header=Authorization: Bearer {gateway.key}",
        "--phases=examples,coverage,fuzzing,stateful",
        "--checks=all",
        # A whole number may be written 1.0 in JSON Schema; Parley refuses that where it asks for an integer.
        "--exclude-checks=positive_data_acceptance",
        "--mode=all",
        "--max-examples=20",
        "--seed=1",
        "--generation-database=:memory:",
        "--request-timeout=10",
        "--continue-on-failure",
        "--no-color",
    ]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280)

    assert done.returncode == 0, done.stdout[-8000:]
