"""Rights that are lacking are asked for within half a minute, and ever more seldom where many jobs wait for one."""

import gc

from tests.unit.finetune_operator.samples import finetunejob

from finetune_operator.controller.entry import Entry
from finetune_operator.controller.rights import MissingRights
from finetune_operator.job.finetunejob import Key

NO_RIGHT = 'jobs.batch "yelp" is forbidden: User "system:serviceaccount:fto:ft" cannot patch resource "jobs"'
POLICY = "ValidatingAdmissionPolicy 'theirs' denied request: no"


def test_the_more_jobs_wait_for_a_right_the_longer_each_waits_until_they_are_gone_or_have_it() -> None:
    rights = MissingRights()
    entries = {Key("team-a", f"job-{number}"): Entry(finetunejob()) for number in range(1000)}
    one = next(iter(entries))

    alone = rights.longest(one, entries[one], NO_RIGHT)
    for key, entry in entries.items():
        of_many = rights.longest(key, entry, NO_RIGHT)
    for key in [*entries][500:]:
        rights.given(key)
    of_half = rights.longest(one, entries[one], NO_RIGHT)
    entries, entry = {one: entries[one]}, entries[one]
    gc.collect()
    of_the_last = rights.longest(one, entry, NO_RIGHT)

    assert (alone, of_many, of_half, of_the_last) == (30, 200, 100, 30)


def test_what_is_refused_for_another_reason_waits_for_longer_and_counts_for_none() -> None:
    rights = MissingRights()
    entries = [Entry(finetunejob()) for _ in range(1000)]

    waits = {rights.longest(Key("a", f"job-{number}"), entry, POLICY) for number, entry in enumerate(entries)}

    assert waits == {600}
    assert rights.longest(Key("a", "another"), entries[0], NO_RIGHT) == 30
