"""Where a provider is."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from domain.errors import InvalidRequest
from domain.network import UnusableHost, is_near, is_whole


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    tls: bool
    path: str
    """Without a slash at its end."""

    @property
    def near(self) -> bool:
        """By its text it is on this machine or in a private network."""
        return is_near(self.host)

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @classmethod
    def parse(cls, base_url: str) -> "Address":
        """Raises InvalidRequest unless it is plain http or https without user name, query or fragment.

        The host is a name or an IP address, written as usual, that somebody may have.
        """
        try:
            parts = urlsplit(base_url)
            port = parts.port
        except ValueError:
            raise InvalidRequest("A provider's base URL is not a URL.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or not _plain(base_url):
            raise InvalidRequest("A provider's base URL must be http(s)://host[:port][/path] in ASCII.")
        if not is_whole(parts.netloc, parts.hostname, port) or parts.query or parts.fragment:
            raise InvalidRequest("A provider's base URL carries no user name, query or fragment.")
        _check(parts.hostname)
        tls = parts.scheme == "https"
        return cls(parts.hostname, port or (443 if tls else 80), tls, parts.path.rstrip("/"))


def _check(host: str) -> None:
    try:
        is_near(host)
    except UnusableHost as error:
        raise InvalidRequest(f"A provider's base URL {error}.") from None


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text and "\\" not in text
