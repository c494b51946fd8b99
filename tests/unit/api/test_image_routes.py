"""`/images` in OpenAI's dialect and as jobs."""

from base64 import b64decode
from dataclasses import replace

import pytest

from domain.errors import StorageFull
from domain.ledger import Kind
from domain.provider_errors import UpstreamFailed
from domain.usage import Price, PriceBook
from domain.user import Role
from tests.unit.api.conftest import ORIGIN

MAKE, JOBS = "/api/v1/images/generations", "/api/v1/images"
ASKED = {"model": "acme/large", "prompt": "a cat"}
JOB_FIELDS = [
    *("id", "request_id", "status", "progress", "model", "prompt", "n", "size", "files", "error", "usage", "cost"),
    *("created_at", "ended_at"),
]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def site(site):
    site.world.prices.book = PriceBook("v2", {"acme/large": Price(0, 0, image=40_000_000)})
    return site


def finals(site):
    return [entry for entry in site.world.begin.rows.ledger.values() if entry.kind is Kind.FINAL]


# ── made while one waits ─────────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_has_openais_shape_and_what_it_cost(site):
    answer = site.post(MAKE, {**ASKED, "n": 2})

    assert answer.status_code == 200
    body = answer.json
    assert (body["created"], body["model"]) == (1_795_262_400, "acme/large")
    assert body["usage"] == {
        "input_tokens": 7,
        "output_tokens": 11,
        "total_tokens": 18,
        "input_tokens_details": {"text_tokens": 7, "image_tokens": 0},
        "images": 2,
        "cost": 0.08,
        "source": "provider",
    }
    assert (answer.headers["X-Parley-Provider"], answer.headers["X-Parley-Model"]) == ("acme", "large")
    assert (answer.headers["X-Parley-Attempts"], answer.headers["X-Parley-Cost"]) == ("1", "0.080000000")
    assert len(site.world.in_flight) == 0


@pytest.mark.parametrize(
    ("form", "members"),
    [
        ("url", {"file_id", "url"}),
        ("b64_json", {"file_id", "b64_json"}),
        (None, {"file_id", "url", "b64_json"}),
    ],
)
def test_images_are_answered_in_the_form_that_was_asked_for(site, form, members):
    body = site.post(MAKE, {**ASKED, "response_format": form}).json

    (item,) = body["data"]
    assert set(item) == members
    assert list(site.world.begin.rows.files) == [item["file_id"]]
    if "b64_json" in item:
        assert b64decode(item["b64_json"]).startswith(PNG)


def test_the_address_is_our_own_and_leads_to_the_content(site):
    (item,) = site.post(MAKE, ASKED).json["data"]

    assert item["url"] == f"{ORIGIN}/api/v1/files/{item['file_id']}/content"
    content = site.get(item["url"].removeprefix(ORIGIN))
    assert content.data == b64decode(item["b64_json"])


def test_what_was_made_of_the_prompt_is_told(site):
    site.world.painter.revised = 'a "cat"'

    assert site.post(MAKE, ASKED).json["data"][0]["revised_prompt"] == 'a "cat"'


def test_documented_parameters_reach_the_provider_and_ours_do_not(site):
    body = {**ASKED, "n": 1, "size": "auto", "quality": "high", "negative_prompt": "dogs", "style": None, "user": "me"}
    assert site.post(MAKE, {**body, "response_format": "url", "stream": False}).status_code == 200

    (prompt,) = site.world.painter.prompts
    assert (prompt.size, prompt.user) == (None, "me")
    assert prompt.options == {"quality": "high", "negative_prompt": "dogs"}


@pytest.mark.parametrize("path", [MAKE, JOBS])
def test_a_parameter_that_the_provider_does_not_document_is_refused_by_name(site, path):
    answer = site.post(path, {**ASKED, "quality": "high", "warp_factor": 9})

    assert (answer.status_code, answer.json["error"]["param"]) == (400, "warp_factor")
    assert answer.json["error"]["code"] == "unsupported_parameter"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "x" * 32_001}, "prompt"),
        ({"prompt": ["a cat"]}, "prompt"),
        ({"model": 1}, "model"),
        ({"model": "a b"}, "model"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": 1.0}, "n"),
        ({"n": True}, "n"),
        ({"size": "big"}, "size"),
        ({"size": "64x64\n"}, "size"),
        ({"size": "0x64"}, "size"),
        ({"output_format": "svg"}, "output_format"),
        ({"output_compression": 101}, "output_compression"),
        ({"background": "blue"}, "background"),
        ({"stream": True}, "stream"),
        ({"partial_images": 2}, "partial_images"),
        ({"webhook_url": "https://example.com"}, "webhook_url"),
        ({"extra": {"api_base": "https://example.com"}}, "extra"),
    ],
)
@pytest.mark.parametrize("path", [MAKE, JOBS])
def test_what_is_wrong_is_refused_by_name(site, path, fields, param):
    answer = site.post(path, {**ASKED, **fields})

    assert (answer.status_code, answer.json["error"]["param"]) == (400, param)
    assert (site.world.painter.prompts, site.world.begin.rows.image_jobs) == ([], {})


@pytest.mark.parametrize("missing", ["model", "prompt"])
@pytest.mark.parametrize("path", [MAKE, JOBS])
def test_what_is_missing_is_named(site, path, missing):
    answer = site.post(path, {name: value for name, value in ASKED.items() if name != missing})

    assert (answer.status_code, answer.json["error"]["param"]) == (400, missing)


