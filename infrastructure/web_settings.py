"""Where Parley listens, how it is reached from outside, and whose word about that counts."""

import re
from dataclasses import dataclass
from ipaddress import ip_network

from environs import Env

from infrastructure.configuration import ConfigurationError

_LOOPBACK = ("127.0.0.0/8", "::1/128")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")
_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+(/[A-Za-z0-9._~/-]*)?")
_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]")
_HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class WebSettings:
    """How Parley is reached. `public_url` has no slash at its end and includes the path prefix."""

    public_url: str
    prefix: str = ""
    """`/parley`: the path under which a proxy mounts it, whether or not the proxy strips it."""
    trusted_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose `X-Forwarded-For` and `-Proto` are believed."""
    cors_origins: tuple[str, ...] = ()

    @property
    def secure(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def origin(self) -> str:
        """As browsers send it in `Origin`."""
        return "/".join(self.public_url.split("/")[:3])


def bind_address(env: Env) -> str:
    """`host:port` for gunicorn. Raises ConfigurationError."""
    bind: str = env.str("PARLEY_BIND", "") or "127.0.0.1:8080"
    host, _, port = bind.rpartition(":")
    if not _HOST.fullmatch(host) or not port.isdecimal() or not 0 < int(port) <= _HIGHEST_PORT:
        raise ConfigurationError("PARLEY_BIND is an address and a port, as 127.0.0.1:8080 or [::1]:8080.")
    return bind


def web_settings(env: Env) -> WebSettings:
    """Raises ConfigurationError."""
    prefix = env.str("PARLEY_PATH_PREFIX", "").rstrip("/")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ConfigurationError("PARLEY_PATH_PREFIX is a path such as /parley.")
    public_url = env.str("PARLEY_PUBLIC_URL", "").rstrip("/") or f"http://{bind_address(env)}{prefix}"
    if not _PUBLIC_URL.fullmatch(public_url) or not public_url.endswith(prefix):
        raise ConfigurationError("PARLEY_PUBLIC_URL is http(s)://host[:port], then PARLEY_PATH_PREFIX.")
    origins = _listed(env.str("PARLEY_CORS_ORIGINS", ""))
    if any(not _ORIGIN.fullmatch(origin) for origin in origins):
        raise ConfigurationError("PARLEY_CORS_ORIGINS are origins, as https://app.example.com, separated by commas.")
    return WebSettings(
        public_url=public_url,
        prefix=prefix,
        trusted_hosts=tuple(name.lower() for name in _listed(env.str("PARLEY_TRUSTED_HOSTS", ""))),
        trusted_proxies=_proxies(env.str("PARLEY_TRUSTED_PROXY", "")),
        cors_origins=origins,
    )


def _proxies(value: str) -> tuple[str, ...]:
    """`1` is this machine; otherwise addresses or networks, separated by commas."""
    named = _LOOPBACK if value == "1" else _listed(value) if value != "0" else ()
    try:
        return tuple(str(ip_network(name)) for name in named)
    except ValueError:
        raise ConfigurationError("PARLEY_TRUSTED_PROXY is 1, or addresses or networks separated by commas.") from None


def _listed(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())
