"""Counts are those that OpenAI's cookbook shows for the same text: "How to count tokens with tiktoken"."""

import pytest

from adapters.ai.token_counts import TokenCounts
from domain.tokens import METHOD, estimate_text

GREETING = "お誕生日おめでとう"


@pytest.mark.parametrize(
    ("model", "vocabulary", "count"),
    [
        ("openai/gpt-4o-mini", "o200k_base", 8),
        ("openai/gpt-5-mini", "o200k_base", 8),
        ("openai/o3", "o200k_base", 8),
        ("openai/gpt-4-turbo", "cl100k_base", 9),
    ],
)
def test_a_model_of_openai_is_counted_by_its_own_vocabulary(model, vocabulary, count):
    counts = TokenCounts()

    assert (counts.method(model), counts.count(model, GREETING)) == (vocabulary, count)


@pytest.mark.parametrize("model", ["openai/unheard-of", "local/gpt-4o-mini", "anthropic/claude-sonnet-5-5"])
def test_every_other_model_is_estimated(model):
    counts = TokenCounts()

    assert (counts.method(model), counts.count(model, GREETING)) == (METHOD, estimate_text(GREETING))
