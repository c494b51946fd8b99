from datetime import timedelta

import orjson
import pytest

from application.admin_store import WorkerState
from domain.audit import SYSTEM, Actor, AuditEntry
from domain.errors import DatabaseUnavailable
from domain.ledger import State
from domain.mail import Locale, MailKind, QueuedMail
from domain.team import Team
from tests.builders import NOW, a_key, a_token, a_user, an_entry

ADMIN = "/api/v1/admin"
TOTAL = {
    "requests": 1,
    "prompt_tokens": 12,
    "completion_tokens": 3,
    "cached_tokens": 0,
    "reasoning_tokens": 0,
    "cost": 0.00001,
    "unpriced_requests": 0,
}


@pytest.fixture
def site(clean_site):
    return clean_site


@pytest.fixture
def used(admin):
    """Ada used a key of her own and one of her team's, Bob his own."""
    entries = [
        an_entry(request_id="req_1", charged=10_000, cost=9_000, started_at=NOW - timedelta(days=1)),
        an_entry(request_id="req_2", charged=20_000, key_id="key_t", state=State.FAILED),
        an_entry(request_id="req_3", charged=70_000, user_id="usr_2", key_id="key_b", model_used="acme/small"),
    ]
    with admin.world.begin() as work:
        work.users.add(a_user(id="usr_2", email="bob@example.org"))
        work.teams.add(Team("team_1", "Red", NOW))
        work.keys.add(a_key(a_token(kid="t" * 10), id="key_t", team_id="team_1"))
    admin.world.begin.rows.ledger |= {(it.request_id, 0, it.kind): it for it in entries}
    return admin


# ── usage and records ────────────────────────────────────────────────────────────────────────────────────────────


def test_use_is_summed_up_by_day_unless_told_otherwise(used):
    answer = used.get(f"{ADMIN}/usage?until=2026-11-20")

    assert answer.json == {"by": "day", "data": [{"group": "2026-11-20", "total": TOTAL}]}


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("day", ["2026-11-20", "2026-11-21"]),
        ("user", ["usr_2", "usr_1"]),
        ("team", ["", "team_1"]),
        ("model", ["acme/small", "acme/large"]),
        ("key", ["key_b", "key_t", "key_1"]),
    ],
)
def test_use_is_summed_up_in_groups(used, by, groups):
    answer = used.get(f"{ADMIN}/usage?by={by}")

    assert answer.json["by"] == by
    assert [it["group"] for it in answer.json["data"]] == groups


FILTERS = [
    ("user_id=usr_1", ["req_2", "req_1"]),
    ("team_id=team_1", ["req_2"]),
    ("key_id=key_b", ["req_3"]),
    ("model=acme/large", ["req_2", "req_1"]),
    ("since=2026-11-21", ["req_3", "req_2"]),
    ("since=2026-11-20&until=2026-11-20", ["req_1"]),
    ("user_id=%25", []),
]


@pytest.mark.parametrize(("query", "found"), [*FILTERS, ("state=failed", ["req_2"])])
def test_records_are_everybodys_and_filtered(used, query, found):
    assert [it["request_id"] for it in used.get(f"{ADMIN}/records?{query}").json["data"]] == found


@pytest.mark.parametrize(("query", "found"), FILTERS)
def test_use_is_filtered_as_records_are(used, query, found):
    groups = used.get(f"{ADMIN}/usage?{query}").json["data"]

    assert sum(it["total"]["requests"] for it in groups) == len(found)


def test_a_record_tells_whose_it_is_and_what_the_provider_bills(used):
    first = used.get(f"{ADMIN}/records?limit=2").json
    second = used.get(f"{ADMIN}/records?limit=2&cursor={first['next_cursor']}").json

    assert [it["request_id"] for it in first["data"]] == ["req_3", "req_2"]
    (record,) = second["data"]
    assert second["next_cursor"] is None
    told = {"request_id": "req_1", "user_id": "usr_1", "key_id": "key_1", "provider": "acme", "model": "acme/large"}
    assert (told | {"cost": 0.00001, "provider_cost": 0.000009, "state": "completed"}).items() <= record.items()


@pytest.mark.parametrize(
    "query",
    ["by=hour", "since=yesterday", "since=20261121", "since=2026-W47-6", "until=2026-02-30", "user_id=", "model=a b"],
)
def test_a_question_that_makes_no_sense_is_refused(used, query):
    assert used.get(f"{ADMIN}/usage?{query}").status_code == 400


@pytest.mark.parametrize("query", ["state=lost", "limit=0", "limit=101", "by=day", "since=2026-11-21T12:00:00Z"])
def test_records_that_cannot_be_are_not_looked_for(used, query):
    assert used.get(f"{ADMIN}/records?{query}").status_code == 400


# ── audit ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _log(site, number, actor=SYSTEM):
    for index in range(number):
        action = "key.revoke" if index % 2 else "user.change"
        entry = AuditEntry(f"aud_{index:06}", NOW, actor, action, "key_1", {"name": "ä\n"}, {"name": "b"})
        site.world.begin.rows.audit[entry.id] = entry


