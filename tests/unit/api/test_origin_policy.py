"""Names, https and the pages of others."""

import pytest
from flask import Flask

from api.answer import init_answers, json_answer
from api.errors import init_errors
from api.middleware import init_middleware
from api.origin_policy import OriginPolicy, init_origin_policy
from tests.fakes import FrozenClock, RecordingRecorder, counting_ids

PAGE = "https://app.example.org"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}


def a_client(policy: OriginPolicy):
    app = Flask("parley")
    init_answers(app)
    init_errors(app)
    init_middleware(app, clock=FrozenClock(), new_id=counting_ids(), record=RecordingRecorder())
    init_origin_policy(app, policy)
    app.add_url_rule("/thing", view_func=lambda: json_answer(b"{}"), endpoint="thing", methods=["GET", "POST"])
    app.add_url_rule("/livez", view_func=lambda: json_answer(b"{}"), endpoint="livez")
    return app.test_client()


def test_without_a_list_every_name_is_answered():
    assert a_client(OriginPolicy()).get("/thing", headers={"Host": "anything"}).status_code == 200


@pytest.mark.parametrize("host", ["parley.example.org", "PARLEY.example.org", "parley.example.org:8443", "a.b.org"])
def test_a_trusted_name_is_answered(host):
    client = a_client(OriginPolicy(hosts=("parley.example.org", ".b.org")))

    assert client.get("/thing", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "parley.example.org.evil.example",
        "xb.org",
        "b.org",
        "",
        "parley.example.org@evil.example",
        "[::1]",
    ],
)
def test_any_other_name_is_refused(host):
    client = a_client(OriginPolicy(hosts=("parley.example.org", ".b.org")))

    answer = client.get("/thing", headers={"Host": host})

    assert (answer.status_code, answer.json["error"]["code"]) == (400, "invalid_request")


def test_probes_come_by_address_and_in_the_clear():
    client = a_client(OriginPolicy(hosts=("parley.example.org",), secure=True))

    assert client.get("/livez", headers={"Host": "10.0.0.7:8080"}).status_code == 200


def test_plain_http_is_refused_and_not_redirected_where_the_public_address_is_https():
    answer = a_client(OriginPolicy(secure=True)).get("/thing")

    assert answer.status_code == 403
    assert "Location" not in answer.headers
    assert "Strict-Transport-Security" not in answer.headers


def test_https_is_remembered_by_browsers():
    answer = a_client(OriginPolicy(secure=True)).get("/thing", base_url="https://parley.example.org")

    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


def test_without_a_list_no_page_of_others_may_call():
    client = a_client(OriginPolicy())

    asked, called = client.options("/thing", headers=PREFLIGHT), client.get("/thing", headers={"Origin": PAGE})

    assert asked.status_code in {200, 405}  # Flask's own, which says nothing about origins
    assert not [name for answer in (asked, called) for name, _ in answer.headers if "access-control" in name.lower()]


def test_a_listed_page_may_call_without_the_cookie():
    client = a_client(OriginPolicy(origins=(PAGE,)))

    asked = client.options("/thing", headers=PREFLIGHT)
    called = client.get("/thing", headers={"Origin": PAGE})

    assert asked.status_code == 204
    assert asked.headers["Access-Control-Allow-Origin"] == called.headers["Access-Control-Allow-Origin"] == PAGE
    assert asked.headers["Access-Control-Max-Age"] == "600"
    assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in asked.headers
    assert "X-Request-Id" in called.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", PAGE + ".evil.example", PAGE.upper(), PAGE + ":443", "*"]
)
def test_no_other_page_is_told_that_it_may(origin):
    client = a_client(OriginPolicy(origins=(PAGE,)))

    for answer in (
        client.options("/thing", headers={**PREFLIGHT, "Origin": origin}),
        client.get("/thing", headers={"Origin": origin}),
    ):
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_page_that_asks_nothing_special_gets_the_usual_answer_to_options():
    client = a_client(OriginPolicy(origins=(PAGE,)))

    assert "Access-Control-Max-Age" not in client.options("/thing", headers={"Origin": PAGE}).headers
