"""What another version of the operator wrote into a status stays there, as long as what it is about does."""

from typing import Any

from tests.unit.finetune_operator.samples import parsed

from finetune_api.status import FineTuneJobStatus
from finetune_operator.job.unknown import unknown_fields, with_unknown

PROGRESS = {"step": 3, "percent": 1}
NOTICES = {"sent": [{"phase": "Failed"}]}


def kept(before: Any, after: dict[str, Any]) -> dict[str, Any]:
    return with_unknown(after, unknown_fields(before, FineTuneJobStatus), FineTuneJobStatus)


def test_what_is_not_known_stays_at_the_top_and_in_the_objects_that_are_known() -> None:
    before = {"phase": "Running", "notices": NOTICES, "progress": {**PROGRESS, "tokens": "9"}, "run": {"number": 1}}

    after = kept(before, {"phase": "Running", "progress": {"step": 4, "percent": 2}, "run": {"number": 1}})

    assert after == {
        "phase": "Running",
        "notices": NOTICES,
        "progress": {"step": 4, "percent": 2, "tokens": "9"},
        "run": {"number": 1},
    }


def test_it_goes_with_the_object_that_it_is_about() -> None:
    assert kept({"progress": {**PROGRESS, "tokens": "9"}}, {"phase": "Pending"}) == {"phase": "Pending"}


def test_a_status_that_this_version_wrote_has_nothing_of_it() -> None:
    status = {"phase": "Running", "progress": PROGRESS, "attempts": [{"number": 1, "pod": "a", "new": 1}]}

    assert unknown_fields(status, FineTuneJobStatus) == {}


def test_of_what_is_no_status_or_holds_something_else_than_it_should_nothing_is_kept() -> None:
    odd = {"progress": "fast", "attempts": {"a": 1}, "usage": [1]}

    assert [unknown_fields(each, FineTuneJobStatus) for each in (None, [], "x", odd)] == [{}] * 4


def test_a_job_is_read_with_it() -> None:
    assert parsed({"phase": "Running", "notices": NOTICES}).unknown == {"notices": NOTICES}
    assert parsed({"phase": "Running"}).unknown == {}
