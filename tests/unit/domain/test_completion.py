from domain.completion import Completion, ModelCard, Prompt, output_limit


def test_a_closing_without_usage_says_that_nobody_counted():
    assert Completion("Hi", "stop").usage is None


def test_two_completions_do_not_share_their_choices():
    one, two = Completion("", "stop"), Completion("", "stop")

    one.choices.append({"index": 0})

    assert two.choices == []


def test_a_prompt_without_options_has_none():
    assert Prompt("large", []).options == {}


def test_what_is_not_known_about_a_model_is_none():
    card = ModelCard("large")

    assert (card.context_window, card.max_output) == (None, None)


def test_the_newer_output_limit_wins():
    assert output_limit({"max_tokens": 9, "max_completion_tokens": 7}) == 7
    assert output_limit({"max_tokens": 9}) == 9
    assert output_limit({"max_tokens": None}) is None
