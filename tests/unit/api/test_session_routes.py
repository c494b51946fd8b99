from dataclasses import replace

import pytest

from tests.builders import a_history, a_session

FIELDS = [
    "id",
    "title",
    "ai_provider",
    "model",
    "config",
    "message_count",
    "active_request_id",
    "created_at",
    "updated_at",
]
MESSAGE_FIELDS = [
    "id",
    "session_id",
    "seq",
    "role",
    "content",
    "state",
    "model",
    "finish_reason",
    "request_id",
    "created_at",
]
CONFIG = {
    "temperature": None,
    "max_tokens": None,
    "top_p": None,
    "system_prompt": None,
    "history": 40,
    "context": "sliding",
}


def _foreign(site):
    site.world.configure(user_id="usr_2")


def test_a_session_is_opened_with_what_was_named_and_defaults_for_the_rest(site):
    answer = site.post("/api/v1/sessions", {"title": "Trip", "config": {"temperature": 0.5}})

    assert answer.status_code == 201
    assert list(answer.json) == FIELDS
    assert answer.json == {
        "id": answer.json["id"],
        "title": "Trip",
        "ai_provider": "acme",
        "model": "large",
        "config": {**CONFIG, "temperature": 0.5},
        "message_count": 0,
        "active_request_id": None,
        "created_at": "2026-11-21T12:00:00Z",
        "updated_at": "2026-11-21T12:00:00Z",
    }


def test_an_empty_body_opens_a_session_too(site):
    assert site.post("/api/v1/sessions", {}).status_code == 201


def test_a_session_of_an_unknown_model_is_not_opened(site):
    answer = site.post("/api/v1/sessions", {"ai_provider": "acme", "model": "none"})

    assert answer.status_code == 404
    assert answer.json["error"]["code"] == "model_not_found"


def test_a_session_is_read(site):
    assert site.get("/api/v1/sessions/sess_1").json["id"] == "sess_1"


def test_a_change_names_what_changes_and_nothing_else_does(site):
    site.patch("/api/v1/sessions/sess_1", {"config": {"temperature": 1, "system_prompt": "Be brief."}})
    answer = site.patch("/api/v1/sessions/sess_1", {"title": "New", "config": {"temperature": None}})

    assert answer.status_code == 200
    assert answer.json["title"] == "New"
    assert answer.json["config"] == {**CONFIG, "system_prompt": "Be brief."}
    assert answer.json["model"] == "large"


def test_an_empty_change_changes_nothing_but_the_time(site):
    before = site.world.session()
    site.patch("/api/v1/sessions/sess_1", {})

    assert replace(site.world.session(), updated_at=before.updated_at) == before


def test_a_deleted_session_is_gone(site):
    answer = site.delete("/api/v1/sessions/sess_1")

    assert answer.status_code == 204
    assert answer.data == b""
    assert "Content-Type" not in answer.headers
    assert "Content-Length" not in answer.headers
    assert site.get("/api/v1/sessions/sess_1").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/sessions/sess_1"),
        ("PATCH", "/api/v1/sessions/sess_1"),
        ("DELETE", "/api/v1/sessions/sess_1"),
        ("GET", "/api/v1/sessions/sess_1/messages"),
        ("GET", "/api/v1/sessions/sess_1/export"),
    ],
)
def test_a_foreign_session_does_not_exist_on_any_route(site, method, path):
    _foreign(site)
    before = site.world.session()
    body = {"json": {"title": "mine"}} if method == "PATCH" else {}
    answer = site.client.open(path, method=method, headers=site.headers, **body)

    assert answer.status_code == 404
    assert answer.json["error"]["code"] == "not_found"
    assert site.world.session() == before


def _add(site, number):
    with site.world.begin() as work:
        for index in range(number):
            work.sessions.add(a_session(id=f"sess_{index + 2}"))


def test_pages_follow_each_other_without_gap_or_repetition(site):
    _add(site, 6)
    seen, cursor = [], None
    while True:
        page = site.get("/api/v1/sessions", query_string={"limit": 3, **({"cursor": cursor} if cursor else {})}).json
        seen += [session["id"] for session in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == [f"sess_{number}" for number in range(7, 0, -1)]


def test_a_page_that_ends_exactly_at_the_end_says_so(site):
    _add(site, 2)

    assert site.get("/api/v1/sessions?limit=3").json["next_cursor"] is None


def test_an_empty_list_is_a_page(site):
    _foreign(site)

    assert site.get("/api/v1/sessions").json == {"data": [], "next_cursor": None}


def _talk(site, *texts):
    for message in a_history(*texts):
        site.world.begin.rows.messages[message.id] = message


def test_messages_come_oldest_first_in_pages(site):
    _talk(site, "one", "two", "three")
    first = site.get("/api/v1/sessions/sess_1/messages?limit=2").json
    second = site.get(f"/api/v1/sessions/sess_1/messages?limit=2&cursor={first['next_cursor']}").json

    assert [message["content"] for message in first["data"]] == ["one", "two"]
    assert [message["content"] for message in second["data"]] == ["three"]
    assert second["next_cursor"] is None


def test_a_message_has_these_fields_in_this_order(site):
    _talk(site, "one")
    (message,) = site.get("/api/v1/sessions/sess_1/messages").json["data"]

    assert list(message) == MESSAGE_FIELDS
    assert message["state"] == "complete"


def test_an_export_is_a_file_with_everything(site):
    _talk(site, "one", "two")
    answer = site.get("/api/v1/sessions/sess_1/export")

    assert answer.headers["Content-Disposition"] == 'attachment; filename="sess_1.json"'
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.json["session"]["id"] == "sess_1"
    assert [message["content"] for message in answer.json["messages"]] == ["one", "two"]


def test_an_export_for_people_is_markdown(site):
    site.world.configure(title="A\ntrip")
    _talk(site, "Where?", "**There.**")
    answer = site.get("/api/v1/sessions/sess_1/export?format=markdown")

    assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="sess_1.md"'
    assert answer.text == (
        "# A trip\n\nacme/large · 2026-11-21T12:00:00+00:00\n\n## You\n\nWhere?\n\n## Assistant\n\n**There.**\n"
    )
