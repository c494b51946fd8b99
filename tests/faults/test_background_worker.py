"""`parley worker` settles what a killed gateway left behind, without serving."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from infrastructure.database import create_engine_for
from tests.faults.test_draining import Reader
from tests.servers.gateway import FAST, Gateway
from tests.servers.program import Program, wait_until
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = pytest.mark.xdist_group("draining")


@pytest.fixture
def gateway(tmp_path: Path, provider: ScriptedProvider) -> Iterator[Gateway]:
    config = f'[providers.scripted]\nbase_url = "{provider.base_url}"\n' + FAST
    gateway = Gateway(tmp_path, config=config).start()
    yield gateway
    gateway.end()


def states(gateway: Gateway) -> dict[str, str]:
    engine = create_engine_for("sqlite://", gateway.folder / "var")
    with engine.connect() as connection:
        found = connection.execute(text("SELECT request_id, state FROM usage_ledger WHERE kind = 'final'"))
        rows: dict[str, str] = dict(tuple(row) for row in found)
    engine.dispose()
    return rows


def test_what_a_killed_gateway_was_doing_is_settled_without_a_gateway(gateway: Gateway) -> None:
    reader = Reader(gateway, "drip")
    gateway.program.kill()
    reader.join(10)
    command = [sys.executable, "-m", "infrastructure", "worker"]
    worker = Program(command, gateway.folder, env=gateway.env, name="worker")

    worker.start(lambda: states(gateway).get(reader.request_id) == "abandoned", 20)
    worker.signal(signal.SIGTERM)

    assert worker.wait(10) == 0
    wait_until(lambda: not list((gateway.folder / "var" / "journal").glob("*.log")), 10, "no journal is left")
