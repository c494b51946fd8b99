"""The documents of the repository speak of what is there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.errors import status_of
from domain.errors import ParleyError
from tests.source import ROOT, literals, program

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
SECTIONS = ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]
API = (ROOT / "docs/api.md").read_text()
ROUTES = [path.removeprefix("/api/v1") for path in json.loads((ROOT / "docs/openapi.json").read_text())["paths"]]


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


# ── the page about the API ───────────────────────────────────────────────────────────────────────────────────────


def errors(kind: type[ParleyError] = ParleyError) -> Iterator[type[ParleyError]]:
    yield kind
    for inner in kind.__subclasses__():
        yield from errors(inner)


def table(heading: str) -> list[list[str]]:
    """The cells of the first table behind a heading, without its own head."""
    rows = re.findall(r"^\| (.+) \|$", API.partition(f"\n## {heading}\n")[2].partition("\n## ")[0], re.MULTILINE)
    return [row.split(" | ") for row in rows[1:]]


def test_the_table_of_errors_has_every_code_at_its_status_and_no_other():
    told = {(int(status), code) for status, codes in table("Errors") for code in re.findall(r"`(\w+)`", codes)}
    known = {(status_of(kind.__new__(kind)), kind.code) for kind in errors() if kind.__module__.startswith("domain.")}

    assert len(known) > 50
    assert told == known | {(405, "method_not_allowed")}  # the only one that Flask alone can find


def test_the_table_of_headers_has_every_header_of_ours():
    made = {
        literal.value
        for module in program()
        if module.path.startswith("api/")
        for literal in literals(module.tree)
        if re.fullmatch(r"X-Parley-\w+(-\w+)?|Idempotency-Replayed|x-should-retry|RateLimit(-Policy)?", literal.value)
    }
    told = {name for row in table("Headers on answers") for name in re.findall(r"`([\w-]+)`", row[0])}

    assert len(made) > 8
    assert made - told == set()
    assert {name for name in told if name.startswith("X-Parley-")} <= made


def named_routes() -> set[str]:
    """What the page writes as a path, with or without a method before it."""
    return set(re.findall(r"`(?:[A-Z/]+ )?(/[a-z][\w/{}-]*)[`…?]", API))


def test_the_page_about_the_api_names_every_route_or_what_it_is_below():
    """Below `/admin` and `/auth` the first name alone says nothing."""

    def is_named(route: str) -> bool:
        parts = route.strip("/").split("/")
        least = 2 if parts[0] in {"admin", "auth"} else 1
        return any("/" + "/".join(parts[:length]) in named_routes() for length in range(least, len(parts) + 1))

    assert len(ROUTES) > 50
    assert [route for route in ROUTES if not is_named(route)] == []


def test_every_route_that_the_page_about_the_api_names_exists():
    """The names of parameters do not count."""
    shapes = [re.sub(r"\{\w+\}", "{}", route) for route in [*ROUTES, "/docs", "/openapi.json"]]
    named = {route: re.sub(r"\{\w+\}", "{}", route).removeprefix("/api/v1") for route in named_routes()}

    assert [route for route, shape in named.items() if not any(f"{it}/".startswith(f"{shape}/") for it in shapes)] == []
