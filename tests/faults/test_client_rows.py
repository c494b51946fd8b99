"""Clients that send their heads drop by drop, and SDKs that try again."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

import openai
import pytest
from openai import OpenAI

from tests.servers.failover import Failover, failover
from tests.servers.program import wait_until

pytestmark = [pytest.mark.xdist_group("client rows"), pytest.mark.timeout(120)]

KEEPALIVE = 5
"""Seconds that gunicorn waits for a head."""
SLACK = 5
"""Seconds that a busy machine may take for two hundred connections."""
RETRY = "x-stainless-retry-count"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Failover]:
    with failover(tmp_path_factory.mktemp("clients")) as site:
        yield site


def test_c4_heads_that_come_byte_by_byte_are_given_up_and_hinder_nobody(site: Failover) -> None:
    head = (
        f"POST /api/v1/chat/completions HTTP/1.1\r\nHost: parley\r\nAuthorization: Bearer {site.gateway.key}".encode()
    )
    began, waits = time.monotonic(), []
    with ExitStack() as stack:
        lines = [stack.enter_context(socket.create_connection(("127.0.0.1", site.gateway.port))) for _ in range(200)]
        sent = 0
        while any(map(is_open, lines)):
            assert time.monotonic() - began < KEEPALIVE + SLACK, "still waited for"
            for line in filter(is_open, lines):
                drop(line, head[sent : sent + 1])
            sent += 1
            waits.append(site.ask("backup/ok", streamed=True).seconds)
            time.sleep(0.5)

    assert time.monotonic() - began > KEEPALIVE - 1, "a slow client is not a bad one at once"
    assert median(waits) < 1
    assert max(waits) < KEEPALIVE / 2, "nobody waits until they are given up"


def is_open(line: socket.socket) -> bool:
    line.setblocking(False)
    try:
        return line.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def drop(line: socket.socket, byte: bytes) -> None:
    try:
        line.send(byte)
    except ConnectionError:
        line.close()


def test_c8_each_try_of_an_sdk_is_a_request_that_is_recorded_as_such(site: Failover) -> None:
    with (
        OpenAI(base_url=site.gateway.api, api_key=site.gateway.key, max_retries=2) as client,
        pytest.raises(openai.InternalServerError),
    ):
        client.chat.completions.create(model="primary/500~C8", messages=[{"role": "user", "content": "x"}])

    tries = {call["id"] for call in site.primary.bills() if call["model"] == "500~C8"}
    wait_until(lambda: tries <= {line["request_id"] for line in site.log("request")}, 5, "logged")
    lines = {line["request_id"]: line.get("client_retry") for line in site.log("request")}
    assert [lines[request_id] for request_id in sorted(tries)] == [None, 1, 2]


def test_c8_without_a_key_each_try_is_billed(site: Failover) -> None:
    request = {"model": "backup/ok", "messages": [{"role": "user", "content": "C8"}]}
    replies = [site.caller.post("/chat/completions", request, **{RETRY: str(count)}) for count in range(3)]

    finals = [site.rows(reply.headers["X-Request-Id"])[-1] for reply in replies]
    charged = {final.charged for final in finals}
    assert [reply.status for reply in replies] == [200] * 3
    assert len({final.request_id for final in finals}) == 3
    assert len(charged) == 1
    assert min(charged) > 0
