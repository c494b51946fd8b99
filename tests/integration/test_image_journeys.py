"""Images through the running gateway: made, kept, paid and fetched again, by the official SDK and by hand."""

import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.servers.caller import Caller, Reply
from tests.servers.gateway import FAST, Gateway
from tests.servers.program import wait_until
from tests.servers.scripted_images import PICTURE
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = pytest.mark.xdist_group("image-journeys")

CONFIG = """
[providers.scripted]
base_url = "{url}"
api_key_env = "SCRIPTED_KEY"

[prices."scripted/picture"]
image = 0.04

[prices."qwen/task"]
image = 0.02

[prices."qwen/task-forever"]
image = 0.02
"""
KEY = "sk-scripted-0123456789"


@dataclass
class Studio:
    gateway: Gateway
    provider: ScriptedProvider
    caller: Caller
    client: openai.OpenAI

    def finished(self, job: dict[str, Any], seconds: float = 40) -> dict[str, Any]:
        def over() -> bool:
            return self.job(job)["status"] in {"succeeded", "failed"}

        wait_until(over, seconds, "end of the job")
        return self.job(job)

    def job(self, job: dict[str, Any]) -> dict[str, Any]:
        reply = self.caller.get(f"/images/{job['id']}")
        assert reply.status == 200, reply.raw
        return dict(reply.json)

    def blobs(self) -> list[Path]:
        return [path for path in (self.gateway.folder / "var" / "files").rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("images")
    with ExitStack() as stack:
        provider = ScriptedProvider(folder).run()
        stack.callback(provider.stop)
        env = {
            "SCRIPTED_KEY": KEY,
            "QWEN_API_KEY": KEY,
            "QWEN_BASE_URL": f"{provider.root}/compatible-mode/v1",
            "SILICONFLOW_API_KEY": KEY,
            "SILICONFLOW_BASE_URL": provider.base_url,
        }
        gateway = Gateway(folder, env=env, config=FAST + CONFIG.format(url=provider.base_url))
        stack.callback(gateway.end)
        gateway.start()
        client = stack.enter_context(
            openai.OpenAI(base_url=gateway.api, api_key=gateway.key, max_retries=0, timeout=20)
        )
        yield Studio(gateway, provider, Caller(gateway.port).bearing(gateway.key), client)
    assert '"level":"error"' not in gateway.program.log.read_text()


def content_of(studio: Studio, url: str) -> Reply:
    assert url.startswith(studio.gateway.api), "an address of our own"
    return studio.caller.get(url.removeprefix(studio.gateway.api))


# ── the SDK ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_sdk_gets_images_in_base64(studio: Studio) -> None:
    made = studio.client.images.generate(model="scripted/picture", prompt="a cat", n=2, response_format="b64_json")

    assert [b64decode(image.b64_json or "") for image in made.data or []] == [PICTURE, PICTURE]
    assert [image.url for image in made.data or []] == [None, None]
    assert (made.data or [])[0].revised_prompt == "a cat, in oil"
    usage: Any = made.usage
    assert (usage.images, usage.cost, usage.source) == (2, 0.08, "provider")


def test_the_sdk_gets_images_at_an_address_of_our_own(studio: Studio) -> None:
    made = studio.client.images.generate(
        model="scripted/picture-url", prompt="a cat", size="1024x1024", response_format="url"
    )

    (image,) = made.data or []
    assert image.b64_json is None
    answer = content_of(studio, image.url or "")
    assert (answer.status, answer.raw) == (200, PICTURE)


def test_the_sdk_that_names_no_form_finds_either(studio: Studio) -> None:
    (image,) = studio.client.images.generate(model="echo/echo", prompt="a cat").data or []

    assert image.url
    assert b64decode(image.b64_json or "").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("scripted/400", openai.BadRequestError),
        ("scripted/picture-at-svg", openai.InternalServerError),
        ("echo/none-such", None),
        ("openai/gpt-4o", openai.NotFoundError),
        ("qwen/qwen-plus", openai.BadRequestError),
    ],
)
def test_the_sdk_raises_what_it_is(studio: Studio, model: str, error: type[Exception] | None) -> None:
    if error is None:
        studio.client.images.generate(model=model, prompt="a cat")
        return
    with pytest.raises(error):
        studio.client.images.generate(model=model, prompt="a cat")