ENTRY = {
    "id": "aud_000000",
    "at": "2026-11-21T12:00:00Z",
    "action": "user.change",
    "object_id": "key_1",
    "user_id": "usr_1",
    "key_id": "key_1",
    "ip": "192.0.2.7",
    "request_id": "req_1",
    "before": {"name": "ä\n"},
    "after": {"name": "b"},
}


def test_an_entry_tells_who_did_what_and_from_where(admin):
    _log(admin, 1, Actor("usr_1", "key_1", "192.0.2.7", "req_1"))

    assert admin.get(f"{ADMIN}/audit").json == {"data": [ENTRY], "next_cursor": None}


def test_a_command_on_the_server_has_neither_user_nor_key(admin):
    _log(admin, 1)

    (entry,) = admin.get(f"{ADMIN}/audit").json["data"]
    assert (entry["user_id"], entry["key_id"]) == (None, None)


def test_the_log_comes_newest_first_in_pages(admin):
    _log(admin, 5)
    first = admin.get(f"{ADMIN}/audit?limit=3").json
    second = admin.get(f"{ADMIN}/audit?limit=3&cursor={first['next_cursor']}").json

    assert [it["id"][-1] for it in first["data"] + second["data"]] == ["4", "3", "2", "1", "0"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "found"),
    [("action=key", ["3", "1"]), ("action=user.change", ["2", "0"]), ("user_id=usr_1", []), ("action=%25", [])],
)
def test_the_log_is_filtered(admin, query, found):
    _log(admin, 4)

    assert [it["id"][-1] for it in admin.get(f"{ADMIN}/audit?{query}").json["data"]] == found


def test_what_an_administrator_does_is_in_the_log(admin):
    admin.patch(f"{ADMIN}/users/usr_1", {"role": "viewer"})

    (entry,) = admin.get(f"{ADMIN}/audit").json["data"]
    assert (entry["action"], entry["object_id"], entry["user_id"]) == ("user.change", "usr_1", "usr_admin")
    assert (entry["before"], entry["after"]) == ({"role": "member"}, {"role": "viewer"})


@pytest.mark.parametrize("number", [0, 1, 1_203])
def test_an_export_has_every_entry_on_a_line_of_its_own(admin, number):
    _log(admin, number, Actor("usr_1", "key_1", "192.0.2.7", "req_1"))
    answer = admin.get(f"{ADMIN}/audit/export")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="audit.ndjson"'
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    entries = [orjson.loads(line) for line in answer.text.split("\n")[:-1]]
    assert [entry["id"] for entry in entries] == sorted(admin.world.begin.rows.audit, reverse=True)
    assert all(entry == ENTRY for entry in entries[-1:])


def test_an_export_is_made_page_by_page_and_holds_no_transaction(admin):
    _log(admin, 1_203)
    begin = admin.world.begin
    answer = admin.client.get(f"{ADMIN}/audit/export", headers=admin.headers)
    before, lines = begin.begun, 0
    for piece in answer.iter_encoded():
        lines += piece.count(b"\n")
        assert begin.open == 0

    assert lines == 1_203
    assert begin.begun - before == 3, "the first page was read before the status line; the last one was empty"


def test_an_export_that_is_cut_says_so(admin):
    _log(admin, 1_000)
    answer = admin.client.get(f"{ADMIN}/audit/export", headers=admin.headers)
    pieces = answer.iter_encoded()
    assert next(pieces).count(b"\n") == 500

    admin.world.begin.down = DatabaseUnavailable()
    (last,) = pieces
    told = orjson.loads(last)["error"]
    assert (told["code"], told["request_id"]) == ("db_unavailable", answer.headers["X-Request-Id"])


def test_an_export_that_cannot_begin_has_a_status_of_its_own(admin, monkeypatch):
    def page(*_, **__):
        raise DatabaseUnavailable

    monkeypatch.setattr("tests.memory_admin.MemoryAudit.page", page)

    assert admin.get(f"{ADMIN}/audit/export").status_code == 503


def test_the_bytes_of_an_export_are_counted(admin):
    _log(admin, 3)
    answer = admin.get(f"{ADMIN}/audit/export")

    assert admin.world.record.facts[-1].bytes == len(answer.data)


# ── status ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_status_shows_what_the_workers_told_of_themselves(admin):
    now = admin.world.clock.now()
    with admin.world.begin() as work:
        work.workers.put(WorkerState("wrk_1", "web-1", now, now, {"in_flight": 2, "breakers": {"acme": "open"}}))
        work.workers.put(WorkerState("wrk_2", "web-2", now, now - timedelta(minutes=1), {}))
        work.outbox.put(QueuedMail("mail_1", MailKind.RESET, "a@example.org", Locale.EN, now, now))

    assert admin.get(f"{ADMIN}/status").json == {
        "workers": [
            {
                "id": "wrk_1",
                "host": "web-1",
                "started_at": "2026-11-21T12:00:00Z",
                "seen_at": "2026-11-21T12:00:00Z",
                "state": {"in_flight": 2, "breakers": {"acme": "open"}},
            }
        ],
        "mails_waiting": 1,
    }


@pytest.mark.parametrize("path", ["usage", "records", "audit", "audit/export", "status"])
def test_a_member_sees_none_of_it(site, path):
    answer = site.get(f"{ADMIN}/{path}")

    assert (answer.status_code, answer.json["error"]["code"]) == (403, "forbidden")
