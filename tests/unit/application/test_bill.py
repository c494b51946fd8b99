from application.bill import Bill, End
from application.cancellation import Attempt
from domain.ledger import Kind, LedgerEntry, State
from domain.usage import Price, PriceBook, Source, Usage
from tests.builders import NOW, a_principal

BOOK = PriceBook("v1", {"acme/large": Price(1_000_000, 2_000_000), "other/small": Price(0, 1_000_000)})
LARGE, SMALL = "acme/large", "other/small"


def rows(
    attempts: list[Attempt], usage: Usage, state: State = State.COMPLETED, **end: object
) -> tuple[LedgerEntry, ...]:
    bill = Bill("req_1", a_principal(), "careful", BOOK, NOW, started=100.0, streamed=True)
    return bill.entries(attempts, LARGE, End(state, usage, end.get("code"), 102.0, 100.5, bool(end.get("cache_hit"))))


def used(output: int, prompt: int = 10, source: Source = Source.PROVIDER) -> Usage:
    return Usage(prompt, 0, 0, output, 0, source)


def test_one_attempt_and_the_final_row_say_the_same():
    attempt, final = rows([Attempt("acme", LARGE, 100.0, 102.0)], used(5))

    assert (attempt.kind, attempt.attempt, attempt.cost, attempt.charged) == (Kind.ATTEMPT, 1, 20, None)
    assert (final.kind, final.attempt, final.cost, final.charged) == (Kind.FINAL, 0, 20, 20)
    assert (final.duration_ms, final.first_token_ms, final.model_requested) == (2_000, 500, "careful")


def test_an_attempt_that_failed_is_named_and_costs_nothing():
    lost, won, final = rows(
        [Attempt("acme", LARGE, 100.0, 100.7, "upstream_reset"), Attempt("other", SMALL, 100.7)], used(5)
    )

    assert (lost.model_used, lost.state, lost.error_code, lost.cost) == (LARGE, State.FAILED, "upstream_reset", 0)
    assert lost.duration_ms == 700
    assert (won.model_used, won.attempt, won.provider) == (SMALL, 2, "other")
    assert (final.model_used, final.cost, final.charged) == (SMALL, 5, 5), "billed by whoever answered"


def test_an_attempt_that_never_said_when_it_ended_took_no_time():
    lost, *_ = rows([Attempt("acme", LARGE, 100.0), Attempt("acme", LARGE, 101.0)], used(5))

    assert lost.duration_ms == 0


def test_an_answer_in_two_pieces_costs_us_both_and_the_user_the_prompt_once():
    first = Attempt("acme", LARGE, 100.0, 101.0, "upstream_reset", used(4, source=Source.ESTIMATED))
    lost, won, final = rows([first, Attempt("acme", LARGE, 101.0)], used(6, prompt=14))

    assert (lost.state, lost.cost, won.cost) == (State.PARTIAL, 10 + 8, 14 + 12)
    assert final.usage == Usage(10, 0, 0, 10, 0, Source.ESTIMATED)
    assert (final.cost, final.charged) == (18 + 26, 10 + 20)


def test_a_part_without_a_price_makes_the_whole_cost_unknown():
    first = Attempt("new", "new/model", 100.0, 101.0, "upstream_reset", used(4))
    lost, _, final = rows([first, Attempt("acme", LARGE, 101.0)], used(6))

    assert (lost.cost, final.cost, final.charged) == (None, None, 10 + 20)


def test_a_call_that_was_never_made_has_its_final_row_only():
    (final,) = rows([], Usage(), State.FAILED, code="circuit_open")

    assert (final.attempt, final.model_used, final.cost, final.charged) == (0, LARGE, 0, 0)
    assert final.error_code == "circuit_open"


def test_what_was_used_has_an_attempt_even_if_nobody_noted_one():
    attempt, final = rows([], used(5))

    assert (attempt.kind, attempt.attempt, final.cost) == (Kind.ATTEMPT, 1, 20)


def test_a_hit_of_the_cache_is_marked():
    (final,) = rows([], Usage(), cache_hit=True)

    assert (final.cache_hit, final.charged) == (True, 0)


def test_images_are_billed_by_the_piece():
    book = PriceBook("v1", {"acme/paint": Price(0, 0, image=40_000_000)})

    assert book.cost("acme/paint", Usage(images=3, source=Source.PROVIDER)) == 120_000_000
