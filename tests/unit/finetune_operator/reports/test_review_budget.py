from collections import Counter

from finetune_operator.reports.review_budget import ReviewBudget
from finetune_operator.reports.token_review import Caller


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_who_forges_tokens_for_all_pods_of_a_namespace_from_many_addresses_keeps_no_review_from_another() -> None:
    clock = Clock()
    budget = ReviewBudget(clock)
    forged = [Caller("team-a", f"a-{number}", f"uid-{number}") for number in range(200)]
    asked: Counter[str] = Counter()
    refused_others = []
    for second in range(12):
        clock.now = float(second)
        for number, sender in enumerate(forged):
            for address in range(3):
                asked["team-a"] += not budget.wait(sender, f"10.0.0.{address}")[0]
            if number % 100 == 0:
                newcomer = Caller("team-b", f"b-{second}-{number}", f"uid-b-{second}-{number}")
                refused_others += [why for wait, why in [budget.wait(newcomer, "10.0.9.9")] if wait]

    assert refused_others == []
    assert asked["team-a"] <= 500 + 25 * 12


def test_a_refusal_says_whose_tokens_are_too_many() -> None:
    budget = ReviewBudget(Clock())
    pod = Caller("team-a", "a", "uid-a")

    whys = {budget.wait(pod, "10.0.0.1")[1] for _ in range(20)}

    assert whys == {"", "too many tokens for this pod"}
    others = (Caller("team-a", f"a-{number}", f"uid-{number}") for number in range(1000))
    assert {budget.wait(other, f"10.0.1.{number}")[1] for number, other in enumerate(others)} == {
        "",
        "too many tokens of this namespace",
    }
