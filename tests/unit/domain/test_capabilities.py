import pytest

from domain.capabilities import has_images, lacking, reasons
from domain.completion import ModelCard

SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {}}}
TOOLS = {"tools": [{"type": "function"}]}


def a_card(*capabilities: str) -> ModelCard:
    return ModelCard("large", capabilities=("chat", "stream", *capabilities))


@pytest.mark.parametrize(
    ("card", "options", "images", "field"),
    [
        (a_card("vision"), TOOLS, False, "tools"),
        (a_card("tools"), TOOLS, False, None),
        (a_card("json_object"), SCHEMA, False, "response_format"),
        (a_card("json_schema"), SCHEMA, False, None),
        (a_card("tools"), {}, True, "messages"),
        (a_card("vision"), {}, True, None),
        (a_card("tools"), {"response_format": {"type": "json_object"}}, False, None),
        (a_card("vision"), {"tools": [], "temperature": 1}, False, None),
        (a_card("vision"), {"response_format": "json"}, False, None),
    ],
)
def test_a_card_tells_what_its_model_lacks(card, options, images, field):
    assert lacking(card, options, images=images) == field


@pytest.mark.parametrize("capabilities", [("chat", "stream"), ("chat",), ()])
def test_a_card_that_says_nothing_forbids_nothing(capabilities):
    card = ModelCard("large", capabilities=capabilities)

    assert lacking(card, {**TOOLS, **SCHEMA}, images=True) is None
    assert reasons(card)


def test_a_model_reasons_unless_its_card_knows_better():
    assert reasons(a_card("tools", "reasoning"))
    assert not reasons(a_card("tools"))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("https://example.org/a.png", False),
        (None, False),
        ([{"type": "text", "text": "hi"}], False),
        ([{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:"}}], True),
        (["image_url"], False),
    ],
)
def test_images_are_found_among_the_parts_of_a_message(content, found):
    assert has_images([{"role": "system", "content": "hi"}, {"role": "user", "content": content}]) is found
