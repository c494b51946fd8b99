"""The documents of the repository speak of what is there."""

import re
from pathlib import Path

import pytest

from tests.source import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
SECTIONS = ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def code(text: str) -> str:
    """What stands in code blocks and in backticks."""
    return "\n".join(re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]+)`", text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_make_command_exists(document: Path):
    commands = set(re.findall(r"(?:^|[\s;&])make ([a-z][a-z-]*)", code(document.read_text()), re.MULTILINE))

    assert commands <= targets()


def test_every_make_target_explains_itself():
    named = re.findall(r"^([a-z][a-z-]*):.*?(##.*)?$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert [target for target, explanation in named if not explanation] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document: Path):
    prose = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in link]

    assert [link for link in links if link and not (document.parent / link).exists()] == []


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda decision: decision.stem)
def test_a_decision_is_one_page_with_the_same_five_sections(decision: Path):
    text = decision.read_text()

    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert text.startswith(f"# {decision.stem[:4]}")
    assert text.count("\n") <= 60


@pytest.mark.parametrize("decision", DECISIONS[1:], ids=lambda decision: decision.stem)
def test_what_a_decision_is_enforced_by_exists(decision: Path):
    enforced = decision.read_text().partition("## Enforced by")[2]
    files = re.findall(r"`((?:\w+/)+[\w.]+\.\w+)`", enforced)

    assert [file for file in files if not (ROOT / file).exists()] == []


def test_decisions_are_numbered_without_a_gap():
    assert [int(decision.name[:4]) for decision in DECISIONS] == list(range(len(DECISIONS)))


def test_the_architecture_page_lists_every_decision():
    page = (ROOT / "docs/architecture.md").read_text()

    assert [decision.name for decision in DECISIONS[1:] if f"adr/{decision.name}" not in page] == []


def test_what_the_security_page_names_exists():
    """Paths of tests are below `tests/`; a star stands for any part of a name."""
    page = (ROOT / "docs/security.md").read_text()
    named = set(re.findall(r"`((?:[\w.*]+/)+[\w.*]*)`", page))

    assert len(named) > 50
    assert [path for path in sorted(named) if not any(ROOT.glob(path)) and not any((ROOT / "tests").glob(path))] == []


def test_the_security_page_names_a_test_for_every_statement():
    rows = [row.split("|") for row in (ROOT / "docs/security.md").read_text().splitlines() if row.startswith("| ")]
    proofs = {row[1].strip(): row[-2] for row in rows if row[-2].strip() != "Proved by"}

    assert len(proofs) > 30
    assert [item for item, proof in proofs.items() if not re.search(r"`(\w+/test_|\w+/\w|make )", proof)] == []


def test_every_test_of_security_is_named_on_its_page():
    page = (ROOT / "docs/security.md").read_text()
    files = (ROOT / "tests/security").glob("test_*.py")

    assert sorted(file.name for file in files if f"security/{file.name}" not in page) == []
