import pytest

from adapters.ai.gemini_usage import usage_of
from domain.usage import Source, Usage


def usage(**classes: int) -> Usage:
    return Usage(**classes, source=Source.PROVIDER)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"promptTokenCount": 12, "candidatesTokenCount": 3}, usage(input=12, output=3)),
        ({"promptTokenCount": 0, "candidatesTokenCount": 0}, usage()),
        ({"promptTokenCount": 5}, usage(input=5)),
        (
            {
                "promptTokenCount": 12,
                "cachedContentTokenCount": 8,
                "candidatesTokenCount": 3,
                "thoughtsTokenCount": 20,
                "toolUsePromptTokenCount": 2,
                "totalTokenCount": 37,
            },
            usage(input=6, cached_input=8, output=3, reasoning=20),
        ),
        ({"promptTokenCount": 9, "cachedContentTokenCount": 50}, usage(cached_input=9)),
    ],
)
def test_tokens_are_in_classes_that_add_up_to_the_total(raw, expected):
    assert usage_of(raw) == expected
    assert expected.total_tokens == raw.get("totalTokenCount", expected.total_tokens)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"candidatesTokenCount": 1},
        {"promptTokenCount": -1},
        {"promptTokenCount": 10**12},
        {"promptTokenCount": 1, "candidatesTokenCount": -5},
        {"promptTokenCount": "1"},
        {"promptTokenCount": True},
    ],
)
def test_absurd_numbers_are_no_usage(raw):
    assert usage_of(raw) is None
