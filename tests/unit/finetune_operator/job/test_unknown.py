"""What another version of the operator wrote into a status stays there, as long as what it is about does."""

from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel
from tests.unit.finetune_operator.samples import parsed

from finetune_api.status import FineTuneJobStatus
from finetune_operator.job.unknown import KEYS, unknown_fields, with_unknown

PROGRESS = {"step": 3, "percent": 1}
NOTICES = {"sent": [{"phase": "Failed"}]}


def models_in_lists(model: type[BaseModel]) -> set[type[BaseModel]]:
    """The models of all items of lists, at any depth."""
    items = {inner for field in model.model_fields.values() for inner in models_of(field.annotation, within=list)}
    inner = {inner for field in model.model_fields.values() for inner in models_of(field.annotation)}
    return items.union(*(models_in_lists(each) for each in inner))


def models_of(annotation: Any, within: Any = None) -> list[type[BaseModel]]:
    """The models that a type names, or only those within `within`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [] if within else [annotation]
    left = None if get_origin(annotation) is within else within
    return [found for each in get_args(annotation) for found in models_of(each, left)]


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


def test_in_items_of_lists_it_stays_with_the_item_at_whichever_place_that_is_now() -> None:
    before = {
        "conditions": [{"type": "Ready", "status": "True", "since": 1}, {"type": "Failed", "status": "False"}],
        "attempts": [{"number": 1, "pod": "a", "gpus": ["u1"]}, {"number": 2, "pod": "b", "gpus": ["u2"]}],
        "checkpoints": [{"step": 10, "uri": "s3://c/10", "metrics": [{"name": "loss", "value": "1", "unit": "nats"}]}],
    }

    after = kept(
        before,
        {
            "conditions": [{"type": "Failed", "status": "True"}, {"type": "Ready", "status": "False"}],
            "attempts": [{"number": 2, "pod": "b", "exitCode": 0}, {"number": 3, "pod": "c"}],
            "checkpoints": [{"step": 10, "uri": "s3://c/10", "metrics": [{"name": "loss", "value": "1"}]}],
        },
    )

    assert after == {
        "conditions": [{"type": "Failed", "status": "True"}, {"type": "Ready", "status": "False", "since": 1}],
        "attempts": [{"number": 2, "pod": "b", "exitCode": 0, "gpus": ["u2"]}, {"number": 3, "pod": "c"}],
        "checkpoints": before["checkpoints"],
    }


@pytest.mark.parametrize("model", sorted(models_in_lists(FineTuneJobStatus), key=lambda model: model.__name__))
def test_items_of_each_list_of_a_status_have_something_that_they_are_known_by(model: type[BaseModel]) -> None:
    fields = {field.alias: field for field in model.model_fields.values()}

    assert [fields[key].is_required() for key in KEYS[model]] == [True] * len(KEYS[model])


def test_a_status_that_this_version_wrote_has_nothing_of_it() -> None:
    status = {"phase": "Running", "progress": PROGRESS, "attempts": [{"number": 1, "pod": "a"}]}

    assert unknown_fields(status, FineTuneJobStatus) == {}


def test_of_what_is_no_status_or_holds_something_else_than_it_should_nothing_is_kept() -> None:
    odd = {"progress": "fast", "attempts": {"a": 1}, "usage": [1], "checkpoints": [1, {"new": 1}, None]}

    assert [unknown_fields(each, FineTuneJobStatus) for each in (None, [], "x", odd)] == [{}] * 4


def test_a_job_is_read_with_it() -> None:
    assert parsed({"phase": "Running", "notices": NOTICES}).unknown == {"notices": NOTICES}
    assert parsed({"phase": "Running"}).unknown == {}
