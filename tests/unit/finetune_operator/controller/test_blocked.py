"""Blocked jobs are tried ever more seldom, and in turn when there may be room."""

from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.controller.blocked import BlockedJobs, Obstacle
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.observation import Cause

QUOTA = Cause("CreateForbidden", "exceeded quota")
NO_RIGHT = Cause(
    "CreateForbidden",
    'namespaces "team-a" is forbidden: User "system:serviceaccount:fto:ft" cannot get resource "namespaces" in API group ""',
)


def keys(count: int, namespace: str = "team-a") -> list[Key]:
    return [Key(namespace, f"job-{number}") for number in range(count)]


@given(st.integers(1, 200), st.floats(0, 1, exclude_max=True))
def test_the_next_try_is_15_s_to_10_min_away_and_never_comes_sooner_than_the_one_before(
    tries: int, chance: float
) -> None:
    obstacle, waits = Obstacle(), []
    for _ in range(tries):
        obstacle.note("children", QUOTA, 100.0, lambda: chance)
        waits.append(obstacle.wait(100.0) or 0.0)

    assert waits == sorted(waits)
    assert 15 <= waits[0] <= 30
    assert waits[-1] <= 600
    assert tries < 6 or waits[-1] >= 300


def test_an_answer_holds_until_it_is_due_and_for_its_own_question_only() -> None:
    obstacle = Obstacle()
    obstacle.note("children", QUOTA, 100.0, lambda: 0.0)

    held = [obstacle.holds("children", 114.9), obstacle.holds("children", 115.0), obstacle.holds("a pod", 101.0)]

    assert held == [True, False, False]
    assert (obstacle.wait(101.0), obstacle.wait(115.0)) == (14.0, None)


def test_another_question_begins_anew() -> None:
    obstacle = Obstacle()
    for about in ("children", "children", "a pod"):
        obstacle.note(about, QUOTA, 0.0, lambda: 0.0)

    assert (obstacle.tries, obstacle.due) == (1, 15.0)


def test_to_be_woken_in_vain_makes_nobody_wait_longer() -> None:
    obstacle = Obstacle()
    obstacle.note("children", QUOTA, 0.0, lambda: 0.0)
    for _ in range(20):
        obstacle.doubt()
        assert not obstacle.holds("children", 0.0)
        obstacle.note("children", QUOTA, 0.0, lambda: 0.0)

    assert (obstacle.tries, obstacle.due) == (1, 15.0)


def test_ten_at_a_time_are_woken_and_who_is_blocked_again_goes_to_the_end() -> None:
    woken: list[Key] = []
    blocked = BlockedJobs(woken.append)
    waiting = keys(25)
    for key in waiting:
        blocked.wait(key)

    for _ in range(3):
        before = len(woken)
        blocked.wake("team-a")
        for key in woken[before:]:
            blocked.wait(key)

    assert woken == waiting + waiting[:5]


def test_only_the_namespace_that_changed_is_woken_and_only_who_still_waits() -> None:
    woken: list[Key] = []
    blocked = BlockedJobs(woken.append)
    first, second = keys(2)
    other = Key("team-b", "job")
    for key in (first, second, first, other):
        blocked.wait(key)
    blocked.leave(first)
    blocked.leave(Key("team-c", "unknown"))

    blocked.wake("team-a")
    blocked.wake("team-a")

    assert woken == [second]


def test_a_namespace_is_refused_after_twenty_jobs_in_a_row_until_one_gets_its_children_or_none_waits() -> None:
    blocked = BlockedJobs(lambda _: None)
    waiting = keys(21)
    seen = []

    for number, key in enumerate(waiting[:20]):
        blocked.note(key, "children", QUOTA, Obstacle(), float(number))
        seen.append(blocked.is_refused("team-a"))
    after_twenty = blocked.is_refused("team-a"), blocked.is_refused("team-b")
    blocked.note(waiting[20], "children", None, Obstacle(), 20.0)
    of_one_that_runs = blocked.is_refused("team-a")
    blocked.note(waiting[20], "children", None, Obstacle(), 21.0, made=True)
    once_one_was_made = blocked.is_refused("team-a")
    for key in waiting[:20]:
        blocked.note(key, "children", QUOTA, Obstacle(), 22.0)
    again = blocked.is_refused("team-a")
    for key in waiting[:1]:
        blocked.leave(key)

    assert seen == [False] * 19 + [True]
    assert after_twenty == (True, False)
    assert (of_one_that_runs, once_one_was_made, again) == (True, False, True)
    assert not blocked.is_refused("team-a")


def test_one_job_is_no_namespace_however_often_it_is_refused() -> None:
    blocked, obstacle = BlockedJobs(lambda _: None), Obstacle()
    waiting = keys(25)

    for number in range(30):
        blocked.note(waiting[0], "children", QUOTA, obstacle, 1000.0 * number)
    of_one = blocked.is_refused("team-a")
    for key in waiting:
        blocked.wait(key)

    assert (of_one, blocked.is_refused("team-a")) == (False, True)


def test_what_the_operator_itself_holds_back_is_no_refusal() -> None:
    blocked = BlockedJobs(lambda _: None)

    for key in keys(25):
        blocked.note(key, "children", Cause("BudgetUsedUp", "the month's GPU-seconds are used up"), Obstacle(), 0.0)

    assert not blocked.is_refused("team-a")


def test_to_be_asked_again_before_it_is_time_is_no_further_refusal() -> None:
    blocked, obstacle = BlockedJobs(lambda _: None), Obstacle()
    [key] = keys(1)

    for _ in range(30):
        blocked.note(key, "children", QUOTA, obstacle, 1.0)

    assert not blocked.is_refused("team-a")


def test_rights_that_are_lacking_are_asked_for_again_within_half_a_minute_however_long_they_have_been() -> None:
    blocked, obstacle = BlockedJobs(lambda _: None), Obstacle()
    [key] = keys(1)
    now, waits = 0.0, []

    for _ in range(20):
        blocked.note(key, "children", NO_RIGHT, obstacle, now)
        waits.append(round(obstacle.due - now, 3))
        now = obstacle.due

    assert min(waits) >= 15
    assert max(waits) <= 30


def test_of_many_jobs_for_which_rights_are_lacking_no_more_than_five_a_second_ask_again() -> None:
    blocked = BlockedJobs(lambda _: None)
    waiting = [(Key(f"team-{number % 100}", f"job-{number}"), Obstacle()) for number in range(1000)]

    for round_ in range(20):
        for key, obstacle in waiting:
            blocked.note(key, "children", NO_RIGHT, obstacle, 1000.0 * round_)

    assert {obstacle.due for _, obstacle in waiting} == {19_200.0}


def test_a_quota_is_asked_for_ever_more_seldom_since_its_changes_are_watched() -> None:
    blocked, obstacle = BlockedJobs(lambda _: None), Obstacle()
    [key] = keys(1)

    for round_ in range(20):
        blocked.note(key, "children", QUOTA, obstacle, 1000.0 * round_)

    assert obstacle.due - 19_000.0 >= 300
