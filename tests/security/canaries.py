"""Secrets that are recognised wherever they turn up, whole, in part, and as base64, hex or part of an address."""

import sqlite3
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

_WINDOW = 12
"""So many characters in a row are a leak; a mask leaves four."""
_STEP = 3


def made(name: str) -> str:
    """A secret for `name`, the same in every run: 30 characters that look like nothing else."""
    return f"Zq{sha256(name.encode()).hexdigest()[:28]}"


@dataclass
class Canaries:
    """All secrets by name, and where one may be seen after all: prefixes of the names of places."""

    secrets: dict[str, str] = field(default_factory=dict)
    exceptions: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def new(self, name: str, *exceptions: str) -> str:
        return self.add(name, made(name), *exceptions)

    def add(self, name: str, secret: str, *exceptions: str) -> str:
        self.secrets[name] = secret
        self.exceptions[name] = exceptions
        return secret

    def leaks(self, places: Mapping[str, bytes]) -> list[str]:
        """What was found where: `secret: place`. Empty is good."""
        found = []
        for name, secret in self.secrets.items():
            looked_for = set(forms(secret))
            for place, content in places.items():
                if not place.startswith(self.exceptions[name]) and any(form in content for form in looked_for):
                    found.append(f"{name}: {place}")
        return found


def forms(secret: str) -> Iterator[bytes]:
    raw = secret.encode()
    for start in range(0, max(1, len(raw) - _WINDOW + 1), _STEP):
        yield raw[start : start + _WINDOW]
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    yield quote(secret, safe="").encode()
    for encode in (b64encode, urlsafe_b64encode):
        for shift in range(3):
            yield encode(b"\0" * shift + raw)[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]


def of_token(token: str) -> str:
    """The secret part of a key or an access token; the kid before it is public, the last characters are shown."""
    return token.rpartition("_")[2][:43]


def columns(database: Path) -> dict[str, bytes]:
    """The content of each column of each table."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {}
        for table in tables:
            rows = store.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - the schema's own names
            names = [column[0] for column in rows.description]
            values = list(zip(*rows.fetchall(), strict=True)) or [()] * len(names)
            for name, column in zip(names, values, strict=True):
                found[f"column {table}.{name}"] = b"\n".join(map(_bytes, column))
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {f"file {path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
