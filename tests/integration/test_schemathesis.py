"""schemathesis over the OpenAPI document, against the running gateway, with both kinds of credentials."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.gateway import Gateway

pytestmark = [pytest.mark.xdist_group("schemathesis"), pytest.mark.timeout(600)]

PASSWORD = "correct horse 17 battery"
ENDS_THE_LOGIN = (
    *("logout", "endLogin", "deleteMe"),
    *("adminEndLogins", "adminUpdateUser", "adminDeleteUser", "adminRemoveSecondFactor"),
)
TIGHTENS_OR_ENDS_THE_KEY = ("updateKey", "revokeKey", "rotateKey")
SCOPES = ("chat", "embeddings", "images", "files", "usage:read", "keys")
"""All that a member may have."""
CHECKS = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, 503]
"""
"""A list that is too long may make a body that is too large."""
SHAPES = ("createMessage", "createResponse"), ("createChatCompletion", "countMessageTokens")
"""Of all cases of the coverage phase, four fifths are for what is in these bodies: each is tried by one credential."""
NOT_COVERED = """
[[operations]]
include-operation-id = "{}"
phases.coverage.enabled = false
"""
OPENS_THE_WAY_OUT = ("createProviderCredential",)
"""With a key of a public provider the chat routes would call it."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = '[accounts]\nregistration = "open"\n'
    gateway = Gateway(tmp_path_factory.mktemp("schemathesis"), config=config).start()
    gateway.cli("users", "create", "admin@example.org", "--role", "admin", text=f"{PASSWORD}\n")
    gateway.cli("users", "create", "member@example.org")
    yield gateway
    gateway.end()


def test_an_administrator_s_login_gets_no_server_error_and_no_answer_that_is_not_documented(
    gateway: Gateway, tmp_path: Path
) -> None:
    status, login = gateway.call("POST", "/auth/login", {"email": "admin@example.org", "password": PASSWORD})
    assert status == 200

    _explore(gateway, tmp_path, login["access_token"], (*ENDS_THE_LOGIN, *OPENS_THE_WAY_OUT), SHAPES[0])


def test_a_member_s_key_gets_no_server_error_and_no_answer_that_is_not_documented(
    gateway: Gateway, tmp_path: Path
) -> None:
    scopes = [word for scope in SCOPES for word in ("--scope", scope)]
    key = gateway.cli("keys", "create", "--user", "member@example.org", "--name", "member", *scopes)

    _explore(gateway, tmp_path, key, TIGHTENS_OR_ENDS_THE_KEY, SHAPES[1])


def _explore(
    gateway: Gateway, folder: Path, token: str, left_out: tuple[str, ...], not_covered: tuple[str, ...]
) -> None:
    command = [
        str(Path(sys.executable).with_name("st")),
        "run",
        f"{gateway.api}/openapi.json",
        f"--url={gateway.url}",
        f"--header=Authorization: Bearer {token}",
        "--phases=examples,coverage,fuzzing,stateful",
        "--checks=all",
        # A whole number may be written 1.0 in JSON Schema; Parley refuses that where it asks for an integer.
        "--exclude-checks=positive_data_acceptance",
        "--mode=all",
        "--max-examples=3",
        "--seed=1",
        "--generation-database=:memory:",
        "--request-timeout=10",
        "--continue-on-failure",
        "--no-color",
        *(f"--exclude-operation-id={operation}" for operation in left_out),
    ]

    (folder / "schemathesis.toml").write_text(CHECKS + "".join(map(NOT_COVERED.format, not_covered)))
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=560)

    assert done.returncode == 0, done.stdout[-8000:]
    assert gateway.call("GET", "/me", key=token)[0] == 200, "the run ended its own credential, and tested nothing since"
