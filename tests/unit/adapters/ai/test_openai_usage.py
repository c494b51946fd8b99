import pytest

from adapters.ai.openai_usage import usage_of
from domain.usage import Source, Usage


def usage(**classes: int) -> Usage:
    return Usage(**classes, source=Source.PROVIDER)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"prompt_tokens": 12, "completion_tokens": 3}, usage(input=12, output=3)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, usage()),
        (
            {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 8}},
            usage(input=4, cached_input=8, output=3),
        ),
        (
            {"prompt_tokens": 12, "completion_tokens": 3, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 4},
            usage(input=4, cached_input=8, output=3),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 2}},
            usage(input=9, output=1, reasoning=2),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 3,
                "total_tokens": 32,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            usage(input=9, output=3, reasoning=20),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 50}},
            usage(cached_input=9, output=3),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": None, "completion_tokens_details": 4},
            usage(input=9, output=3),
        ),
    ],
)
def test_tokens_are_split_into_classes_that_add_up(raw, expected):
    assert usage_of(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        [],
        {"prompt_tokens": 1},
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": 10**12},
        {"prompt_tokens": 1.5, "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": "1", "completion_tokens": 1},
    ],
)
def test_absurd_numbers_are_no_usage(raw):
    assert usage_of(raw) is None
