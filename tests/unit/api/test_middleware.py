import re

import pytest

from api.answer import json_answer
from api.v1.bodies import served_by
from application.facts import HttpServed
from domain.provider_errors import UpstreamReset

COMPLETION = {"model": "acme/large", "messages": [{"role": "user", "content": "Hello"}]}
API = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Authorization, Cookie, Origin",
}


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/nowhere", "/api/v1/models", "/api/v1/openapi.json"])
def test_every_answer_has_the_headers_that_keep_it_private(site, path):
    answer = site.get(path)

    assert API.items() <= dict(answer.headers).items()
    assert answer.headers["X-Request-Id"].startswith("req_")
    assert not {"Server", "X-Powered-By", "Access-Control-Allow-Origin", "Set-Cookie"} & set(answer.headers.keys())


def test_a_stream_is_neither_stored_nor_changed_nor_held_back(site):
    answer = site.post("/api/v1/chat/completions", {**COMPLETION, "stream": True})

    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store, no-transform"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Length" not in answer.headers


def test_no_header_occurs_twice(site):
    for answer in (site.get("/api/v1/models"), site.post("/api/v1/chat/completions", {**COMPLETION, "stream": True})):
        names = [name.lower() for name, _ in answer.headers]
        assert len(names) == len(set(names))


def test_each_request_has_an_id_of_its_own(site):
    assert site.get("/livez").headers["X-Request-Id"] != site.get("/livez").headers["X-Request-Id"]


def _served(site) -> HttpServed:
    return site.world.record.of(HttpServed)[-1]


def test_one_fact_tells_of_a_request(site):
    site.world.clock.advance(1)
    answer = site.get("/api/v1/sessions/sess_1", headers={"X-Request-Id": "trace-7"})
    (fact,) = site.world.record.of(HttpServed)

    assert fact == HttpServed(
        method="GET",
        route="/api/v1/sessions/<session_id>",
        status=200,
        seconds=0.0,
        request_id=answer.headers["X-Request-Id"],
        key_id="key_1",
        bytes=len(answer.data),
        client_request_id="trace-7",
    )


@pytest.mark.parametrize(
    ("told", "retry"), [("0", 0), ("2", 2), ("", None), ("-1", None), ("1.5", None), ("1000", None), ("two", None)]
)
def test_a_client_that_tries_again_may_say_so(site, told, retry):
    site.get("/api/v1/sessions/sess_1", headers={"x-stainless-retry-count": told})

    assert _served(site).client_retry == retry


def test_what_a_client_makes_up_does_not_become_a_label(site):
    site.client.open("/nowhere/123", method="BREW", buffered=True)

    assert (_served(site).method, _served(site).route, _served(site).key_id) == ("OTHER", "unmatched", None)


def test_the_fact_of_an_error_has_its_status(site):
    site.get("/api/v1/sessions/sess_9")

    assert _served(site).status == 404


def test_a_stream_is_served_when_it_is_closed_and_not_before(site):
    answer = site.client.post(
        "/api/v1/chat/completions", json={**COMPLETION, "stream": True}, headers=site.headers, buffered=False
    )
    pieces = answer.iter_encoded()
    first = next(pieces)

    assert site.world.record.of(HttpServed) == []
    rest = b"".join(pieces)
    answer.close()
    assert _served(site).bytes == len(first) + len(rest)
    assert _served(site).status == 200


def test_a_head_request_is_served_too(site):
    answer = site.client.head("/livez", buffered=True)

    assert answer.data == b""
    assert _served(site).method == "HEAD"


def test_a_paid_answer_tells_who_served_it_how_often_it_was_tried_and_what_it_cost(site):
    headers = site.post("/api/v1/chat/completions", COMPLETION).headers

    assert headers["X-Parley-Provider"] == "acme"
    assert headers["X-Parley-Model"] == "large"
    assert headers["X-Parley-Attempts"] == "1"
    assert headers["X-Parley-Cost"] == "0.000000018"
    assert headers["X-Parley-Upstream-Ms"] == "0"
    assert re.fullmatch(r"\d+\.\d", headers["X-Parley-Overhead-Ms"])


def test_the_overhead_is_what_the_provider_did_not_take(site):
    site.world.script(lambda: site.world.clock.advance(2), "Hello")
    answer = site.post("/api/v1/chat/completions", COMPLETION)

    assert answer.headers["X-Parley-Upstream-Ms"] == "2000"
    assert answer.headers["X-Parley-Overhead-Ms"] == "0.0"
    assert (_served(site).overhead_seconds, _served(site).upstream_seconds) == (0.0, 2.0)


def test_a_stream_tells_who_serves_it(site):
    headers = site.post("/api/v1/chat/completions", {**COMPLETION, "stream": True}).headers

    assert (headers["X-Parley-Provider"], headers["X-Parley-Model"]) == ("acme", "large")


@pytest.mark.parametrize("model", ["acme/lärge", "acme/a\r\nX-Evil: 1", "acme/\x00"])
def test_a_name_that_no_header_can_carry_is_left_out(model):
    answer = json_answer(b"{}")
    served_by(answer, model)

    assert [name for name, _ in answer.headers if name.startswith("X-")] == []


def test_an_error_before_the_first_event_keeps_its_status_and_its_id(site):
    site.world.script(UpstreamReset())
    answer = site.post("/api/v1/chat/completions", {**COMPLETION, "stream": True})

    assert answer.status_code == 502
    assert answer.json["error"]["request_id"] == answer.headers["X-Request-Id"] == _served(site).request_id