@pytest.mark.parametrize("form", ["gif", 1])
def test_only_two_forms_are_known(site, form):
    assert site.post(MAKE, {**ASKED, "response_format": form}).status_code == 400


@pytest.mark.parametrize("path", ["/api/v1/images/edits", "/api/v1/images/variations"])
def test_what_there_is_not_is_not_there(site, path):
    assert site.post(path, ASKED).status_code in {404, 405}


def test_without_room_nothing_is_made(site):
    site.world.blobs.full = StorageFull()

    answer = site.post(MAKE, ASKED)

    assert (answer.status_code, answer.json["error"]["code"]) == (503, "storage_full")
    assert "Retry-After" in answer.headers


def test_a_repeat_gets_the_same_images_and_costs_nothing(site):
    first = site.post(MAKE, ASKED, headers={"Idempotency-Key": "k-1"})
    repeat = site.post(MAKE, ASKED, headers={"Idempotency-Key": "k-1"})

    assert (repeat.status_code, repeat.data) == (200, first.data)
    assert repeat.headers["Idempotency-Replayed"] == "true"
    assert len(finals(site)) == len(site.world.painter.prompts) == 1


# ── made in the background ───────────────────────────────────────────────────────────────────────────────────────


def start(site, **fields):
    answer = site.post(JOBS, {**ASKED, **fields})
    assert answer.status_code == 202, answer.json
    return answer.json


def test_a_job_is_answered_before_it_is_done(site):
    job = start(site, n=2, size="64x64")

    assert list(job) == JOB_FIELDS
    assert (job["status"], job["progress"], job["files"], job["error"], job["usage"]) == ("queued", 0.0, [], None, None)
    assert (job["model"], job["prompt"], job["n"], job["size"], job["cost"]) == (
        "acme/large",
        "a cat",
        2,
        "64x64",
        None,
    )
    assert job["id"].startswith("img_")
    assert site.world.painter.prompts == []


def test_a_job_that_is_done_has_its_files(site):
    job = start(site, n=2)
    site.world.spawned.run()

    found = site.get(f"{JOBS}/{job['id']}").json

    assert (found["status"], found["progress"], found["cost"]) == ("succeeded", 1.0, 0.08)
    assert [file["media_type"] for file in found["files"]] == ["image/png"] * 2
    assert found["usage"] == {
        "input_tokens": 7,
        "output_tokens": 11,
        "total_tokens": 18,
        "images": 2,
        "source": "provider",
    }
    assert found["ended_at"] == "2026-11-21T12:00:00Z"
    assert site.get(f"/api/v1/files/{found['files'][0]['id']}").json == found["files"][0]


def test_a_job_that_failed_says_why(site):
    site.world.painter.play(UpstreamFailed("No paint."))
    job = start(site)
    site.world.spawned.run()

    found = site.get(f"{JOBS}/{job['id']}").json

    assert (found["status"], found["files"]) == ("failed", [])
    assert found["error"] == {
        "code": "upstream_error",
        "message": "No paint.",
        "param": None,
        "provider": "acme",
        "retryable": True,
    }


def test_jobs_are_pages(site):
    ids = [start(site)["id"] for _ in range(3)]

    first = site.get(f"{JOBS}?limit=2").json
    second = site.get(f"{JOBS}?limit=2&cursor={first['next_cursor']}").json

    assert [job["id"] for job in first["data"] + second["data"]] == ids[::-1]
    assert second["next_cursor"] is None


def test_a_deleted_job_is_gone(site):
    job = start(site)

    assert site.delete(f"{JOBS}/{job['id']}").status_code == 204
    assert site.get(f"{JOBS}/{job['id']}").status_code == 404
    assert site.delete(f"{JOBS}/{job['id']}").status_code == 404


def test_a_job_is_taken_once_however_often_it_is_sent(site):
    first = site.post(JOBS, ASKED, headers={"Idempotency-Key": "k-1"})
    site.world.spawned.run()
    repeat = site.post(JOBS, ASKED, headers={"Idempotency-Key": "k-1"})

    assert (repeat.status_code, repeat.data) == (202, first.data)
    assert repeat.headers["Idempotency-Replayed"] == "true"
    assert len(site.world.begin.rows.image_jobs) == len(site.world.painter.prompts) == 1


def test_a_job_that_was_refused_may_be_sent_again_with_its_key(site):
    site.world.blobs.full = StorageFull()
    assert site.post(JOBS, ASKED, headers={"Idempotency-Key": "k-1"}).status_code == 503

    site.world.blobs.full = None

    assert site.post(JOBS, ASKED, headers={"Idempotency-Key": "k-1"}).status_code == 202


def test_a_worker_with_enough_to_do_says_so(site):
    site.world.image_jobs = replace(site.world.image_jobs, most=1)
    start(site)

    answer = site.post(JOBS, ASKED)

    assert (answer.status_code, answer.json["error"]["code"], answer.headers["Retry-After"]) == (503, "overloaded", "5")


def test_a_job_has_no_form(site):
    answer = site.post(JOBS, {**ASKED, "response_format": "url"})

    assert (answer.status_code, answer.json["error"]["param"]) == (400, "response_format")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_foreign_job_does_not_exist(site, method):
    job = start(site)
    site.become(Role.OWNER)

    answer = site.client.open(f"{JOBS}/{job['id']}", method=method, headers=site.headers)

    assert (answer.status_code, answer.json["error"]["code"]) == (404, "not_found")
    assert site.get(JOBS).json["data"] == []
    assert list(site.world.begin.rows.image_jobs) == [job["id"]]
