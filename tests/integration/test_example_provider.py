"""A provider that somebody else brings along: one file and one line, installed beside Parley."""

import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.gateway import FAST, Gateway
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = pytest.mark.xdist_group("example-provider")

PACKAGE = Path(__file__).parents[1] / "example_provider"


@pytest.fixture(scope="module")
def began() -> float:
    """When somebody who has written the file and the line goes on to try them."""
    return time.perf_counter()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, began: float) -> Path:
    """Built from a copy, because setuptools leaves things behind where it builds."""
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(PACKAGE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
    target = folder / "target"
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(folder / "source")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Iterator[Gateway]:
    upstream = ScriptedProvider(tmp_path_factory.mktemp("upstream")).run()
    env = {
        "PYTHONPATH": str(installed),
        "EXAMPLE_API_KEY": "sk-example-0123456789",
        "EXAMPLE_BASE_URL": upstream.base_url,
    }
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), env=env, config=FAST).start()
    yield gateway
    gateway.end()
    upstream.stop()


def test_the_package_is_one_file_and_one_line() -> None:
    files = sorted(path.name for path in PACKAGE.iterdir() if path.name != "__pycache__")
    points = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["entry-points"]

    assert files == ["parley_example.py", "pyproject.toml"]
    assert points == {"parley.providers": {"example": "parley_example:PROFILE"}}


def test_its_model_answers_and_its_price_is_billed(
    gateway: Gateway, began: float, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"model": "example/ok", "messages": [{"role": "user", "content": "hi"}], "top_k": 5}
    status, answer = gateway.call("POST", "/chat/completions", body)

    assert (status, answer["model"]) == (200, "example/ok")
    usage = answer["usage"]
    assert usage["cost"] == pytest.approx((usage["prompt_tokens"] * 0.5 + usage["completion_tokens"] * 1.5) / 1e6)
    with capsys.disabled():
        print(f"\nadding a provider, from its package to its first answer: {time.perf_counter() - began:.1f} s")  # noqa: T201


def test_it_is_listed_and_embeds_like_any_other(gateway: Gateway) -> None:
    status, models = gateway.call("GET", "/models")
    embedded, vectors = gateway.call("POST", "/embeddings", {"model": "example/ok", "input": "hi"})

    assert status == 200
    assert "example/ok" in [model["id"] for model in models["data"]]
    assert (embedded, vectors["data"][0]["embedding"]) == (200, [0.25, 0.375, 0.5, 0.625])


def test_a_parameter_that_it_does_not_document_is_refused(gateway: Gateway) -> None:
    body = {"model": "example/ok", "messages": [{"role": "user", "content": "hi"}], "safe_prompt": True}
    status, answer = gateway.call("POST", "/chat/completions", body)

    assert (status, answer["error"]["param"]) == (400, "safe_prompt")
