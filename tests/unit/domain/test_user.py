import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Forbidden, InvalidRequest, ModelNotAllowed, ReauthenticationRequired
from domain.user import EMAIL_LENGTH, EVERYDAY, Role, Scope, canonical_email, rights_of
from tests.builders import a_principal

ALLOWED = {
    Role.OWNER: set(Scope),
    Role.ADMIN: set(Scope),
    Role.MEMBER: set(Scope) - {Scope.ADMIN},
    Role.VIEWER: {Scope.USAGE_READ},
}


@given(st.sampled_from(Role), st.frozensets(st.sampled_from(Scope)), st.sampled_from(Scope))
def test_the_effective_right_is_role_and_key_scope_together(role: Role, scopes: frozenset[Scope], wanted: Scope):
    principal = a_principal(role=role, scopes=scopes)

    if wanted in ALLOWED[role] and wanted in (scopes or ALLOWED[role]):
        principal.require(wanted)
    else:
        with pytest.raises(Forbidden, match=wanted.value):
            principal.require(wanted)


def test_a_role_has_its_rights():
    assert {role: rights_of(role) for role in Role} == ALLOWED


def test_a_key_whose_maker_said_nothing_can_make_no_keys_and_administer_nothing():
    assert set(Scope) - {Scope.KEYS, Scope.ADMIN} == EVERYDAY


@pytest.mark.parametrize(("login", "caller"), [(True, "user"), (False, "key")])
def test_a_refusal_says_who_lacks_what(login: bool, caller: str):
    with pytest.raises(Forbidden, match=f"This {caller} lacks the scope chat."):
        a_principal(role=Role.VIEWER, login=login).require(Scope.CHAT)


def test_administration_needs_a_recent_login_and_nothing_else_does():
    old = a_principal(role=Role.OWNER, login=True, recent=False)

    old.require(Scope.CHAT)
    with pytest.raises(ReauthenticationRequired):
        old.require(Scope.ADMIN)
    with pytest.raises(ReauthenticationRequired):
        old.require_recent()
    a_principal(role=Role.OWNER, login=True).require(Scope.ADMIN)
    a_principal(role=Role.OWNER).require(Scope.ADMIN)


def test_some_things_are_for_people_and_not_for_keys():
    a_principal(role=Role.VIEWER, login=True).require_login()

    with pytest.raises(Forbidden):
        a_principal(role=Role.OWNER).require_login()


@pytest.mark.parametrize("model", ["acme/large", "acme/small", "other/tiny"])
def test_a_key_without_a_list_may_use_every_model(model: str):
    a_principal().require_model(model)


def test_a_key_may_use_a_listed_model_and_all_models_of_a_listed_provider():
    principal = a_principal(models=("acme/large", "other/*"))

    assert principal.may_use("acme/large")
    assert principal.may_use("other/anything")
    assert not principal.may_use("acme/small")
    assert not principal.may_use("otherwise/tiny")


def test_a_model_outside_the_list_is_refused_by_name():
    with pytest.raises(ModelNotAllowed, match="acme/small") as refusal:
        a_principal(models=("acme/large",)).require_model("acme/small")

    assert refusal.value.param == "model"


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("ada@example.org", "ada@example.org"),
        ("  Ada@Example.ORG ", "ada@example.org"),
        ("ada+tag@mail.example.org", "ada+tag@mail.example.org"),
        ("root@localhost", "root@localhost"),
        ("ａda@example.org", "ada@example.org"),
        ("Straße@example.org", "strasse@example.org"),
    ],
)
def test_an_address_has_one_form(typed: str, stored: str):
    assert canonical_email(typed) == stored


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "ada",
        "@example.org",
        "ada@",
        "ada@example",
        "ada@@example.org",
        "ada@example..org",
        "ada@.org",
        "ada@example.org\nBcc: eve@example.org",
        "ada\0@example.org",
        "ada\u200b@example.org",
        "a da@example.org",
        "ada\u00a0x@example.org",
        "ada@notlocalhost",
        'ad"a@example.org',
        "ada,eve@example.org",
        "<ada>@example.org",
        "ada@[127.0.0.1]",
        "ada@ex_ample.org",
        "ada@" + "a" * 64 + ".org",
        "a" * 65 + "@example.org",
        "a" * (EMAIL_LENGTH - 11) + "@example.org",
    ],
)
def test_what_is_no_address_is_refused(typed: str):
    with pytest.raises(InvalidRequest) as refusal:
        canonical_email(typed)

    assert refusal.value.param == "email"


def test_the_longest_address_is_accepted():
    address = f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 61}"

    assert len(canonical_email(address)) == EMAIL_LENGTH


@given(st.text(min_size=1))
def test_the_one_form_of_an_address_is_its_own_form(local: str):
    try:
        once = canonical_email(f"{local}@example.org")
    except InvalidRequest:
        return

    assert canonical_email(once) == once
    assert unicodedata.is_normalized("NFKC", once)


@pytest.mark.parametrize("letter", ["ǰ", "j\u030c", "ẖ", "ᾳ\u0301", "ΐ"])
def test_a_letter_that_folding_takes_apart_still_gives_one_form(letter: str):
    once = canonical_email(f"{letter}x@example.org")

    assert canonical_email(once) == once
    assert unicodedata.is_normalized("NFKC", once)


def test_a_key_that_a_team_shares_acts_for_nobody_in_person():
    a_principal().require_person()

    with pytest.raises(Forbidden, match="team"):
        a_principal(team_id="team_1").require_person()
