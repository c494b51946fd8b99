"""HTTP to one provider, over geventhttpclient's connections and llhttp.

A request is sent once: whoever wants a second try asks for it. Redirects are not followed and the environment's proxies
are not used; nothing but the configured server is ever dialled, at an address that `adapters.egress` has checked.
"""

import weakref
from collections.abc import Mapping
from copy import copy
from dataclasses import replace

from adapters.ai.address import Address
from adapters.ai.deadlines import Deadlines
from adapters.ai.exchange import Exchange
from adapters.ai.sockets import connected, pool_for
from application.cancellation import Cancellation


class Transport:
    """At most `size` requests at a time to the server at `base_url`; further ones wait as long as for a connection."""

    def __init__(
        self,
        base_url: str,
        deadlines: Deadlines,
        *,
        size: int = 100,
        ca_file: str | None = None,
        private: bool = False,
    ) -> None:
        """`ca_file` replaces certifi's list of authorities. Raises InvalidRequest for an unusable address.

        `private` is the operator's word that a public-looking name leads to this machine or into a private network.
        What looks private itself (10.0.0.7, `localhost`, `ollama`, `llm.internal`) needs none.
        """
        self._whole: Transport | None = None
        self._address = Address.parse(base_url)
        self._deadlines = deadlines
        self._pool = pool_for(self._address, size, deadlines.connect, ca_file, private=private)
        # A provider that is configured anew gets another transport; this one lasts as long as its last call.
        weakref.finalize(self, self._pool.close).atexit = False

    @property
    def address(self) -> Address:
        return self._address

    @property
    def deadlines(self) -> Deadlines:
        return self._deadlines

    def at(self, path: str) -> "Transport":
        """The same server over the same connections, under another path; `path` has no slash at its end."""
        other = copy(self)
        other._address = replace(self._address, path=path)  # noqa: SLF001 - its own kind
        other._whole = self  # noqa: SLF001 - whose end closes the connections
        return other

    def head(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        """The part of a request that is the same every time, for `open`."""
        lines = {"Host": self._address.host_header, "Accept-Encoding": "identity", **headers}
        first = f"{method} {self._address.path}{path} HTTP/1.1\r\n"
        return (first + "".join(f"{name}: {value}\r\n" for name, value in lines.items())).encode("latin-1")

    def open(self, head: bytes, body: bytes, cancellation: Cancellation, request_id: str = "") -> Exchange:
        """Send a request. `request_id` is printable ASCII. Raises ProviderErrors or the cancellation's reason."""
        cancellation.limit(self._deadlines.total)
        cancellation.check()
        seconds = min(self._deadlines.connect, cancellation.remaining())
        sock = connected(self._pool, seconds, cancellation)
        exchange = Exchange(self._pool, sock, self._deadlines, cancellation)
        ends = (head, request_id.encode("ascii"), len(body), body)
        exchange.send(b"%bX-Request-Id: %b\r\nContent-Length: %d\r\n\r\n%b" % ends)
        return exchange

    def close(self) -> None:
        """Idle connections are closed now, busy ones when their exchange ends."""
        self._pool.close()
