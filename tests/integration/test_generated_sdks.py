"""The clients that are generated from the OpenAPI document, against the running gateway."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.gateway import ROOT, Gateway
from tests.servers.program import require

pytestmark = pytest.mark.xdist_group("generated-sdks")

PYTHON_JOURNEY = """
import importlib, json, pkgutil, sys
import parley_client
from parley_client import AuthenticatedClient
from parley_client.api.chat import send_message
from parley_client.api.keys import get_own_key
from parley_client.api.sessions import create_session, get_session, list_messages
from parley_client.api.usage import get_usage
from parley_client.models import ChatRequest, Error, SessionRequest

for module in pkgutil.walk_packages(parley_client.__path__, "parley_client."):
    importlib.import_module(module.name)
url, token = sys.argv[1:]
with AuthenticatedClient(base_url=url, token=token) as client:
    key = get_own_key.sync(client=client)
    session = create_session.sync(client=client, body=SessionRequest(title="by a generated client"))
    answer = send_message.sync(client=client, body=ChatRequest(session_id=session.id, message="Hello there"))
    messages = list_messages.sync(session.id, client=client)
    refused = get_session.sync("sess_nobody", client=client)
    usage = get_usage.sync(client=client)
assert isinstance(refused, Error), refused
print(json.dumps({
    "key": key.to_dict(),
    "session": session.to_dict(),
    "answer": answer.to_dict(),
    "roles": [message.role for message in messages.data],
    "refused": refused.error.code,
    "usage": usage.to_dict(),
}))
"""
TYPESCRIPT_JOURNEY = """
import { createClient } from "./dist/client/index.js";
import { createSession, getOwnKey, getSession, sendMessage, streamMessage } from "./dist/index.js";

const [url, token] = process.argv.slice(2);
const client = createClient({ baseUrl: url, auth: token });
const key = (await getOwnKey({ client, throwOnError: true })).data;
const session = (await createSession({ client, body: { title: "typed" }, throwOnError: true })).data;
const body = { session_id: session.id, message: "Hello there" };
const answer = (await sendMessage({ client, body, throwOnError: true })).data;
const refused = (await getSession({ client, path: { session_id: "sess_nobody" } })).error;
const { stream } = await streamMessage({ client, body: { ...body, message: "once more" } });
const events = [];
for await (const event of stream) events.push(event);
console.log(JSON.stringify({ key, answer, refused: refused.error.code, events }));
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("sdk-gateway"))
    try:
        yield gateway.start()
    finally:
        gateway.stop()


@pytest.fixture(scope="module")
def document(gateway: Gateway) -> Path:
    """As the running code says it, not as it was last written down."""
    path = gateway.folder / "openapi.json"
    path.write_text(gateway.cli("openapi"))
    return path


def generated(language: str, folder: Path, document: Path) -> Path:
    command = [str(ROOT / "deploy" / "sdk" / "generate"), language, str(folder), str(document)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / language


def printed(command: list[str], folder: Path, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_the_python_client_reads_the_key_opens_a_session_chats_and_sees_its_use(
    gateway: Gateway, document: Path, tmp_path: Path
) -> None:
    client = generated("python", tmp_path, document)
    (tmp_path / "journey.py").write_text(PYTHON_JOURNEY)

    told = printed([sys.executable, "journey.py", gateway.url, gateway.key], tmp_path, PYTHONPATH=str(client))

    assert told["key"]["name"] == "first key"
    assert told["session"]["title"] == "by a generated client"
    assert told["answer"]["session_id"] == told["session"]["id"]
    assert "Hello there" in told["answer"]["content"]
    assert told["answer"]["usage"]["total_tokens"] > 0
    assert told["roles"] == ["user", "assistant"]
    assert told["refused"] == "not_found"
    assert told["usage"]


def test_the_typescript_client_compiles_chats_and_reads_a_stream(
    gateway: Gateway, document: Path, tmp_path: Path
) -> None:
    require("npm")
    client = generated("typescript", tmp_path, document)
    (client / "journey.js").write_text(TYPESCRIPT_JOURNEY)

    told = printed([str(require("node")), "journey.js", gateway.url, gateway.key], client)

    assert told["key"]["name"] == "first key"
    assert "Hello there" in told["answer"]["content"]
    assert told["refused"] == "not_found"
    assert told["events"], "the stream had no events"
    assert "once more" in told["events"][-1]["content"]
