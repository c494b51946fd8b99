"""Guardrails, the cache and summaries as `parley.toml` names them."""

from pathlib import Path
from typing import Any

import pytest

from domain.guardrail import Action, Side
from infrastructure import guardrail_parts
from infrastructure.configuration import ConfigurationError, read


def configured(tmp_path: Path, text: str) -> dict[str, Any]:
    path = tmp_path / "parley.toml"
    path.write_text(text)
    return read(path)


def test_a_rule_looks_both_ways_and_is_closed_unless_it_says_otherwise(tmp_path: Path):
    tables = configured(
        tmp_path,
        '[guardrails.a]\nwords = ["red"]\nregex = ["[0-9]+"]\naction = "mask"\n'
        '[guardrails.b]\npersonal = ["ip"]\naction = "block"\non = ["output"]\nfailure = "open"\n',
    )["guardrails"]

    first, second = guardrail_parts.rules(tables)

    assert (first.name, first.action, first.sides, first.closed) == ("a", Action.MASK, frozenset(Side), True)
    assert (second.name, second.action, second.sides) == ("b", Action.BLOCK, frozenset({Side.OUTPUT}))
    assert not second.closed
    assert len(first.find("red 12")) == 2


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ('action = "block"', "at least one of regex"),
        ('action = "block"\nwords = []', "guardrails.a.words"),
        ('action = "block"\nwords = [" "]', "at least one letter"),
        ('action = "block"\nregex = ["("]', "RE2"),
        ('action = "block"\npersonal = ["shoe_size"]', "guardrails.a.personal"),
        ('action = "block"\nhook = "nobody"', "no installed package"),
        ('action = "burn"\nwords = ["x"]', "guardrails.a.action"),
        ('words = ["x"]', "guardrails.a.action"),
        ('action = "block"\nwords = ["x"]\non = []', "guardrails.a.on"),
        ('action = "block"\nwords = ["x"]\nwhen = "always"', "guardrails.a.when"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_by_name(tmp_path: Path, table: str, complaint: str):
    with pytest.raises(ConfigurationError, match=complaint):
        configured(tmp_path, f"[guardrails.a]\n{table}\n")


def test_nothing_is_kept_watched_or_summarised_by_others_unless_the_file_says_so(tmp_path: Path):
    document = configured(tmp_path, "")

    assert (document["cache"], document["guardrails"], document["context"]) == (
        {"seconds": 0},
        {},
        {"summary_model": ""},
    )


@pytest.mark.parametrize("seconds", ["-1", "1.5", '"60"', "true", "2592001"])
def test_the_time_that_answers_are_kept_is_checked(tmp_path: Path, seconds: str):
    with pytest.raises(ConfigurationError, match=r"cache\.seconds"):
        configured(tmp_path, f"[cache]\nseconds = {seconds}\n")