# ── each wire ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "size", "images"),
    [
        ("scripted/picture", "64x64", 2),
        ("siliconflow/picture", "1024x1024", 2),
        ("qwen/task-soon", "1024x1024", 2),
        ("echo/echo", "32x16", 2),
    ],
)
def test_every_wire_makes_files_that_are_ours(studio: Studio, model: str, size: str, images: int) -> None:
    reply = studio.caller.post("/images/generations", {"model": model, "prompt": "a cat", "n": images, "size": size})

    assert reply.status == 200, reply.raw
    assert reply.json["usage"]["images"] == images
    for item in reply.json["data"]:
        file = studio.caller.get(f"/files/{item['file_id']}").json
        assert (file["media_type"], file["request_id"]) == ("image/png", reply.headers["X-Request-Id"])
        content = content_of(studio, item["url"])
        assert content.raw == b64decode(item["b64_json"])
        assert len(content.raw) == file["size"]
    record = studio.gateway.record(reply.headers["X-Request-Id"])
    assert (record["state"], record["model"]) == ("completed", model)


def test_the_ledger_has_what_an_image_costs(studio: Studio) -> None:
    reply = studio.caller.post("/images/generations", {"model": "scripted/picture", "prompt": "a cat", "n": 5})

    assert reply.json["usage"]["cost"] == pytest.approx(0.20)
    assert studio.gateway.record(reply.headers["X-Request-Id"])["cost"] == pytest.approx(0.20)


def test_no_key_leaves_for_the_place_of_a_result_and_none_is_in_the_log(studio: Studio) -> None:
    studio.provider.forget()
    studio.caller.post("/images/generations", {"model": "scripted/picture-at-jpeg", "prompt": "a cat"})

    (fetch,) = (it for it in studio.provider.told()["fetches"] if "jpeg" in it["path"])
    assert KEY not in str(fetch)
    assert KEY not in studio.gateway.program.log.read_text()


@pytest.mark.parametrize("name", ["svg", "html", "lying", "huge", "redirect", "expired", "elsewhere", "metadata"])
def test_what_is_no_image_or_out_of_bounds_is_neither_kept_nor_charged(studio: Studio, name: str) -> None:
    before = len(studio.blobs())
    reply = studio.caller.post("/images/generations", {"model": f"scripted/picture-at-{name}", "prompt": "a cat"})

    assert (reply.status, reply.code) == (502, "upstream_result_lost")
    assert len(studio.blobs()) == before
    record = studio.gateway.record(reply.headers["X-Request-Id"])
    assert (record["state"], record["error_code"], record["cost"]) == ("failed", "upstream_result_lost", 0)


def test_a_budget_refuses_what_it_cannot_pay(studio: Studio) -> None:
    key = studio.gateway.cli(
        *("keys", "create", "--user", "admin@localhost", "--name", "poor", "--budget", "0.05", "--window", "day")
    )
    poor = Caller(studio.gateway.port).bearing(key)
    ask = {"model": "scripted/picture", "prompt": "a cat"}

    two = poor.post("/images/generations", {**ask, "n": 2})
    one = poor.post("/images/generations", ask)
    job = poor.post("/images", ask)

    assert (two.status, two.code) == (402, "budget_exceeded")
    assert one.status == 200
    assert (job.status, job.code) == (402, "budget_exceeded")


# ── contents ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_content_is_a_download_with_its_length_and_its_digest(studio: Studio) -> None:
    item = studio.caller.post("/images/generations", {"model": "scripted/picture", "prompt": "a cat"}).json["data"][0]
    file = studio.caller.get(f"/files/{item['file_id']}").json

    whole, head = (studio.caller.call(method, f"/files/{file['id']}/content") for method in ("GET", "HEAD"))

    assert (whole.raw, head.raw) == (PICTURE, b"")
    for reply in (whole, head):
        assert reply.headers["Content-Type"] == "application/octet-stream"
        assert reply.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{file['id']}.png"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert reply.headers["Content-Length"] == str(len(PICTURE))
        assert reply.headers["ETag"] == f'"{file["sha256"]}"'


def test_a_deleted_file_leaves_nothing_on_the_disk(studio: Studio) -> None:
    item = studio.caller.post("/images/generations", {"model": "scripted/picture", "prompt": "a cat"}).json["data"][0]
    before = len(studio.blobs())

    assert studio.caller.call("DELETE", f"/files/{item['file_id']}").status == 204

    assert len(studio.blobs()) == before - 1
    assert content_of(studio, item["url"]).status == 404


# ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def start(studio: Studio, model: str, **fields: Any) -> dict[str, Any]:
    reply = studio.caller.post("/images", {"model": model, "prompt": "a cat", **fields})
    assert reply.status == 202, reply.raw
    return dict(reply.json)


def test_a_job_goes_from_queued_to_done_and_tells_how_far_it_is(studio: Studio) -> None:
    job = start(studio, "qwen/task", n=3)
    assert (job["status"], job["progress"], job["files"]) == ("queued", 0.0, [])

    seen = []
    while (found := studio.job(job))["status"] in {"queued", "running"}:
        seen.append(found["progress"])
        time.sleep(0.1)

    assert (found["status"], found["progress"], found["error"]) == ("succeeded", 1.0, None)
    assert seen == sorted(seen)
    assert any(0.0 < progress < 1.0 for progress in seen)
    assert (found["usage"]["images"], found["cost"]) == (3, pytest.approx(0.06))
    assert len(found["files"]) == 3
    assert studio.caller.get(f"/files/{found['files'][0]['id']}/content").raw == PICTURE
    assert studio.gateway.record(found["request_id"])["cost"] == pytest.approx(0.06)
    assert studio.caller.get("/images").json["data"][0] == found


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("qwen/task-inspected", "content_filter"),
        ("qwen/task-at-expired", "upstream_result_lost"),
        ("scripted/400", "upstream_rejected"),
        ("scripted/picture-at-svg", "upstream_result_lost"),
    ],
)
def test_a_job_that_fails_says_why_and_costs_nothing(studio: Studio, model: str, code: str) -> None:
    found = studio.finished(start(studio, model))

    assert (found["status"], found["error"]["code"], found["files"]) == ("failed", code, [])
    assert studio.gateway.record(found["request_id"])["cost"] == 0


def test_what_can_be_refused_at_once_is(studio: Studio) -> None:
    for body, status in (
        ({"model": "none/such"}, 404),
        ({"model": "scripted/picture", "warp_factor": 9}, 400),
        ({"model": "qwen/qwen-plus"}, 400),
        ({"model": "scripted/picture", "callback_url": "https://example.com"}, 400),
    ):
        reply = studio.caller.post("/images", {"prompt": "a cat", **body})
        assert reply.status == status, reply.raw


def test_a_job_does_not_depend_on_the_connection_that_it_came_on(studio: Studio) -> None:
    job = start(studio, "scripted/picture-slow-1.5")  # the connection is closed by now

    assert studio.finished(job)["status"] == "succeeded"


def test_deleting_a_job_stops_it_and_the_ledger_has_what_the_provider_bills(studio: Studio) -> None:
    job = start(studio, "qwen/task-forever", n=2)
    wait_until(lambda: job["request_id"] in [bill["id"] for bill in studio.provider.bills()], 20, "the order")
    time.sleep(0.5)  # the provider's word that it took it is on its way

    assert studio.caller.call("DELETE", f"/images/{job['id']}").status == 204

    assert studio.caller.get(f"/images/{job['id']}").status == 404
    record = studio.gateway.record(job["request_id"])
    assert (record["state"], record["error_code"], record["cost"]) == ("partial", "stopped", pytest.approx(0.04))


def test_a_job_is_made_once_however_often_it_is_sent(studio: Studio) -> None:
    ask = {"model": "scripted/picture", "prompt": "a cat"}
    replies = [studio.caller.post("/images", ask, **{"Idempotency-Key": "job-1"}) for _ in range(3)]
    studio.finished(replies[0].json)

    assert {(reply.status, reply.json["id"]) for reply in replies} == {(202, replies[0].json["id"])}
    assert len([bill for bill in studio.provider.bills() if bill["id"] == replies[0].json["request_id"]]) == 1


def test_an_image_is_made_once_however_often_it_is_sent(studio: Studio) -> None:
    ask = {"model": "scripted/picture", "prompt": "a cat"}
    first, repeat = (studio.caller.post("/images/generations", ask, **{"Idempotency-Key": "image-1"}) for _ in (1, 2))

    assert (repeat.status, repeat.raw) == (200, first.raw)
    assert repeat.headers["Idempotency-Replayed"] == "true"
    assert len([bill for bill in studio.provider.bills() if bill["id"] == first.headers["X-Request-Id"]]) == 1
