"""The committed OpenAPI document is the one that the code makes, so every change of the surface is a visible diff."""

import json
from pathlib import Path

import pytest

from infrastructure.app import create_app, openapi_document
from infrastructure.settings import load

COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "openapi.json"


def test_the_committed_document_is_what_the_code_makes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARLEY_HOME", str(tmp_path))

    made = openapi_document(create_app(load()))

    assert json.loads(COMMITTED.read_text()) == made, "`make docs` brings it up to date"
