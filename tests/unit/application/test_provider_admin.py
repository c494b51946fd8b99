"""Keys of providers and prices, entered by administrators."""

from dataclasses import fields, replace

import pytest

from application.live import PURPOSE
from application.provider_admin import CredentialOrder
from domain.audit import Actor
from domain.errors import Forbidden, InvalidRequest, NotFound, ReauthenticationRequired
from domain.provider_credential import ProviderCredential
from domain.usage import Price
from domain.user import Role, Scope
from tests.builders import a_principal

ADMIN = a_principal(role=Role.ADMIN)
ACTOR = Actor("usr_1", "key_1", "192.0.2.1", "req_1")
SECRET = "sk-0123456789abcdef"
ORDER = CredentialOrder("acme", "first", SECRET, "https://acme.example/v1/")


@pytest.fixture
def admin(world):
    return world.provider_admin


@pytest.fixture
def rows(world):
    return lambda: world.begin.rows


def audited(world):
    return [
        (it.action, it.object_id, it.actor, dict(it.before), dict(it.after)) for it in world.begin.rows.audit.values()
    ]


# ── rights ───────────────────────────────────────────────────────────────────────────────────────────────────────

CALLS = {
    "states": lambda admin, who: admin.states(who),
    "credentials": lambda admin, who: admin.credentials(who),
    "add": lambda admin, who: admin.add(who, ORDER, ACTOR),
    "change": lambda admin, who: admin.change(who, "cred_1", ACTOR, name="x", disabled=None),
    "remove": lambda admin, who: admin.remove(who, "cred_1", ACTOR),
    "price_list": lambda admin, who: admin.price_list(who),
    "price_history": lambda admin, who: admin.price_history(who, None, 10, None),
    "set_price": lambda admin, who: admin.set_price(who, "acme/large", Price(1, 2), ACTOR),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("who", "refusal"),
    [
        (a_principal(role=Role.MEMBER), Forbidden),
        (a_principal(role=Role.ADMIN, scopes=frozenset({Scope.CHAT})), Forbidden),
        (a_principal(role=Role.OWNER, login=True, recent=False), ReauthenticationRequired),
    ],
    ids=["member", "key without the scope", "old login"],
)
def test_all_of_it_is_for_administrators_with_a_recent_login(world, admin, call, who, refusal):
    with pytest.raises(refusal):
        call(admin, who)

    assert (world.begin.rows.credentials, world.begin.rows.prices, world.begin.rows.audit) == ({}, {}, {})


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_providers_are_told_as_they_are_in_force(admin):
    assert [state.name for state in admin.states(ADMIN)] == ["acme"]


def test_a_key_is_stored_sealed_with_its_tail(world, admin, rows):
    made = admin.add(ADMIN, ORDER, ACTOR)

    assert rows().credentials == {made.id: made}
    assert world.vault.open(PURPOSE, made.sealed) == SECRET
    assert (made.provider, made.name, made.last4) == ("acme", "first", "cdef")
    assert (made.created_at, made.created_by, made.disabled) == (world.clock.now(), "usr_1", False)
    assert made.base_url == "https://acme.example/v1"


def test_a_key_needs_no_address_of_its_own(admin):
    assert admin.add(ADMIN, replace(ORDER, base_url=None), ACTOR).base_url is None


def test_no_stored_field_but_the_sealed_one_holds_the_key(world, admin):
    made = admin.add(ADMIN, ORDER, ACTOR)

    assert all(SECRET not in str(getattr(made, it.name)) for it in fields(ProviderCredential))
    assert SECRET[:8] not in repr(audited(world)) + repr(ORDER)


@pytest.mark.parametrize(
    ("order", "param"),
    [
        (replace(ORDER, provider="nobody"), "provider"),
        (replace(ORDER, secret="two words"), "secret"),
        (replace(ORDER, base_url="http://llm.example.com"), "base_url"),
    ],
)
def test_what_cannot_work_is_refused_and_not_stored(admin, rows, order, param):
    with pytest.raises(InvalidRequest) as caught:
        admin.add(ADMIN, order, ACTOR)

    assert caught.value.param == param
    assert rows().credentials == {}


def test_keys_are_listed_oldest_first(admin):
    made = [admin.add(ADMIN, replace(ORDER, name=name), ACTOR) for name in ("a", "b")]

    assert admin.credentials(ADMIN) == made


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "second", "disabled": None}, ("second", False)),
        ({"name": None, "disabled": True}, ("first", True)),
        ({"name": "", "disabled": False}, ("", False)),
    ],
)
def test_a_change_changes_what_it_names(admin, rows, change, expected):
    made = admin.add(ADMIN, ORDER, ACTOR)

    changed = admin.change(ADMIN, made.id, ACTOR, **change)

    assert changed == rows().credentials[made.id] == replace(made, name=expected[0], disabled=expected[1])


