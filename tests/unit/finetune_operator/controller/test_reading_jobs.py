"""A job under its profile is read once, as long as nothing about it changes."""

import pytest
from tests.unit.finetune_operator.controller.settling import profiles_of
from tests.unit.finetune_operator.samples import (
    finetunejob,
    merged,
    settled,
)

from finetune_api.profile import FineTuneProfileSpec
from finetune_operator.kube.packed import pack


def test_a_job_that_has_not_changed_is_read_once() -> None:
    reader = profiles_of()
    first = reader.read_finetunejob(pack(finetunejob()))

    assert reader.read_finetunejob(pack(finetunejob())) is first


def test_one_version_is_read_again_where_another_status_is_kept_of_it() -> None:
    reader = profiles_of()
    reader.read_finetunejob(pack(finetunejob({"phase": "Pending"})))

    assert reader.read_finetunejob(pack(finetunejob({"phase": "Running"}))).status.phase == "Running"


def test_only_the_status_is_read_again_where_nothing_else_has_changed() -> None:
    reader, later = profiles_of(), merged(finetunejob({"phase": "Pending"}), {"metadata": {"resourceVersion": "8"}})
    first = reader.read_finetunejob(finetunejob())

    second = reader.read_finetunejob(later)

    assert second.status.phase == "Pending"
    assert second.spec is first.spec


@pytest.mark.thorough
def test_of_a_thousand_jobs_that_run_no_spec_is_read_again() -> None:
    reader = profiles_of()
    jobs = [merged(finetunejob(), {"metadata": {"uid": f"uid-{number}"}}) for number in range(1000)]
    first = [reader.read_finetunejob(raw).spec for raw in jobs]

    again = [reader.read_finetunejob(merged(raw, {"metadata": {"resourceVersion": "8"}})).spec for raw in jobs]

    assert all(one is other for one, other in zip(first, again, strict=True))


def test_a_job_that_loses_its_profile_is_read_as_its_user_wrote_it_however_many_were_read_since() -> None:
    reader = profiles_of()
    given = FineTuneProfileSpec.model_validate({"defaults": {"resources": {"cpu": "8"}}})
    first = reader.read_finetunejob(finetunejob(settled(given))).spec
    for number in range(200):
        reader.read_finetunejob(merged(finetunejob(), {"metadata": {"uid": f"uid-{number}"}}))

    again = reader.read_finetunejob(merged(finetunejob(settled(given)), {"metadata": {"resourceVersion": "8"}})).spec
    without = reader.read_finetunejob(merged(finetunejob({}), {"metadata": {"resourceVersion": "9"}}))

    assert first is not None
    assert without.spec is not None
    assert again is first
    assert (first.resources.cpu, without.spec.resources.cpu, without.problems) == ("8", None, "")


def test_another_spec_is_read_anew() -> None:
    reader, changed = profiles_of(), {"metadata": {"resourceVersion": "8", "generation": 2}, "spec": {"suspend": True}}
    reader.read_finetunejob(finetunejob())

    spec = reader.read_finetunejob(merged(finetunejob(), changed)).spec

    assert spec is not None
    assert spec.suspend
