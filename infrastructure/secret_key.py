"""The secret keys in force: the operator's, or one that this installation made for itself."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from infrastructure.configuration import ConfigurationError
from infrastructure.settings import Settings

FILE = "secret.key"

_KEY_BYTES = 32
_PRIVATE = 0o600


def secret_keys(settings: Settings) -> tuple[str, ...]:
    """The newest first. Raises ConfigurationError."""
    return settings.secret_keys or (_own_key(settings.home),)


def _own_key(home: Path) -> str:
    path = home / FILE
    try:
        if not path.exists():
            _create(path)
        key = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read or made: {error}") from None
    if len(key.encode()) < _KEY_BYTES:
        raise ConfigurationError(f"{path} is too short for a secret key: restore it, or set PARLEY_SECRET_KEY.")
    return key


def _create(path: Path) -> None:
    """A link cannot replace a file: of several processes that start at once, all use the key of the first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{FILE}.{secrets.token_hex(8)}")
    try:
        _write(draft, secrets.token_hex(_KEY_BYTES) + "\n")
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _write(path: Path, text: str) -> None:
    """On disk when it returns: what is sealed with a key that is lost can never be opened again."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
