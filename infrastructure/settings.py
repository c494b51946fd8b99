"""The settings of one process, from the environment and `parley.toml`. Nothing else reads the environment."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from environs import Env, EnvError, validate

from domain.usage import Price
from infrastructure.configuration import ConfigurationError, read

_SECRET_BYTES = 32
_VARIETY = 8
_TOTAL_SECONDS = 600.0
_SETTLING_SECONDS = 60.0
_WEAK = ("changeme", "secret", "password", "12345678")


@dataclass(frozen=True, slots=True)
class Settings:
    """`environment` is kept for the providers' keys, which are named by convention; no repr shows a secret."""

    bind: str
    home: Path
    workers: int
    config_path: Path | None
    database_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    secret_key: str | None = field(repr=False)
    metrics_token: str | None = field(repr=False)
    deadlines: Mapping[str, float]
    retries: Mapping[str, Any]
    server: Mapping[str, Any]
    default_rpm: int
    providers: Mapping[str, Mapping[str, Any]]
    prices: Mapping[str, Price]
    environment: Mapping[str, str] = field(repr=False)

    @property
    def embedded(self) -> bool:
        """Whether the store is the built-in SQLite file."""
        return self.database_url.startswith("sqlite")

    @property
    def total_seconds(self) -> float:
        """How long a request may take in all, with the most patient of the providers; each keeps its own limit."""
        longest = self.deadlines.get("total", _TOTAL_SECONDS)
        for table in self.providers.values():
            longest = max(longest, table.get("deadlines", {}).get("total", 0.0))
        return longest

    @property
    def turn_seconds(self) -> float:
        """The age from which a session's turn lock belongs to nobody: no turn that old can still be running."""
        return self.total_seconds + _SETTLING_SECONDS

    @property
    def config_hash(self) -> str:
        """Names this configuration, secrets left out: two processes with the same hash behave the same."""
        return hashlib.sha256(orjson.dumps(self.effective(), option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]

    def effective(self) -> dict[str, Any]:
        """What is in force, without secrets."""
        return {
            "bind": self.bind,
            "home": str(self.home),
            "workers": self.workers,
            "database": self.database_url.partition(":")[0],
            "redis": bool(self.redis_url),
            "secret_key": bool(self.secret_key),
            "metrics_token": bool(self.metrics_token),
            "deadlines": dict(self.deadlines),
            "retries": dict(self.retries),
            "server": dict(self.server),
            "limits": {"rpm": self.default_rpm},
            "providers": {name: dict(table) for name, table in self.providers.items()},
            "prices": {name: _price(price) for name, price in self.prices.items()},
        }


def load() -> Settings:
    """From the process's environment. Raises ConfigurationError with a message for the operator."""
    env = Env(eager=True)
    try:
        path = _config_path(env)
        document = read(path)
        settings = Settings(
            bind=env.str("PARLEY_BIND", "") or "127.0.0.1:8080",
            home=Path(env.str("PARLEY_HOME", "") or "./var").absolute(),
            workers=env.int("PARLEY_WORKERS", 1, validate=validate.Range(1, 64)),
            config_path=path,
            database_url=_database_url(env.str("DATABASE_URL", "")),
            redis_url=env.str("REDIS_URL", "") or None,
            secret_key=_secret(env.str("PARLEY_SECRET_KEY", "")),
            metrics_token=env.str("PARLEY_METRICS_TOKEN", "") or None,
            deadlines=document["deadlines"],
            retries=document["retries"],
            server=document["server"],
            default_rpm=document["limits"]["rpm"],
            providers=document["providers"],
            prices=document["prices"],
            environment=dict(os.environ),
        )
    except EnvError as error:
        raise ConfigurationError(str(error)) from None
    if settings.workers > 1 and settings.redis_url is None:
        raise ConfigurationError(
            "PARLEY_WORKERS > 1 needs REDIS_URL: without it every worker would count limits alone."
        )
    return settings


def _config_path(env: Env) -> Path | None:
    """`PARLEY_CONFIG` must exist when it is named; `./parley.toml` is taken when it is there."""
    named = env.str("PARLEY_CONFIG", "")
    path = Path(named or "parley.toml").absolute()
    return path if named or path.exists() else None


def _database_url(value: str) -> str:
    """SQLite's file is relative to the caller's folder, which is not the one that the workers run in."""
    scheme, _, place = value.partition(":///")
    name, question, limits = place.partition("?")
    if not scheme.startswith("sqlite") or name in {"", ":memory:"}:
        return value or "sqlite://"
    return f"{scheme}:///{Path(name).absolute()}{question}{limits}"


def _secret(value: str) -> str | None:
    if not value:
        return None
    if (
        len(value.encode()) < _SECRET_BYTES
        or any(word in value.lower() for word in _WEAK)
        or len(set(value)) < _VARIETY
    ):
        raise ConfigurationError(
            "PARLEY_SECRET_KEY must be at least 32 random bytes; `openssl rand -hex 32` makes one."
        )
    return value


def _price(price: Price) -> dict[str, int | None]:
    return {name: getattr(price, name) for name in ("input", "output", "cached_input", "cache_write", "reasoning")}
