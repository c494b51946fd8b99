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
from parley_client.api.embeddings import create_embeddings
from parley_client.api.files import get_file_content, list_files
from parley_client.api.images import create_image_job, create_images, get_image_job
from parley_client.api.keys import get_own_key
from parley_client.api.messages import count_message_tokens, create_message
from parley_client.api.responses import create_response
from parley_client.api.sessions import create_session, get_session, list_messages
from parley_client.api.usage import get_usage
from parley_client.models import (
    ChatRequest, EmbeddingRequest, Error, ImageJobRequest, ImageRequest, MessagesCountRequest, MessagesError,
    MessagesRequest, MessagesUserTurn, ResponseRequest, SessionRequest,
)

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
    embeddings = create_embeddings.sync(client=client, body=EmbeddingRequest(model="echo/echo", input_=["a", "b"]))
    images = create_images.sync(client=client, body=ImageRequest(model="echo/echo", prompt="a cat", n=2))
    job = create_image_job.sync(client=client, body=ImageJobRequest(model="echo/echo", prompt="a dog"))
    job = get_image_job.sync(job.id, client=client)
    files = list_files.sync(client=client)
    content = get_file_content.sync_detailed(images.data[0].file_id, client=client)
    said = [MessagesUserTurn(role="user", content="Hello there")]
    message = create_message.sync(
        client=client, body=MessagesRequest(model="echo/echo", max_tokens=99, messages=said)
    )
    counted = count_message_tokens.sync(client=client, body=MessagesCountRequest(model="echo/echo", messages=said))
    unknown = create_message.sync(client=client, body=MessagesRequest(model="none/none", max_tokens=9, messages=said))
    response = create_response.sync(client=client, body=ResponseRequest(model="echo/echo", input_="Hello there"))
assert isinstance(unknown, MessagesError), unknown
assert content.content.startswith(bytes([137]) + b"PNG"), content
assert isinstance(refused, Error), refused
print(json.dumps({
    "key": key.to_dict(),
    "session": session.to_dict(),
    "answer": answer.to_dict(),
    "roles": [message.role for message in messages.data],
    "refused": refused.error.code,
    "usage": usage.to_dict(),
    "embeddings": [len(item.embedding) for item in embeddings.data],
    "images": len(images.data),
    "job": job.to_dict(),
    "files": [file.purpose for file in files.data],
    "message": message.to_dict(),
    "counted": counted.input_tokens,
    "unknown": unknown.error.type_,
    "response": response.to_dict(),
}))
"""
TYPESCRIPT_JOURNEY = """
import { createClient } from "./dist/client/index.js";
import {
    countMessageTokens, createEmbeddings, createImageJob, createImages, createMessage, createResponse, createSession,
    getFileContent, getImageJob, getOwnKey, getSession, listFiles, sendMessage, streamMessage,
} from "./dist/index.js";

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
const asked = async (call, options) => (await call({ client, throwOnError: true, ...options })).data;
const model = "echo/echo";
const embeddings = await asked(createEmbeddings, { body: { model, input: ["a", "b"] } });
const images = await asked(createImages, { body: { model, prompt: "a cat", n: 2 } });
const started = await asked(createImageJob, { body: { model, prompt: "a dog" } });
const job = await asked(getImageJob, { path: { job_id: started.id } });
const files = await asked(listFiles, {});
const content = await asked(getFileContent, { path: { file_id: images.data[0].file_id } });
const messages = [{ role: "user", content: "Hello there" }];
const message = await asked(createMessage, { body: { model, max_tokens: 99, messages } });
const counted = await asked(countMessageTokens, { body: { model, messages } });
const unknown = (await createMessage({ client, body: { model: "none/none", max_tokens: 9, messages } })).error;
const response = await asked(createResponse, { body: { model, input: "Hello there" } });
console.log(JSON.stringify({
    key, answer, refused: refused.error.code, events, job, message, response,
    embeddings: embeddings.data.map((item) => item.embedding.length), images: images.data.length,
    files: files.data.map((file) => file.purpose), content: content.size,
    counted: counted.input_tokens, unknown: unknown.error.type,
}));
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("sdk-gateway"))
    try:
        yield gateway.start()
    finally:
        gateway.end()


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
    called_every_new_route(told)


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
    assert told["content"] > 0
    called_every_new_route(told)


def called_every_new_route(told: dict[str, Any]) -> None:
    first, second = told["embeddings"]
    assert first == second > 0
    assert told["images"] == 2
    assert (told["job"]["model"], told["job"]["prompt"]) == ("echo/echo", "a dog")
    assert set(told["files"]) == {"image_output"}
    assert "Hello there" in told["message"]["content"][0]["text"]
    assert told["message"]["stop_reason"] == "end_turn"
    assert told["counted"] > 0
    assert told["unknown"] == "not_found_error"
    assert told["response"]["status"] == "completed"
    assert "Hello there" in told["response"]["output"][0]["content"][0]["text"]
