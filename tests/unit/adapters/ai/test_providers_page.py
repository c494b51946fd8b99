from pathlib import Path

from adapters.ai.providers_page import page

DOCS = Path(__file__).parents[4] / "docs"


def test_the_page_of_providers_is_true():
    assert (DOCS / "providers.md").read_text() == page(), "run: make docs"


def test_the_page_names_the_price_of_a_model_and_admits_what_it_does_not_know():
    assert (
        "| `gpt-4o` | chat, stream, tools, json_object, json_schema, vision | 128,000 | 16,384 | 2.5 | 1.25 | 10 |"
        in page()
    )
    assert "| `qwen-turbo` | chat, stream, tools, json_object, prefill | – | – | – | – | – |" in page()


def test_the_page_tells_of_embeddings_and_of_answers_that_are_billed_to_their_end():
    assert "Embeddings of texts, 10 in one request to it, with `dimensions`." in page()
    assert page().count("billed to its end") == 3
    assert "No embeddings." in page()
