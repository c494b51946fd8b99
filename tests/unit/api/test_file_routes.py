"""`/files`: what is told of them, and how their contents leave."""

import pytest

from domain.stored_file import Purpose, StoredFile
from domain.user import Role
from tests.builders import NOW

FILES = "/api/v1/files"
FIELDS = ["id", "name", "purpose", "media_type", "size", "sha256", "request_id", "created_at"]
CONTENT = b"<script>alert(1)</script>"


def put(site, number=1, **fields):
    given = {
        "id": f"file_{number}",
        "user_id": "usr_1",
        "purpose": Purpose.IMAGE,
        "name": "cat.png",
        "media_type": "image/png",
        "size": len(CONTENT),
        "sha256": "ab" * 32,
        "blob": site.world.blobs.put(CONTENT),
        "created_at": NOW,
        "request_id": "req_1",
    }
    with site.world.begin() as work:
        work.files.add(StoredFile(**{**given, **fields}))


def test_a_file_has_these_fields_in_this_order(site):
    put(site)

    file = site.get(f"{FILES}/file_1").json

    assert list(file) == FIELDS
    assert (file["purpose"], file["size"], file["created_at"]) == ("image_output", 25, "2026-11-21T12:00:00Z")
    assert "blob" not in file


def test_files_are_pages_and_may_be_filtered(site):
    for number in (1, 2, 3):
        put(site, number)

    first = site.get(f"{FILES}?limit=2&purpose=image_output").json
    second = site.get(f"{FILES}?limit=2&cursor={first['next_cursor']}").json

    assert [file["id"] for file in first["data"] + second["data"]] == ["file_3", "file_2", "file_1"]
    assert second["next_cursor"] is None
    assert site.get(f"{FILES}?purpose=else").status_code == 400


def test_a_content_is_a_download_whatever_it_claims_to_be(site):
    put(site, media_type="image/svg+xml", name='x"\r\nSet-Cookie: a=b.svg')

    answer = site.get(f"{FILES}/file_1/content")

    assert (answer.status_code, answer.data) == (200, CONTENT)
    headers = answer.headers
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''x%22%0D%0ASet-Cookie%3A%20a%3Db.svg"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert (headers["Cache-Control"], headers["ETag"], headers["Content-Length"]) == (
        "no-store",
        f'"{"ab" * 32}"',
        "25",
    )
    assert "Set-Cookie" not in headers
    assert all(content.closed for content in site.world.blobs.opened)


def test_a_head_tells_the_same_without_the_content(site):
    put(site)

    answer = site.client.head(f"{FILES}/file_1/content", headers=site.headers, buffered=True)

    assert (answer.status_code, answer.data, answer.headers["Content-Length"]) == (200, b"", "25")
    assert answer.headers["ETag"] == f'"{"ab" * 32}"'
    assert all(content.closed for content in site.world.blobs.opened)


def test_a_content_is_sent_piece_by_piece(site):
    put(site)

    answer = site.client.get(f"{FILES}/file_1/content", headers=site.headers, buffered=False)

    assert len(list(answer.iter_encoded())) > 1
    answer.close()
    assert site.world.blobs.opened[0].closed


def test_a_client_that_takes_nothing_is_waited_for_as_long_as_for_a_stream(site):
    class Client:
        def __init__(self):
            self.timeouts = []

        def settimeout(self, seconds):
            self.timeouts.append(seconds)

    put(site)
    client = Client()
    site.get(f"{FILES}/file_1/content", environ_overrides={"gunicorn.socket": client})

    assert client.timeouts == [30.0, None]


def test_a_deleted_file_is_gone(site):
    put(site)

    assert site.delete(f"{FILES}/file_1").status_code == 204
    assert site.get(f"{FILES}/file_1").status_code == 404
    assert site.get(f"{FILES}/file_1/content").status_code == 404
    assert site.world.blobs.kept == {}


def test_a_file_without_its_content_says_that_it_is_gone(site):
    put(site, blob="f" * 32)

    assert site.get(f"{FILES}/file_1").status_code == 200
    assert site.get(f"{FILES}/file_1/content").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/file_1"), ("GET", "/file_1/content"), ("HEAD", "/file_1/content"), ("DELETE", "/file_1")],
)
def test_a_foreign_file_does_not_exist(site, method, path):
    put(site)
    site.become(Role.OWNER)

    assert site.client.open(FILES + path, method=method, headers=site.headers).status_code == 404
    assert list(site.world.begin.rows.files) == ["file_1"]


def test_files_cannot_be_uploaded(site):
    assert site.post(FILES, {"purpose": "image_output"}).status_code == 405


@pytest.mark.parametrize("path", ["/..%2f..%2fetc%2fpasswd", "/../../etc/passwd", "/%00", "/file_1%2Fcontent%2F.."])
def test_no_path_leads_elsewhere(site, path):
    assert site.get(FILES + path).status_code in {404, 400}
