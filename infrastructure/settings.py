"""The settings of one process, from the environment and `parley.toml`. Nothing else reads the environment."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
from environs import Env, EnvError, validate

from domain.usage import NANO, Price
from infrastructure.configuration import ConfigurationError, read
from infrastructure.web_settings import WebSettings, bind_address, web_settings

_SECRET_BYTES = 32
_TOKEN_BYTES = 16
_VARIETY = 8
_TOTAL_SECONDS = 600.0
_SETTLING_SECONDS = 60.0
ACCEPTED = "PARLEY_ACCEPTED_CONFIG"
"""The variable by which a gateway of several processes names the copy of the file that is in force in all of them."""
_WEAK = ("changeme", "secret", "password", "12345678")


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    host: str
    port: int
    sender: str
    tls: str
    """`starttls`, `tls` (from the first byte) or `none`."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """`environment` is kept for the providers' keys, which are named by convention; no repr shows a secret."""

    bind: str
    home: Path
    workers: int
    config_path: Path | None
    database_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    secret_keys: tuple[str, ...] = field(repr=False)
    """The newest first; the others still open what they sealed. Empty: PARLEY_HOME keeps one of its own."""
    metrics_token: str | None = field(repr=False)
    deadlines: Mapping[str, float]
    retries: Mapping[str, Any]
    breaker: Mapping[str, Any]
    aliases: Mapping[str, str]
    routes: Mapping[str, Mapping[str, Any]]
    server: Mapping[str, Any]
    limits: Mapping[str, Any]
    accounts: Mapping[str, Any]
    oidc: Mapping[str, Any] | None
    cache: Mapping[str, Any]
    context: Mapping[str, Any]
    guardrails: Mapping[str, Mapping[str, Any]]
    web: WebSettings
    smtp: SmtpSettings | None
    providers: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, Mapping[str, Any]]
    prices: Mapping[str, Price]
    environment: Mapping[str, str] = field(repr=False)

    @property
    def embedded(self) -> bool:
        """Whether the store is the built-in SQLite file."""
        return self.database_url.startswith("sqlite")

    @property
    def sends_mail(self) -> bool:
        return self.smtp is not None

    @property
    def fixed_addresses(self) -> bool:
        """Whether users keep their addresses: single sign-on believes them, and without mails none can be confirmed."""
        return self.oidc is not None and self.smtp is None

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
        """Names this configuration, secrets left out: two processes with the same hash behave the same.

        The order counts: the first provider has the usual model, the first guardrail that blocks is told of.
        """
        return hashlib.sha256(orjson.dumps(self.effective())).hexdigest()[:12]

    def effective(self) -> dict[str, Any]:
        """What is in force, without secrets."""
        return {
            "bind": self.bind,
            "home": str(self.home),
            "workers": self.workers,
            "database": self.database_url.partition(":")[0],
            "redis": bool(self.redis_url),
            "secret_keys": len(self.secret_keys),
            "metrics_token": bool(self.metrics_token),
            "deadlines": dict(self.deadlines),
            "retries": dict(self.retries),
            "breaker": dict(self.breaker),
            "aliases": dict(self.aliases),
            "routes": {name: dict(route) for name, route in self.routes.items()},
            "server": dict(self.server),
            "limits": dict(self.limits) | {"outage_cap": _money(self.limits["outage_cap"])},
            "accounts": dict(self.accounts),
            "oidc": None if self.oidc is None else dict(self.oidc),
            "cache": dict(self.cache),
            "context": dict(self.context),
            "guardrails": {name: dict(table) for name, table in self.guardrails.items()},
            "web": asdict(self.web),
            "smtp": None if self.smtp is None else f"{self.smtp.host}:{self.smtp.port}",
            "providers": {name: dict(table) for name, table in self.providers.items()},
            "models": {name: dict(table) for name, table in self.models.items()},
            "prices": {name: _price(price) for name, price in self.prices.items()},
        }


