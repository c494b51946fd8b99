"""Prometheus, run from the files that a deployment uses, scraping every second."""

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.servers.program import Program, free_port, require

DEPLOY = Path(__file__).resolve().parents[2] / "deploy/prometheus"


class Prometheus(Program):
    """Scrapes `target` (`host:port`) with `token`."""

    def __init__(self, folder: Path, target: str, token: str) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.config = write_configuration(folder, target, token)
        argv: list[str | Path] = [require("prometheus"), f"--config.file={self.config}"]
        argv += [f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{port}"]
        super().__init__(argv, folder, name="prometheus")

    def begin(self) -> "Prometheus":
        self.start(lambda: self.get("/-/ready") is not None)
        return self

    def get(self, path: str) -> bytes | None:
        """The body of the answer, None when it is an error."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            return None

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The result of an instant query; AssertionError with Prometheus's words when it cannot be evaluated."""
        address = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            found = json.load(error)
        assert found["status"] == "success", f"{query}: {found['error']}"
        return list(found["data"]["result"])


def write_configuration(folder: Path, target: str, token: str) -> Path:
    (folder / "token").write_text(token)
    (folder / "alerts.yml").write_text((DEPLOY / "alerts.yml").read_text())
    text = (DEPLOY / "prometheus.yml").read_text()
    text = text.replace("/run/secrets/metrics_token", f"{folder}/token").replace("gateway:8080", target)
    config = folder / "prometheus.yml"
    config.write_text(text.replace(": 15s", ": 1s").replace("scrape_timeout: 10s", "scrape_timeout: 1s"))
    return config
