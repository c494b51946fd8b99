"""What is measured of each row."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.instruments import Driver, Load
from benchmarks.machine import Peak, busy_seconds, cpu_seconds, rss

REFUSED = "refused"
"""The profile of a request that ends where a generation would begin."""

_QUIET = 0.1
_QUIET_SHARE = 0.05
_QUIET_LIMIT = 5.0
_MESSAGES = [
    {
        "role": "system",
        "content": "You are a concise assistant. Answer in at most three sentences and cite no sources.",
    },
    {
        "role": "user",
        "content": "Explain to a new colleague what a reverse proxy is, why we put one in front of the providers, and "
        "what it must never do to a streamed answer. Mention authentication, rate limits, accounting and failover.",
    },
]


@dataclass(frozen=True, slots=True)
class Plan:
    """`paths` are the profiles of the upstream; `loads` the cells, in the order in which they are measured."""

    paths: dict[str, str]
    loads: dict[str, Load]
    repeats: int

    @property
    def slow_streams(self) -> int:
        return self.loads["slow"].connections


FULL = Plan(
    paths={"json": "/json", "burst": "/sse/500/0", "first": "/sse/5/2000", "slow": "/sse/100/20000"},
    loads={
        "warm": Load("json", 8, 1500, 3),
        "warm streams": Load("burst", 8, 24, 3),
        "one": Load("json", 1, 1000, 4),
        "sixteen": Load("json", 16, 5000),
        "burst": Load("burst", 16, 300),
        "first": Load("first", 1, 100, 4),
        "slow": Load("slow", 500, 500, 15),
    },
    repeats=3,
)
QUICK = Plan(
    paths={"json": "/json", "burst": "/sse/500/0", "first": "/sse/5/2000", "slow": "/sse/25/20000"},
    loads={
        "warm": Load("json", 8, 100, 1),
        "one": Load("json", 1, 100, 1),
        "sixteen": Load("json", 16, 300, 2),
        "burst": Load("burst", 4, 8, 2),
        "first": Load("first", 1, 20, 1),
        "slow": Load("slow", 100, 100, 5),
    },
    repeats=1,
)


@dataclass(frozen=True, slots=True)
class Cell:
    """`answers` is what the load driver counted, `cpu` seconds by part, `other_cpu` those of all else that ran."""

    row: str
    name: str
    repeat: int
    answers: dict[str, Any]
    cpu: dict[str, float] = field(default_factory=dict)
    other_cpu: float = 0.0
    before_mib: float = 0.0
    peak_mib: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether every request was answered, and every stream with its usage and its end."""
        answers = self.answers
        whole = not answers["events"] or answers["done"] == answers["usage"] == answers["ok"]
        return answers["ok"] == answers["started"] > 0 and bool(whole)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def write_bodies(paths: Mapping[str, str], folder: Path) -> None:
    """One for each profile, and one for a model that does not exist."""
    for profile, path in paths.items():
        body: dict[str, Any] = {
            "model": f"{profile}/mock",
            "messages": _MESSAGES,
            "max_tokens": 2048,
            "temperature": 0.7,
        }
        if "/sse/" in path:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        body_of(profile, folder).write_text(json.dumps(body))
    body_of(REFUSED, folder).write_text(json.dumps({**body, "model": "json/nothing", "stream": False}))


def body_of(profile: str, folder: Path) -> Path:
    return folder / f"{profile}.json"


def measure(contender: Contender, name: str, load: Load, driver: Driver, repeat: int = 0) -> Cell:
    """Work that a gateway puts off until after the answer belongs to the request: the cell ends when it is quiet."""
    gateway = contender.roots.get("gateway")
    cpu_before = {part: cpu_seconds(pid) for part, pid in contender.roots.items()}
    busy_before, mib_before = busy_seconds(), rss(gateway) if gateway else 0.0
    body = body_of(load.profile, contender.folder.parent)
    with Peak(gateway or 0) as peak:
        answers = driver.run(load, contender.url(load.profile), body, contender.headers)
        wait_until_quiet(contender)
    cpu = {part: cpu_seconds(pid) - cpu_before[part] for part, pid in contender.roots.items()}
    other = busy_seconds() - busy_before - sum(cpu.values())
    return Cell(contender.name, name, repeat, answers, cpu, other, mib_before, peak.mib)


def wait_until_quiet(contender: Contender) -> None:
    """Until the row's programs use less than a twentieth of a CPU, at most 5 s."""
    deadline = time.monotonic() + _QUIET_LIMIT
    used, before = _used(contender), -1.0
    while used - before > _QUIET * _QUIET_SHARE and time.monotonic() < deadline:
        before = used
        time.sleep(_QUIET)
        used = _used(contender)


def _used(contender: Contender) -> float:
    return sum(cpu_seconds(pid) for pid in contender.roots.values())
