"""What the repositories of limits and administration do. Provide the fixture `begin` on an empty store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from application.admin_store import WorkerState
from domain.audit import SYSTEM, Actor, AuditEntry
from domain.limits import NO_LIMITS, Bound, Budget, Kind, Limits, Unit, Window
from domain.provider_credential import PriceChange, ProviderCredential
from tests.builders import NOW

EMOJI = "Grüße 😀 👩‍💻 漢字 𝔘"
LATER = NOW + timedelta(hours=1)
LIMITS = Limits(
    rpm=60,
    tpm=10_000_000_000,
    concurrency=4,
    budgets=(Budget(Unit.MONEY, Window.MONTH, 9_000_000_000_000_000), Budget(Unit.TOKENS, Window.DAY, 1)),
    shadow=True,
)


def a_credential(**fields):
    given = {
        "id": "cred_1",
        "provider": "acme",
        "name": EMOJI,
        "sealed": bytes(range(256)),
        "last4": "wxyz",
        "created_at": NOW,
        "created_by": "usr_1",
    }
    return ProviderCredential(**{**given, **fields})


def a_change(number=1, **fields):
    given = {"id": f"price_{number}", "model": "acme/large", "at": NOW, "by": "usr_1", "input": 1, "output": 2}
    return PriceChange(**{**given, **fields})


def an_audit_entry(number=1, **fields):
    given = {
        "id": f"audit_{number}",
        "at": NOW,
        "actor": Actor("usr_1", "key_1", "2001:db8::1", "req_1"),
        "action": "key.revoke",
        "object_id": "key_2",
    }
    return AuditEntry(**{**given, **fields})


def ids(rows):
    return [row.id for row in rows]


class LimitBookContract:
    def test_limits_come_back_as_they_were_put(self, begin):
        with begin() as work:
            work.limits.put(Kind.KEY, "key_1", LIMITS)

        with begin() as work:
            assert work.limits.get(Kind.KEY, "key_1") == LIMITS

    def test_where_nothing_was_put_nothing_is_limited(self, begin):
        with begin() as work:
            work.limits.put(Kind.KEY, "x", LIMITS)

        with begin() as work:
            assert work.limits.get(Kind.USER, "x") == work.limits.get(Kind.KEY, "X") == NO_LIMITS

    def test_putting_again_takes_the_place_of_all_of_it(self, begin):
        for limits in (LIMITS, Limits(rpm=1)):
            with begin() as work:
                work.limits.put(Kind.USER, "usr_1", limits)

        with begin() as work:
            assert work.limits.get(Kind.USER, "usr_1") == Limits(rpm=1)

    def test_putting_no_limits_forgets_the_subject(self, begin):
        with begin() as work:
            work.limits.put(Kind.USER, "usr_1", LIMITS)
            work.limits.put(Kind.USER, "usr_1", NO_LIMITS)
            work.limits.put(Kind.USER, "usr_2", NO_LIMITS)

        with begin() as work:
            assert work.limits.all(Kind.USER) == []

    def test_all_of_a_kind_are_listed_by_id(self, begin):
        with begin() as work:
            for kind, subject_id in ((Kind.TEAM, "b"), (Kind.TEAM, "a"), (Kind.USER, "c"), (Kind.GLOBAL, "")):
                work.limits.put(kind, subject_id, LIMITS)

        with begin() as work:
            assert work.limits.all(Kind.TEAM) == [Bound(Kind.TEAM, "a", LIMITS), Bound(Kind.TEAM, "b", LIMITS)]
            assert work.limits.all(Kind.GLOBAL) == [Bound(Kind.GLOBAL, "", LIMITS)]


class CredentialsContract:
    def test_a_credential_comes_back_as_it_was_stored(self, begin):
        given = [a_credential(id="cred_2", base_url="https://example.org/v1", disabled=True), a_credential()]
        with begin() as work:
            for credential in given:
                work.credentials.add(credential)

        with begin() as work:
            assert work.credentials.all() == given[::-1]
            assert work.credentials.get("cred_2") == given[0]
            assert work.credentials.get("cred_3") is None

    def test_saving_keeps_the_key_itself(self, begin):
        changed = a_credential(sealed=b"other", provider="other", name="new", base_url="https://x", disabled=True)
        with begin() as work:
            work.credentials.add(a_credential())
            work.credentials.save(changed)

        with begin() as work:
            expected = replace(a_credential(), name="new", base_url="https://x", disabled=True)
            assert work.credentials.get("cred_1") == expected

    def test_a_deleted_credential_is_gone(self, begin):
        with begin() as work:
            work.credentials.add(a_credential())
            work.credentials.delete("cred_1")
            work.credentials.delete("cred_2")

        with begin() as work:
            assert work.credentials.all() == []


class PriceChangesContract:
    @pytest.fixture
    def changed(self, begin):
        with begin() as work:
            for change in (
                a_change(3),
                a_change(1),
                a_change(2, model="acme/Small"),
                a_change(4, model="z", input=None),
            ):
                work.prices.add(change)
        return begin

    def test_a_change_comes_back_as_it_was_stored(self, begin):
        change = a_change(input=9_000_000_000_000_000, output=0, cached_input=3, cache_write=4, reasoning=5, at=LATER)
        with begin() as work:
            work.prices.add(change)

        with begin() as work:
            assert work.prices.latest() == work.prices.history(None, 10, None) == [change]

    def test_the_newest_version_of_each_model_counts(self, changed):
        with changed() as work:
            assert ids(work.prices.latest()) == ["price_2", "price_3", "price_4"]

    def test_the_history_goes_from_newest_to_oldest(self, changed):
        with changed() as work:
            assert ids(work.prices.history("acme/large", 10, None)) == ["price_3", "price_1"]
            assert ids(work.prices.history(None, 2, None)) == ["price_4", "price_3"]
            assert ids(work.prices.history(None, 2, "price_3")) == ["price_2", "price_1"]


class AuditContract:
    def test_an_entry_comes_back_as_it_was_stored(self, begin):
        before = {"name": EMOJI, "rpm": None, "models": ["a", "b"], "budget": {"amount": 9_000_000_000_000_000}}
        entry = an_audit_entry(before=before, after={"disabled": True, "at": NOW.isoformat()})
        with begin() as work:
            work.audit.add(entry)
            work.audit.add(an_audit_entry(2, actor=SYSTEM))

        with begin() as work:
            assert work.audit.page(10, None) == [an_audit_entry(2, actor=SYSTEM), entry]

    @pytest.mark.parametrize(
        ("action", "found"),
        [
            ("key", ["audit_4", "audit_2", "audit_1"]),
            ("key.revoke", ["audit_2", "audit_1"]),
            ("ke", []),
            ("KEY", []),
            ("k%", []),
            ("k_y", []),
            ("keys", ["audit_3"]),
            ("", []),
        ],
    )
    def test_an_action_finds_itself_and_what_is_under_it(self, begin, action, found):
        with begin() as work:
            for number, name in enumerate(("key.revoke", "key.revoke.again", "keys.list", "key", "key_"), 1):
                work.audit.add(an_audit_entry(number, action=name))

        with begin() as work:
            assert ids(work.audit.page(10, None, action=action)) == found

    def test_pages_of_an_actor_follow_each_other(self, begin):
        with begin() as work:
            for number in range(1, 7):
                work.audit.add(an_audit_entry(number, actor=Actor(f"usr_{number % 2}", None)))

        with begin() as work:
            first = ids(work.audit.page(2, None, user_id="usr_1"))
            second = ids(work.audit.page(2, first[-1], user_id="usr_1", action="key"))
        assert (first, second) == (["audit_5", "audit_3"], ["audit_1"])


class WorkerStatesContract:
    def test_the_last_state_of_each_worker_that_was_seen_is_told_by_id(self, begin):
        first, last = (
            WorkerState("b", "host", NOW, NOW, {"open": 1}),
            WorkerState("b", EMOJI, NOW, LATER, {"x": [None]}),
        )
        other = WorkerState("a", "host", NOW, LATER, {})
        for state in (first, last, other, WorkerState("c", "host", NOW, NOW, {})):
            with begin() as work:
                work.workers.put(state)

        with begin() as work:
            assert work.workers.seen_since(LATER) == [other, last]

    def test_workers_that_were_not_seen_for_long_are_swept(self, begin):
        with begin() as work:
            work.workers.put(WorkerState("a", "host", NOW, NOW, {}))
            work.workers.put(WorkerState("b", "host", NOW, LATER, {}))
            work.workers.sweep(LATER)

        with begin() as work:
            assert ids(work.workers.seen_since(NOW)) == ["b"]


class AdminStoreContract(
    LimitBookContract, CredentialsContract, PriceChangesContract, AuditContract, WorkerStatesContract
):
    """Everything above."""