def test_a_key_that_is_removed_is_gone(admin, rows):
    made = admin.add(ADMIN, ORDER, ACTOR)

    admin.remove(ADMIN, made.id, ACTOR)

    assert rows().credentials == {}


def test_a_key_that_does_not_exist_is_not_found(admin):
    with pytest.raises(NotFound):
        admin.change(ADMIN, "cred_0", ACTOR, name="x", disabled=None)
    with pytest.raises(NotFound):
        admin.remove(ADMIN, "cred_0", ACTOR)


def test_the_audit_log_tells_what_was_done_to_a_key_and_never_the_key(world, admin):
    made = admin.add(ADMIN, ORDER, ACTOR)
    admin.change(ADMIN, made.id, ACTOR, name=None, disabled=True)
    admin.remove(ADMIN, made.id, ACTOR)

    shown = {"provider": "acme", "name": "first", "base_url": "https://acme.example/v1", "disabled": False}
    assert audited(world) == [
        ("credential.create", made.id, ACTOR, {}, shown),
        ("credential.change", made.id, ACTOR, {"disabled": False}, {"disabled": True}),
        ("credential.delete", made.id, ACTOR, {**shown, "disabled": True}, {}),
    ]


# ── prices ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_prices_in_force_are_listed_by_model(admin):
    assert admin.price_list(ADMIN) == [("acme/large", Price(1_000_000, 2_000_000))]


def test_a_price_is_changed_by_adding_a_version(world, admin):
    first = admin.set_price(ADMIN, "acme/large", Price(5, 10), ACTOR)
    second = admin.set_price(ADMIN, "acme/large", Price(7, 10, 1, 2, 3), ACTOR)

    assert admin.price_history(ADMIN, "acme/large", 10, None) == [second, first]
    assert admin.price_history(ADMIN, None, 10, second.id) == [first]
    assert (second.input, second.output, second.cached_input, second.cache_write, second.reasoning) == (7, 10, 1, 2, 3)
    assert (second.at, second.by) == (world.clock.now(), "usr_1")


def test_a_price_that_is_taken_back_leaves_a_version_without_figures(admin):
    admin.set_price(ADMIN, "acme/large", Price(5, 10), ACTOR)

    gone = admin.set_price(ADMIN, "acme/large", None, ACTOR)

    assert (gone.input, gone.output) == (None, None)
    assert admin.price_history(ADMIN, None, 1, None) == [gone]


@pytest.mark.parametrize(
    "model",
    ["large", "acme/", "/large", "nobody/large", "acme/two words", "acme/größe", "acme/\n", "", "acme/" + "x" * 196],
)
def test_a_price_is_for_a_model_of_a_provider_that_there_could_be(admin, rows, model):
    with pytest.raises(InvalidRequest) as caught:
        admin.set_price(ADMIN, model, Price(1, 2), ACTOR)

    assert caught.value.param == "model"
    assert rows().prices == {}


def test_the_audit_log_has_the_old_price_and_the_new_one(world, admin):
    admin.set_price(ADMIN, "acme/large", Price(5, 10), ACTOR)
    admin.set_price(ADMIN, "acme/large", Price(5, 12), ACTOR)
    admin.set_price(ADMIN, "acme/large", None, ACTOR)

    (_, _, _, nothing, first), second, third = audited(world)
    assert (nothing, first["input"], first["output"]) == ({}, 5, 10)
    assert second == ("price.set", "acme/large", ACTOR, {"output": 10}, {"output": 12})
    assert third[0] == "price.remove"
    assert third[3:] == ({"input": 5, "output": 12}, {"input": None, "output": None})


# ── no change without its audit row ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "change",
    [
        lambda admin, made: admin.add(ADMIN, replace(ORDER, name=made.name), ACTOR),
        lambda admin, made: admin.change(ADMIN, made.id, ACTOR, name="x", disabled=True),
        lambda admin, made: admin.remove(ADMIN, made.id, ACTOR),
        lambda admin, made: admin.set_price(ADMIN, f"{made.provider}/large", Price(1, 2), ACTOR),
    ],
    ids=["add", "change", "remove", "price"],
)
def test_a_change_that_cannot_be_audited_does_not_happen(world, admin, change):
    made = admin.add(ADMIN, ORDER, ACTOR)
    world.begin.rows.refuse_audit = RuntimeError("the audit log is full")

    with pytest.raises(RuntimeError):
        change(admin, made)

    assert world.begin.rows.credentials == {made.id: made}
    assert world.begin.rows.prices == {}
