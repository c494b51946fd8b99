import pytest

from adapters.ai.anthropic_usage import counts_of, usage_of
from domain.usage import Source, Usage


def usage(**classes: int) -> Usage:
    return Usage(**classes, source=Source.PROVIDER)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"input_tokens": 12, "output_tokens": 3}, usage(input=12, output=3)),
        ({"input_tokens": 0, "output_tokens": 0}, usage()),
        (
            {
                "input_tokens": 1,
                "cache_read_input_tokens": 8,
                "cache_creation_input_tokens": 4,
                "output_tokens": 5,
                "output_tokens_details": {"thinking_tokens": 2},
            },
            usage(input=1, cached_input=8, cache_write=4, output=3, reasoning=2),
        ),
        (
            {"input_tokens": 1, "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 9}},
            usage(input=1, reasoning=5),
        ),
        (
            {"input_tokens": 1, "output_tokens": 5, "output_tokens_details": 4, "cache_read_input_tokens": None},
            usage(input=1, output=5),
        ),
    ],
)
def test_tokens_are_in_classes_that_add_up(raw, expected):
    assert usage_of(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"input_tokens": 1},
        {"input_tokens": -1, "output_tokens": 1},
        {"input_tokens": 1, "output_tokens": 10**12},
        {"input_tokens": 1.5, "output_tokens": 1},
        {"input_tokens": True, "output_tokens": 1},
    ],
)
def test_absurd_numbers_are_no_usage(raw):
    assert usage_of(raw) is None


def test_only_counts_that_were_told_are_kept():
    assert counts_of({"output_tokens": 3, "input_tokens": None, "service_tier": "standard"}) == {"output_tokens": 3}
