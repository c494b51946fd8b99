import pytest

from domain.reasoning import adapted

EFFORT = frozenset({"reasoning_effort", "max_tokens", "temperature"})
THINKING = frozenset({"thinking", "max_tokens", "temperature"})
BOTH = EFFORT | THINKING
NEITHER = frozenset({"temperature"})


def thinking(budget: int) -> dict[str, object]:
    return {"type": "enabled", "budget_tokens": budget}


def test_options_without_such_a_wish_stay_what_they_are():
    options = {"temperature": 1, "stop": "x"}

    assert adapted(options, NEITHER) is options


@pytest.mark.parametrize("options", [{"reasoning_effort": "low"}, {"thinking": thinking(2_000)}])
def test_what_is_documented_goes_unchanged(options):
    assert adapted(options, BOTH) is options


def test_of_two_wishes_the_documented_one_counts():
    options = {"reasoning_effort": "low", "thinking": thinking(30_000), "temperature": 1}

    assert adapted(options, EFFORT) == {"reasoning_effort": "low", "temperature": 1}
    assert adapted(options, THINKING) == {"thinking": thinking(30_000), "temperature": 1}
    assert adapted(options, BOTH) == options


@pytest.mark.parametrize(
    ("wish", "effort"),
    [
        (thinking(1_024), "low"),
        (thinking(1_025), "medium"),
        (thinking(8_192), "medium"),
        (thinking(8_193), "high"),
        (thinking(100_000), "high"),
        ({"type": "enabled"}, "medium"),
        ({"type": "enabled", "budget_tokens": "many"}, "medium"),
        ({"type": "disabled"}, None),
        ({"type": "adaptive"}, None),
        ("enabled", None),
    ],
)
def test_a_budget_is_told_as_an_effort(wish, effort):
    expected = {} if effort is None else {"reasoning_effort": effort}

    assert adapted({"thinking": wish, "temperature": 1}, EFFORT) == {"temperature": 1, **expected}


@pytest.mark.parametrize(
    ("effort", "budget"),
    [("minimal", 1_024), ("low", 1_024), ("medium", 8_192), ("high", 24_576), ("xhigh", 32_768), ("max", 32_768)],
)
def test_an_effort_is_told_as_a_budget(effort, budget):
    assert adapted({"reasoning_effort": effort}, THINKING) == {"thinking": thinking(budget)}


def test_no_effort_at_all_is_said_so():
    assert adapted({"reasoning_effort": "none"}, THINKING) == {"thinking": {"type": "disabled"}}


@pytest.mark.parametrize("effort", ["heroic", None, ["low"]])
def test_an_unknown_effort_is_left_out(effort):
    assert adapted({"reasoning_effort": effort}, THINKING) == {}


def test_a_budget_leaves_room_for_the_answer_or_there_is_none():
    assert adapted({"reasoning_effort": "high", "max_tokens": 5_000}, THINKING)["thinking"] == thinking(4_999)
    assert "thinking" not in adapted({"reasoning_effort": "high", "max_tokens": 1_024}, THINKING)
    assert adapted({"reasoning_effort": "low", "max_tokens": "many"}, THINKING)["thinking"] == thinking(1_024)


@pytest.mark.parametrize("options", [{"reasoning_effort": "low"}, {"thinking": thinking(2_000)}])
def test_where_neither_is_documented_neither_goes(options):
    assert adapted({**options, "temperature": 1}, NEITHER) == {"temperature": 1}


@pytest.mark.parametrize(
    ("options", "documented"), [({"reasoning_effort": "low"}, THINKING), ({"thinking": thinking(2_000)}, EFFORT)]
)
def test_for_a_model_that_does_not_reason_nothing_is_translated(options, documented):
    assert adapted(options, documented, thinks=False) == {}


@pytest.mark.parametrize("options", [{"reasoning_effort": "low"}, {"thinking": thinking(2_000)}])
def test_a_model_that_does_not_reason_gets_no_wish_that_its_provider_documents_for_others(options):
    assert adapted({**options, "temperature": 1}, BOTH, thinks=False) == {"temperature": 1}
