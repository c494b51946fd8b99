"""Images and their files under attack: floods, races with deletion, rights that are lost meanwhile, odd downloads."""

import http.client
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.servers.caller import Caller, Reply
from tests.servers.gateway import FAST, Gateway
from tests.servers.program import wait_until
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = [pytest.mark.xdist_group("images-and-files"), pytest.mark.timeout(120)]

CONFIG = """
[providers.scripted]
base_url = "{url}"
deadlines = {{headers = 15.0, first_token = 15.0}}
[prices."scripted/picture-slow-8"]
image = 1.0
"""
MOST = 16
"""Jobs that a worker runs at a time."""
PASSWORD = "correct horse 17 battery"


class House:
    def __init__(self, gateway: Gateway, provider: ScriptedProvider) -> None:
        self.gateway = gateway
        self.provider = provider
        self.owner = Caller(gateway.port).bearing(gateway.key)

    def user(self, name: str) -> Caller:
        key = self.gateway.cli("users", "create", f"{name}@example.org", text=f"{PASSWORD}\n") and self.gateway.cli(
            "keys", "create", "--user", f"{name}@example.org", "--name", name,
            *(word for scope in ("chat", "images", "files", "keys") for word in ("--scope", scope)),
        )  # fmt: skip
        return Caller(self.gateway.port).bearing(key)

    def started(self, caller: Caller, model: str = "scripted/picture-slow-8") -> dict[str, Any]:
        reply = caller.post("/images", {"model": model, "prompt": "a cat"})
        assert reply.status == 202, reply.raw
        job = dict(reply.json)
        wait_until(lambda: any(bill["id"] == job["request_id"] for bill in self.provider.bills()), 20, "the order")
        return job

    def rows(self, statement: str, *values: str) -> list[Any]:
        with sqlite3.connect(f"file:{self.gateway.folder}/var/parley.db?mode=ro", uri=True) as database:
            return database.execute(statement, values).fetchall()

    def final(self, request_id: str) -> Any:
        statement = "SELECT state, error_code FROM usage_ledger WHERE kind = 'final' AND request_id = ?"
        wait_until(lambda: bool(self.rows(statement, request_id)), 20, "the final record")
        (found,) = self.rows(statement, request_id)
        return found

    def blobs(self) -> set[Path]:
        return {path for path in Path(self.gateway.folder, "var", "files").rglob("*") if path.is_file()}

    def a_file(self, caller: Caller) -> str:
        reply = caller.post("/images/generations", {"model": "scripted/picture", "prompt": "a cat"})
        assert reply.status == 200, reply.raw
        return str(reply.json["data"][0]["file_id"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    provider = ScriptedProvider(tmp_path_factory.mktemp("provider")).run()
    config = CONFIG.format(url=provider.base_url) + FAST
    gateway = Gateway(tmp_path_factory.mktemp("house"), config=config).start()
    workers = gateway.workers()
    yield House(gateway, provider)
    assert gateway.workers() == workers
    assert gateway.stop() == 0
    assert '"status":500' not in gateway.program.log.read_text()
    provider.stop()


@pytest.fixture
def house(running: House) -> House:
    """No job of a test before is at work any more."""
    unfinished = "SELECT id FROM image_jobs WHERE status IN ('queued', 'running')"
    wait_until(lambda: running.rows(unfinished) == [], 20, "the end of the jobs before")
    return running


def test_a_flood_of_jobs_is_bounded(house: House) -> None:
    house.provider.forget()

    def order(_: int) -> Reply:
        return house.owner.post("/images", {"model": "scripted/picture-slow-8", "prompt": "a cat"})

    with ThreadPoolExecutor(40) as pool:
        replies = list(pool.map(order, range(60)))

    taken = [reply.json["id"] for reply in replies if reply.status == 202]
    refused = [reply for reply in replies if reply.status != 202]
    assert len(taken) == MOST
    assert {(reply.status, reply.code, reply.headers["Retry-After"]) for reply in refused} == {(503, "overloaded", "5")}
    wait_until(lambda: len(house.provider.bills()) == MOST, 20, "all that were taken")
    assert house.owner.get("/key").status == 200
    for job_id in taken:
        assert house.owner.call("DELETE", f"/images/{job_id}").status == 204
    room: list[Reply] = []

    def taken_again() -> bool:
        room.append(order(0))
        return room[-1].status == 202

    wait_until(taken_again, 20, "room again")
    assert house.owner.call("DELETE", f"/images/{room[-1].json['id']}").status == 204


def test_a_job_ends_with_the_key_that_it_was_ordered_with(house: House) -> None:
    made = house.owner.post("/keys", {"name": "soon revoked"}).json
    job = house.started(Caller(house.gateway.port).bearing(made["key"]))

    assert house.owner.call("DELETE", f"/keys/{made['id']}").status == 204

    assert house.final(job["request_id"])[1] == "key_revoked"
    wait_until(lambda: house.owner.get(f"/images/{job['id']}").json["status"] == "failed", 20, "the end of the job")
    told = house.owner.get(f"/images/{job['id']}").json
    assert (told["error"]["code"], told["files"]) == ("key_revoked", [])


def test_a_job_ends_when_its_user_is_disabled(house: House) -> None:
    caller = house.user("disabled")
    job = house.started(caller)
    user_id = house.rows("SELECT user_id FROM image_jobs WHERE id = ?", job["id"])[0][0]

    assert house.owner.call("PATCH", f"/admin/users/{user_id}", {"disabled": True}).status == 200

    assert house.final(job["request_id"])[1] == "key_revoked"
    assert caller.get(f"/images/{job['id']}").status == 401


def test_of_who_is_erased_nothing_is_left_to_be_found(house: House) -> None:
    caller = house.user("erased")
    file_id = house.a_file(caller)
    job = house.started(caller)
    user_id = house.rows("SELECT user_id FROM image_jobs WHERE id = ?", job["id"])[0][0]

    assert house.owner.call("DELETE", f"/admin/users/{user_id}").status == 204

    assert house.final(job["request_id"])[1] == "key_revoked"
    assert house.rows("SELECT id FROM image_jobs WHERE user_id = ?", user_id) == []
    assert house.rows("SELECT id FROM files WHERE user_id = ?", user_id) == []
    assert caller.get(f"/files/{file_id}").status == 401
    assert house.owner.get(f"/files/{file_id}/content").status == 404


def test_a_job_that_is_deleted_leaves_neither_row_nor_file(house: House) -> None:
    before = house.blobs()
    job = house.started(house.owner)

    assert house.owner.call("DELETE", f"/images/{job['id']}").status == 204

    assert house.final(job["request_id"])[1] == "stopped"
    time.sleep(0.5)
    assert house.rows("SELECT id FROM files WHERE request_id = ?", job["request_id"]) == []
    assert house.blobs() == before
    for method in ("GET", "DELETE"):
        assert house.owner.call(method, f"/images/{job['id']}").status == 404


def test_many_may_delete_one_file_and_download_it_meanwhile(house: House) -> None:
    """Whole, or gone: never a part, never an error of ours."""
    file_id = house.a_file(house.owner)
    size = house.owner.get(f"/files/{file_id}").json["size"]

    def act(number: int) -> Reply:
        if number % 4 == 3:
            return house.owner.call("DELETE", f"/files/{file_id}")
        return house.owner.get(f"/files/{file_id}/content")

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(act, range(40)))

    assert {reply.status for reply in replies} <= {200, 204, 404}
    assert {len(reply.raw) for reply in replies if reply.status == 200} <= {size}
    assert house.rows("SELECT id FROM files WHERE id = ?", file_id) == []


@pytest.mark.parametrize(
    "headers",
    [{"Range": "bytes=0-0"}, {"Range": "bytes=99999999-"}, {"Range": "bytes=0-1,2-3"}, {"If-None-Match": "*"},
     {"If-Modified-Since": "Fri, 01 Jan 2027 00:00:00 GMT"}, {"Accept": "text/html"}, {"Accept-Encoding": "gzip"}],
)  # fmt: skip
def test_a_download_is_whole_whatever_is_asked_of_it(house: House, headers: dict[str, str]) -> None:
    file_id = house.a_file(house.owner)

    reply = house.owner.get(f"/files/{file_id}/content", **headers)

    assert reply.status == 200
    assert reply.raw.startswith(b"\x89PNG")
    assert reply.headers["Content-Length"] == str(len(reply.raw))
    assert reply.headers["Content-Type"] == "application/octet-stream"
    assert reply.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{file_id}.png"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert reply.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in reply.headers
    assert "Set-Cookie" not in reply.headers


def test_a_head_tells_the_length_and_its_connection_goes_on(house: House) -> None:
    file_id = house.a_file(house.owner)
    connection = http.client.HTTPConnection("127.0.0.1", house.gateway.port, timeout=10)
    try:
        for method, empty in (("HEAD", True), ("GET", False), ("HEAD", True)):
            connection.request(method, f"/api/v1/files/{file_id}/content", headers=house.owner.headers)
            answer = connection.getresponse()
            raw = answer.read()
            assert (answer.status, raw == b"") == (200, empty)
            assert int(answer.headers["Content-Length"]) > 0
    finally:
        connection.close()


def test_a_client_that_leaves_amid_a_download_leaves_nothing_open(house: House) -> None:
    file_id = house.a_file(house.owner)
    (worker,) = house.gateway.workers()

    def files_open() -> int:
        links = [link for link in Path(f"/proc/{worker}/fd").iterdir() if link.is_symlink()]
        return sum("/var/files/" in str(link.readlink()) for link in links if link.exists())

    for _ in range(20):
        connection = http.client.HTTPConnection("127.0.0.1", house.gateway.port, timeout=10)
        connection.request("GET", f"/api/v1/files/{file_id}/content", headers=house.owner.headers)
        connection.close()

    wait_until(lambda: files_open() == 0, 20, "the end of the downloads")


@pytest.mark.parametrize(
    "odd",
    ["..%2f..%2fparley.db", "%2e%2e/%2e%2e/parley.db", "..", ".", "file_", "%00", "file_%00", "file_%D9%A0", "*", "%25",
     "file_'--", 'file_"', "file_%0d%0aX-Evil:%201", "file_" + "0" * 400, "~root", "%c0%ae%c0%ae%2f", "con", "\\..\\x"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/files/{}", "/files/{}/content", "/images/{}"])
def test_no_id_leads_anywhere(house: House, path: str, odd: str) -> None:
    target = path.format(odd)

    reply = house.owner.get(target)

    # `..` is a part of the path like any other; what is no id is no route.
    assert reply.status in {400, 404} or (reply.status, "data" in reply.json) == (200, True)
    assert b"SQLite format" not in reply.raw
    assert "X-Evil" not in reply.headers


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS"])
def test_the_other_route_below_images_is_no_job(house: House, method: str) -> None:
    reply = house.owner.call(method, "/images/generations")

    assert (reply.status, set(reply.headers["Allow"].split(", "))) == (405, {"POST"})


@pytest.mark.parametrize("model", ["picture-at-svg", "picture-at-html", "picture-at-lying"])
def test_what_a_browser_would_run_is_never_kept(house: House, model: str) -> None:
    before = house.blobs()

    reply = house.owner.post("/images/generations", {"model": f"scripted/{model}", "prompt": "a cat"})

    assert reply.status == 502
    assert house.blobs() == before


def test_a_shared_key_has_neither_images_nor_files(house: House) -> None:
    team = house.owner.post("/admin/teams", {"name": "painters"}).json
    me = house.owner.get("/me").json if house.owner.get("/me").status == 200 else None
    key = house.owner.post("/keys", {"name": "shared", "team_id": team["id"]})
    if key.status != 201:  # only who leads the team shares a key in it
        user_id = me["id"] if me else house.rows("SELECT id FROM users ORDER BY id LIMIT 1")[0][0]
        put = house.owner.call("PUT", f"/admin/teams/{team['id']}/members/{user_id}", {"role": "lead"})
        assert put.status in {200, 204}, put.raw
        key = house.owner.post("/keys", {"name": "shared", "team_id": team["id"]})
    shared = Caller(house.gateway.port).bearing(key.json["key"])
    file_id = house.a_file(house.owner)
    order = {"model": "scripted/picture", "prompt": "a cat"}

    statuses = {
        *(shared.post(path, order).status for path in ("/images", "/images/generations")),
        *(shared.get(path).status for path in ("/images", "/files", f"/files/{file_id}", f"/files/{file_id}/content")),
        shared.call("DELETE", f"/files/{file_id}").status,
    }

    assert statuses == {403}
    assert house.owner.get(f"/files/{file_id}").status == 200
