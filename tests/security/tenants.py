"""Two tenants on a running gateway, and every kind of caller that must not get at the first one's things."""

import hashlib
import sqlite3
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.servers.caller import Caller, Reply
from tests.servers.gateway import Gateway
from tests.servers.program import wait_until

CANARY = "canary-7f3e9b1c"
"""Stands in everything that belongs to the victim."""
ALL = ["chat", "embeddings", "images", "files", "usage:read", "keys"]
"""Every scope of a member."""
PASSWORD = "correct horse 17 battery"

UNTOUCHED = (
    *("users", "api_keys", "logins", "sessions", "messages", "teams", "team_members", "limits", "usage_ledger"),
    *("files", "image_jobs"),
)
_ALIVE = {"last_used_at", "seen_at"}
"""Columns that change when their owner merely does something."""


@dataclass
class Tenants:
    gateway: Gateway
    ids: dict[str, str] = field(default_factory=dict)
    """Of the victim's objects, by the name that they have in paths and bodies."""
    callers: dict[str, Caller] = field(default_factory=dict)
    _logins: dict[str, Caller] = field(default_factory=dict)

    def make(self) -> "Tenants":
        self.admin = Caller(self.gateway.port).bearing(self.gateway.key)
        for name in ("victim", "mallory", "colleague", "viewer", "sleeper"):
            self._user(name)
        self._make_victim()
        self._make_callers()
        return self

    def password_login(self, name: str) -> str:
        answer = Caller(self.gateway.port).post("/auth/login", {"email": f"{name}@example.org", "password": PASSWORD})
        return str(ok(answer)["access_token"])

    def checksum(self) -> dict[str, str]:
        """Of every row, by table; what the victim has must not change."""
        found = {}
        with sqlite3.connect(f"file:{self.gateway.folder}/var/parley.db?mode=ro", uri=True) as database:
            database.row_factory = sqlite3.Row
            for table in UNTOUCHED:
                rows = sorted(repr(_steady(row)) for row in database.execute(f'SELECT * FROM "{table}"'))  # noqa: S608 - ours
                found[table] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
        return found

    def _user(self, name: str) -> None:
        Caller(self.gateway.port).post("/auth/register", {"email": f"{name}@example.org", "password": PASSWORD})
        self._logins[name] = Caller(self.gateway.port).bearing(self.password_login(name))
        self.ids[f"{name}_id"] = ok(self._logins[name].get("/me"))["id"]

    def _key(self, name: str, **more: Any) -> dict[str, Any]:
        return dict(ok(self._logins[name].post("/keys", {"name": f"of {name}", "scopes": ALL, **more})))

    def _make_victim(self) -> None:
        victim = self._logins["victim"]
        team = ok(self.admin.post("/admin/teams", {"name": f"team {CANARY}"}))
        for name, role in (("victim", "lead"), ("colleague", "member")):
            ok(self.admin.call("PUT", f"/admin/teams/{team['id']}/members/{self.ids[f'{name}_id']}", {"role": role}))
        session = ok(victim.post("/sessions", {"title": CANARY, "ai_provider": "echo", "model": "echo"}))
        turn = ok(victim.post("/chat", {"session_id": session["id"], "message": f"remember {CANARY}"}))
        key = ok(victim.post("/keys", {"name": CANARY}))
        shared = ok(victim.post("/keys", {"name": f"shared {CANARY}", "team_id": team["id"]}))
        login = ok(victim.get("/auth/logins"))["data"][0]
        job = self._painted(victim)
        invited = ok(self.admin.post("/admin/invitations", {"email": f"{CANARY}@example.org", "role": "member"}))
        credential = {
            "provider": "openai",
            "name": CANARY,
            "secret": f"sk-{CANARY}-0123456789",
            "base_url": "https://api.example.org/v1",
        }
        self.ids |= {
            "session_id": session["id"],
            "job_id": job["id"],
            "file_id": job["files"][0]["id"],
            "request_id": turn["request_id"],
            "key_id": key["id"],
            "shared_key_id": shared["id"],
            "login_id": login["id"],
            "team_id": team["id"],
            "user_id": self.ids["victim_id"],
            "invitation_id": invited["id"],
            "credential_id": ok(self.admin.post("/admin/providers/credentials", credential))["id"],
        }
        self.victim = victim

    def _painted(self, victim: Caller) -> dict[str, Any]:
        """A job that is over, with its file."""
        job_id = ok(victim.post("/images", {"model": "echo/echo", "prompt": CANARY}))["id"]
        wait_until(lambda: ok(victim.get(f"/images/{job_id}"))["status"] == "succeeded", 20, "the end of the job")
        return dict(ok(victim.get(f"/images/{job_id}")))

    def _make_callers(self) -> None:
        """Every kind that reliability asks for; none of them may see or change anything of the victim's."""
        port = self.gateway.port
        mallory = self._key("mallory")["key"]
        expired, revoked = self._expired(), self._key("mallory")
        ok(self._logins["mallory"].call("DELETE", f"/keys/{revoked['id']}"))
        sleeper, viewer = self._key("sleeper")["key"], self._key("viewer")["key"]
        ok(self.admin.call("PATCH", f"/admin/users/{self.ids['sleeper_id']}", {"disabled": True}))
        ok(self.admin.call("PATCH", f"/admin/users/{self.ids['viewer_id']}", {"role": "viewer"}))
        ended = self.password_login("mallory")
        ok(Caller(port).bearing(ended).post("/auth/logout"))
        tokens = {
            "malformed": "parley_live_nonsense",
            "wrong checksum": mallory[:-1] + ("a" if mallory[-1] != "a" else "b"),
            "revoked key": revoked["key"],
            "expired key": expired,
            "disabled user": sleeper,
            "ended login": ended,
            "other user": mallory,
            "other user's login": self.password_login("mallory"),
            "colleague": self._key("colleague")["key"],
            "colleague's login": self.password_login("colleague"),
            "read-only key": self._key("mallory", scopes=["usage:read"])["key"],
            "key without the model": self._key("mallory", models=["openai/gpt-4o"])["key"],
            "viewer": viewer,
        }
        self.callers = {"nobody": Caller(port)} | {name: Caller(port).bearing(it) for name, it in tokens.items()}

    def _expired(self) -> str:
        soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
        key = str(self._key("mallory", expires_at=soon)["key"])
        time.sleep(1.1)
        return key


def ok(reply: Reply) -> Any:
    assert reply.status < 300, (reply.status, reply.raw)
    return reply.json


def _steady(row: sqlite3.Row) -> dict[str, Any]:
    return {name: row[name] for name in row.keys() if name not in _ALIVE}  # noqa: SIM118 - a Row iterates over its values
