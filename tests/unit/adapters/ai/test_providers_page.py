from pathlib import Path

from adapters.ai.providers_page import page

DOCS = Path(__file__).parents[4] / "docs"


def test_the_page_of_providers_is_true():
    assert (DOCS / "providers.md").read_text() == page(), "run: make docs"


def test_the_page_names_the_price_of_a_model_and_admits_what_it_does_not_know():
    assert "| `gpt-4o-mini` | 128,000 | 16,384 | 0.15 | 0.075 | 0.6 |" in page()
    assert "| `qwen-turbo` | – | – | – | – | – |" in page()
