from adapters.ai.retries import RetryBudget


def test_a_few_calls_may_always_be_repeated():
    budget = RetryBudget(share=0.2, floor=3)
    budget.begin()

    assert [budget.spend() for _ in range(5)] == [True, True, True, False, False]


def test_of_many_calls_a_fifth_may_be_repeated_at_the_same_time():
    budget = RetryBudget(share=0.2, floor=3)
    for _ in range(50):
        budget.begin()

    assert sum(budget.spend() for _ in range(50)) == 10


def test_a_call_that_has_ended_gives_its_retries_back():
    budget = RetryBudget(share=0.2, floor=1)
    budget.begin()
    budget.spend()
    budget.end(retries=1)
    budget.begin()

    assert budget.spend()
