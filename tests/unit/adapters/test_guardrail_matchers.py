from time import perf_counter

import gevent
import pytest

from adapters import guardrails
from domain.guardrail import Span, masked

FOUND = {
    "card": ["4111 1111 1111 1111", "5500-0055-5555-5559", "378282246310005"],
    "cn_id": ["11010519491231002X"],
    "email": ["ada@example.org", "A.B+c@mail.example.co.uk"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819"],
    "ip": ["192.168.1.254"],
    "phone": ["+49 30 901820", "+1 (415) 555-2671", "13912345678"],
    "us_ssn": ["536-90-4399"],
}
NOT_FOUND = {
    "card": ["4111 1111 1111 1112", "1234", "the year 2026"],
    "cn_id": ["110105194912310021"],
    "email": ["@example", "a@b", "two words"],
    "iban": ["DE89 3704 0044 0532 0130 01", "AB12"],
    "ip": ["1.2.3", "300.1.1.1", "version 1.2.3.4.5"[:14]],
    "phone": ["12345", "2026-11-21"],
    "us_ssn": ["000-12-3456", "12-34-567"],
}


def found(find: guardrails.Find, text: str) -> list[str]:
    return [text[span.start : span.end] for span in find(text)]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in FOUND.items() for text in texts])
def test_personal_data_is_found_in_the_middle_of_a_sentence(kind: str, text: str):
    assert found(guardrails.personal([kind]), f"It is {text}, he said.") == [text]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in NOT_FOUND.items() for text in texts])
def test_what_only_looks_alike_is_not_personal_data(kind: str, text: str):
    assert found(guardrails.personal([kind]), f"It is {text}, he said.") == []


def test_every_kind_of_personal_data_has_examples_here():
    assert set(FOUND) == set(NOT_FOUND) == set(guardrails.PERSONAL)


def test_a_position_is_counted_in_characters_whatever_the_script():
    (span,) = guardrails.expressions([r"geheim\d"])("日本語 😀 geheim7!")

    assert span == Span(6, 13)


@pytest.mark.parametrize(
    ("phrase", "text", "expected"),
    [
        ("project falcon", "The Project  Falcon rises", ["Project  Falcon"]),
        ("falcon", "falconry is no falcon", ["falcon"]),
        ("机密", "这是机密文件", ["机密"]),
        ("c++", "I like C++.", ["C++"]),
        ("a.b", "aXb a.b", ["a.b"]),
    ],
)
def test_a_listed_word_is_found_as_a_whole_and_in_any_case(phrase: str, text: str, expected: list[str]):
    assert found(guardrails.words([phrase]), text) == expected


def test_an_empty_match_is_no_match():
    assert guardrails.expressions(["x*"])("abc") == []


@pytest.mark.parametrize("pattern", ["(", "(?=look)", r"(a)\1"])
def test_what_re2_does_not_know_is_refused_when_it_is_configured(pattern: str):
    with pytest.raises(ValueError, match="RE2"):
        guardrails.expressions([pattern])


def test_an_unknown_kind_of_personal_data_is_refused():
    with pytest.raises(ValueError, match="shoe_size"):
        guardrails.personal(["shoe_size"])


def test_a_hook_that_nobody_installed_is_refused():
    with pytest.raises(ValueError, match="no installed package"):
        guardrails.hook("nobody")


class Point:
    """An entry point of an installed package."""

    def __init__(self, found: object) -> None:
        self.found = found

    def load(self) -> object:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def hooked(monkeypatch: pytest.MonkeyPatch, find: object) -> guardrails.Find:
    monkeypatch.setattr(guardrails, "entry_points", lambda **_: [Point(find)])
    return guardrails.hook("mine")


def test_a_hook_finds_what_it_says(monkeypatch: pytest.MonkeyPatch):
    assert hooked(monkeypatch, lambda text: [(0, len(text))])("red") == [Span(0, 3)]


def test_a_hook_that_cannot_be_loaded_is_refused_when_it_is_configured(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="mine cannot be loaded: ImportError: no such thing"):
        hooked(monkeypatch, ImportError("no such thing"))


@pytest.mark.parametrize("spans", [[(-1, 2)], [(2, 2)], [(2, 1)], [(0, 4)], [(1,)], ["ab", 7], None, [(None, 1)]])
def test_a_hook_that_answers_nonsense_fails(monkeypatch: pytest.MonkeyPatch, spans: object):
    find = hooked(monkeypatch, lambda _: spans)

    with pytest.raises((ValueError, TypeError)):
        find("red")


def test_a_hook_that_waits_for_ever_fails_in_time_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(guardrails, "HOOK_SECONDS", 0.05)
    find, ticks = hooked(monkeypatch, lambda _: gevent.sleep(60)), []
    other, started = gevent.spawn(lambda: ticks.append(gevent.sleep(0.01))), perf_counter()

    with pytest.raises(TimeoutError):
        find("red")

    assert perf_counter() - started < 2
    other.join()
    assert len(ticks) == 1


@pytest.mark.parametrize("phrase", ["", " ", "\n"])
def test_a_word_without_a_letter_is_refused(phrase: str):
    with pytest.raises(ValueError, match="letter"):
        guardrails.words([phrase])


def test_several_matchers_find_what_each_of_them_finds():
    find = guardrails.together([guardrails.words(["red"]), guardrails.expressions([r"\d+"])])

    assert masked("red 12 green", find("red 12 green")).count("[removed]") == 2


def test_no_text_makes_an_expression_slow():
    find, started = guardrails.expressions(["(a+)+$", "(x|x)*y"]), perf_counter()

    find("a" * 100_000 + "b")
    find("x" * 100_000)

    assert perf_counter() - started < 2
