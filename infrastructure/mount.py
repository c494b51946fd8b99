"""Where the application stands behind a proxy: under a path prefix, and whose word about the client counts."""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

Network = IPv4Network | IPv6Network
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Prefixed:
    """Serves under `prefix`, whether the proxy passes it on or strips it. A longer name is not the prefix."""

    def __init__(self, wsgi: Wsgi, prefix: str) -> None:
        self._wsgi = wsgi
        self._prefix = prefix

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == self._prefix or path.startswith(self._prefix + "/"):
            environ["PATH_INFO"] = path[len(self._prefix) :] or "/"
        environ["SCRIPT_NAME"] = self._prefix
        return self._wsgi(environ, start_response)


class BehindProxy:
    """Believes `X-Forwarded-For` and `-Proto`, the last entry of each, of a peer in `networks` or on a Unix socket."""

    def __init__(self, wsgi: Wsgi, networks: Iterable[Network]) -> None:
        self._direct = wsgi
        self._fixed = ProxyFix(wsgi, x_for=1, x_proto=1, x_host=0, x_port=0, x_prefix=0)
        self._networks = tuple(networks)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        wsgi = self._fixed if self._trusts(environ.get("REMOTE_ADDR", "")) else self._direct
        return wsgi(environ, start_response)

    def _trusts(self, peer: str) -> bool:
        if not peer:  # a Unix socket has no address
            return True
        address = ip_address(peer)
        return any(address in network for network in self._networks)