def load(copy: Path | None = None) -> Settings:
    """From the process's environment and the file, or in its place from a `copy` of it.

    Raises ConfigurationError with a message for the operator.
    """
    env = Env(eager=True)
    try:
        path = _config_path(env)
        document = read(copy or path)
        settings = Settings(
            bind=bind_address(env),
            home=Path(env.str("PARLEY_HOME", "") or "./var").absolute(),
            workers=env.int("PARLEY_WORKERS", 1, validate=validate.Range(1, 64)),
            config_path=path,
            database_url=_database_url(env.str("DATABASE_URL", "")),
            redis_url=env.str("REDIS_URL", "") or None,
            secret_keys=_secrets(env.str("PARLEY_SECRET_KEY", "")),
            metrics_token=_strong("PARLEY_METRICS_TOKEN", env.str("PARLEY_METRICS_TOKEN", ""), _TOKEN_BYTES),
            deadlines=document["deadlines"],
            retries=document["retries"],
            breaker=document["breaker"],
            aliases=document["aliases"],
            routes=document["routes"],
            server=document["server"],
            limits=document["limits"],
            accounts=document["accounts"],
            oidc=document["oidc"],
            cache=document["cache"],
            context=document["context"],
            guardrails=document["guardrails"],
            web=web_settings(env),
            smtp=_smtp(env),
            providers=document["providers"],
            models=document["models"],
            prices=document["prices"],
            environment=dict(os.environ),
        )
    except EnvError as error:
        raise ConfigurationError(str(error)) from None
    _check(settings)
    return settings


def accepted_copy() -> Path | None:
    """None for a process that is no worker of a gateway."""
    named = os.environ.get(ACCEPTED)
    return Path(named) if named else None


def _check(settings: Settings) -> None:
    """What each setting allows, and both together do not."""
    if settings.workers > 1 and settings.redis_url is None:
        raise ConfigurationError(
            "PARLEY_WORKERS > 1 needs REDIS_URL: without it every worker would count limits alone."
        )
    if settings.oidc is not None and settings.accounts["registration"] == "open" and settings.smtp is None:
        raise ConfigurationError(
            "Open registration beside single sign-on needs a mail server (SMTP_HOST): without one nobody has to show "
            "that an address is theirs, and could keep a password to the account that its owner logs in to."
        )


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


def _secrets(value: str) -> tuple[str, ...]:
    """Several, separated by commas, while one takes the place of another."""
    given = [part.strip() for part in value.split(",") if part.strip()]
    return tuple(secret for part in given if (secret := _strong("PARLEY_SECRET_KEY", part, _SECRET_BYTES)))


def _strong(name: str, value: str, least: int) -> str | None:
    if not value:
        return None
    weak = any(word in value.lower() for word in _WEAK) or len(set(value)) < _VARIETY
    if len(value.encode()) < least or weak:
        raise ConfigurationError(f"{name} must be at least {least} random bytes; `openssl rand -hex 32` makes some.")
    return value


def _smtp(env: Env) -> SmtpSettings | None:
    host = env.str("SMTP_HOST", "")
    if not host:
        return None
    tls = env.str("SMTP_TLS", "starttls", validate=validate.OneOf(["starttls", "tls", "none"]))
    sender = env.str("SMTP_FROM", "")
    if "@" not in sender:
        raise ConfigurationError("SMTP_FROM is the address that mails come from.")
    return SmtpSettings(
        host=host,
        port=env.int("SMTP_PORT", 465 if tls == "tls" else 587, validate=validate.Range(1, 65_535)),
        sender=sender,
        tls=tls,
        user=env.str("SMTP_USER", "") or None,
        password=env.str("SMTP_PASSWORD", "") or None,
        ca_file=env.str("SMTP_CA_FILE", "") or None,
    )


def _price(price: Price) -> dict[str, float | None]:
    names = ("input", "output", "cached_input", "cache_write", "reasoning", "image")
    return {name: _money(getattr(price, name)) for name in names}


def _money(nano: int | None) -> float | None:
    """As the file has it."""
    return None if nano is None else nano / NANO
