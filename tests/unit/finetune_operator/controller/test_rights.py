"""Rights that are lacking are asked for within half a minute, and ever more seldom where many jobs wait for one."""

import gc

from finetune_api.reasons import Reason
from finetune_operator.controller.blocked import Obstacle
from finetune_operator.controller.rights import MissingRights
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.observation import Cause

NO_RIGHT = 'jobs.batch "yelp" is forbidden: User "system:serviceaccount:fto:ft" cannot patch resource "jobs"'
POLICY = "ValidatingAdmissionPolicy 'theirs' denied request: no"


def key(number: int) -> Key:
    return Key("team-a", f"job-{number}")


def ask(rights: MissingRights, number: int, obstacle: Obstacle, said: str = NO_RIGHT, now: float = 0.0) -> float:
    """A change of a job is refused, and the answer kept as `Refusable` does. The seconds within which to ask again."""
    longest = rights.longest(key(number), obstacle, said)
    obstacle.note("a change", Cause(Reason.SPEC_REFUSED, said), now, longest=longest)
    return longest


def test_the_more_jobs_wait_for_a_right_the_longer_each_waits_until_they_are_gone_or_have_it() -> None:
    rights = MissingRights(lambda: 0.0)
    obstacles = [Obstacle() for _ in range(1000)]

    alone = ask(rights, 0, obstacles[0])
    of_many = [ask(rights, number, each) for number, each in enumerate(obstacles)][-1]
    for each in obstacles[500:]:
        each.clear()
    of_half = ask(rights, 0, obstacles[0])
    del obstacles[1:], each
    gc.collect()
    of_the_last = ask(rights, 0, obstacles[0])

    assert (alone, of_many, of_half, of_the_last) == (30, 200, 100, 30)


def test_jobs_for_which_it_is_not_asked_again_any_more_count_no_longer() -> None:
    now = 0.0
    rights = MissingRights(lambda: now)
    obstacles = [Obstacle() for _ in range(1000)]
    for number, each in enumerate(obstacles):
        ask(rights, number, each)

    now = 1000.0

    assert rights.longest(key(1000), Obstacle(), NO_RIGHT) == 30


def test_what_is_refused_for_another_reason_waits_for_longer_and_counts_for_none() -> None:
    rights = MissingRights(lambda: 0.0)
    obstacles = [Obstacle() for _ in range(1000)]

    waits = {ask(rights, number, each, POLICY) for number, each in enumerate(obstacles)}

    assert waits == {600}
    assert ask(rights, 1000, Obstacle()) == 30


def test_a_job_that_is_refused_something_else_meanwhile_counts_no_longer() -> None:
    rights = MissingRights(lambda: 0.0)
    obstacles = [Obstacle() for _ in range(1000)]

    for said in (NO_RIGHT, POLICY):
        for number, each in enumerate(obstacles):
            ask(rights, number, each, said)

    assert ask(rights, 1000, Obstacle()) == 30
