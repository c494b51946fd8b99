"""Nothing in the program opens a connection by a way of its own: strangers are dialled by `adapters/egress.py` alone.

What is not a stranger is named here, with the reason.
"""

import ast
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.source import Module, dotted, module, nodes, program

Rule = Callable[[Module], Iterable[int]]

NETWORK = {
    *("socket", "_socket", "socketserver", "asyncio", "http.client", "urllib.request", "xmlrpc", "ftplib", "imaplib"),
    *("poplib", "nntplib", "telnetlib", "smtplib", "gevent.socket", "gevent.ssl", "gevent.server", "gevent._socket3"),
    *("geventhttpclient", "urllib3", "requests", "httpx", "httpcore", "aiohttp", "websocket", "websockets", "grpc"),
    *("openai", "anthropic", "boto3", "botocore", "dns", "redis", "pymysql", "psycopg", "paramiko", "pycurl"),
}
"""Modules that can open a connection, each with all that is below it."""
MAY_KNOW_THE_NETWORK = {
    "adapters/egress.py": {"socket", "gevent.socket"},
    "adapters/ai/sockets.py": {"socket", "gevent.socket", "gevent.ssl", "geventhttpclient"},  # its pools ask egress
    "adapters/ai/answer.py": {"geventhttpclient"},  # the parser
    "adapters/ai/exchange.py": {"geventhttpclient"},  # an error of the parser
    "adapters/accounts/oidc_http.py": {"http.client"},  # its connections ask egress
    "adapters/mail/smtp.py": {"smtplib"},  # the operator's mail server
    "api/disconnect.py": {"socket"},  # looks at the client's own connection
    "api/paid.py": {"socket"},  # sets an option on the client's own connection
    "infrastructure/worker_states.py": {"socket"},  # the machine's own name
}
OWN_MACHINERY = ("adapters/cache/", "adapters/limits/", "adapters/persistence/", "adapters/redis", "infrastructure/")
"""Where the drivers of the operator's own Redis and database may be known."""
DRIVERS = {"redis", "pymysql", "psycopg"}
DIALLING = {
    *("create_connection", "connect_ex", "getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"),
    *("urlopen", "urlretrieve", "open_connection", "HTTPConnection", "HTTPSConnection", "_create_connection"),
    *("socket.socket", "gevent_socket.socket", "sock.connect", "self.sock.connect", "_sock.connect"),
}
MAY_DIAL = {"adapters/egress.py": "this is the way out"}
TO_STRANGERS = ("adapters/ai/", "adapters/accounts/", "adapters/egress")
DECOMPRESSION = {"zlib", "gzip", "bz2", "lzma", "compression", "zipfile", "tarfile", "brotli", "zstandard"}


def network_imports(it: Module) -> list[int]:
    allowed = MAY_KNOW_THE_NETWORK.get(it.path, set())
    if it.path.startswith(OWN_MACHINERY):
        allowed = allowed | DRIVERS
    return [line for name, line in _imported(it) if (known := _among(NETWORK, name)) and known not in allowed]


def dialling(it: Module) -> list[int]:
    """Calls only; what a class is derived from, or a method of the plain socket that is passed on, opens nothing."""
    if it.path in MAY_DIAL:
        return []
    return [call.lineno for call in nodes(it.tree, ast.Call) if _dials(dotted(call.func))]


def decompression(it: Module) -> list[int]:
    """What a stranger answered is never unpacked, so it cannot become too large by that."""
    if not it.path.startswith(TO_STRANGERS):
        return []
    return [line for name, line in _imported(it) if _among(DECOMPRESSION, name)]


def believed_environment(it: Module) -> list[int]:
    """`trust_env` and its like would let the environment choose a proxy."""
    named = nodes(it.tree, ast.keyword)
    return [keyword.value.lineno for keyword in named if keyword.arg in {"trust_env", "proxies", "proxy", "use_proxy"}]


def broken(rule: Rule) -> list[str]:
    return [it.at(line) for it in program() for line in rule(it)]


def test_only_the_named_files_know_the_network():
    assert broken(network_imports) == []


def test_the_named_files_exist_and_know_no_less():
    """An entry that nobody needs any more is a hole for whoever comes next."""
    known = {it.path: {_among(NETWORK, name) for name, _ in _imported(it)} for it in program()}

    assert {path: names - known.get(path, set()) for path, names in MAY_KNOW_THE_NETWORK.items()} == {
        path: set() for path in MAY_KNOW_THE_NETWORK
    }


def test_only_the_way_out_dials():
    assert broken(dialling) == []


def test_no_answer_is_unpacked():
    assert broken(decompression) == []


def test_no_proxy_is_chosen():
    assert broken(believed_environment) == []


def _imported(it: Module) -> Iterator[tuple[str, int]]:
    """Modules, and what is taken from them: `from gevent import socket` is `gevent.socket`."""
    for node in nodes(it.tree, ast.Import, ast.ImportFrom):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _among(modules: set[str], name: str) -> str | None:
    return next((module for module in modules if f"{name}.".startswith(f"{module}.")), None)


def _dials(name: str) -> bool:
    return name in DIALLING or name.rpartition(".")[2] in DIALLING


# ── the rules find what they are for ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (network_imports, "application/x.py", "import socket\n"),
        (network_imports, "adapters/ai/x.py", "import http.client\n"),
        (network_imports, "adapters/ai/x.py", "from http import client\n"),
        (network_imports, "adapters/ai/x.py", "from urllib import request\n"),
        (network_imports, "api/x.py", "from urllib.request import urlopen\n"),
        (network_imports, "adapters/ai/x.py", "from gevent import socket as anything\n"),
        (network_imports, "adapters/ai/x.py", "from geventhttpclient import HTTPClient\n"),
        (network_imports, "adapters/ai/x.py", "import httpx, requests\n"),
        (network_imports, "adapters/ai/x.py", "import redis\n"),
        (network_imports, "adapters/egress.py", "import urllib3\n"),
        (dialling, "adapters/ai/sockets.py", "gevent_socket.create_connection(x)\n"),
        (dialling, "adapters/ai/x.py", "create_connection(x)\n"),
        (dialling, "adapters/ai/x.py", "socket.socket()\n"),
        (dialling, "adapters/ai/x.py", "sock.connect(x)\n"),
        (dialling, "adapters/ai/x.py", "self.sock.connect_ex(x)\n"),
        (dialling, "adapters/accounts/x.py", "http.client.HTTPSConnection(x)\n"),
        (dialling, "application/x.py", "socket.gethostbyname(x)\n"),
        (decompression, "adapters/ai/x.py", "import zlib\n"),
        (decompression, "adapters/ai/x.py", "from compression import zstd\n"),
        (believed_environment, "adapters/ai/x.py", "Client(trust_env=True)\n"),
    ],
)
def test_a_rule_finds_what_breaks_it(rule: Rule, path: str, text: str):
    assert list(rule(module(path, text)))


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (network_imports, "adapters/persistence/x.py", "import pymysql\n"),
        (network_imports, "adapters/ai/x.py", "from urllib.parse import urlsplit\nfrom http import HTTPStatus\n"),
        (network_imports, "adapters/ai/x.py", "from adapters.ai.sockets import shut\n"),
        (dialling, "adapters/egress.py", "gevent_socket.getaddrinfo(x)\n"),
        (dialling, "adapters/persistence/x.py", "engine.connect()\n"),
        (dialling, "adapters/accounts/x.py", "class C(http.client.HTTPConnection): ...\n"),
    ],
)
def test_a_rule_leaves_good_code_alone(rule: Rule, path: str, text: str):
    assert not list(rule(module(path, text)))
