"""What a job gets from its profile, and what it keeps of it."""

import json
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import SPEC, children, finetunejob, merged, run_file_of

from finetune_api.profile import OPEN, FineTuneProfileSpec
from finetune_api.profile_rules import Request
from finetune_api.profile_table import violation
from finetune_api.reasons import Reason
from finetune_api.status import AppliedProfile
from finetune_api.tracking import tracker_urls
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.controller.profiles import trim_profile
from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.job.profile import NO_PROFILE, Refusal, apply_profile, kept_settings
from finetune_operator.kube.bounded_json import read_object
from finetune_operator.kube.client import PROFILES
from finetune_operator.kube.packed import pack, unpack

SAFE = FineTuneProfileSpec()


def request_of(spec: dict[str, Any], **labels: str) -> Request:
    return Request(FineTuneJobSpec.model_validate(merged(SPEC, spec)), "yelp", "team-a", labels)


def profile(generation: int = 3, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "gpus", "generation": generation}, "spec": spec}


def applied(raw: dict[str, Any] | None, spec: dict[str, Any] | None = None) -> AppliedProfile:
    found = apply_profile(request_of({"profile": "gpus"} | (spec or {})), raw, SAFE)
    assert isinstance(found, AppliedProfile), found
    return found


def spec_under(defaults: dict[str, Any], limits: dict[str, Any] | None = None, **own: Any) -> FineTuneJobSpec:
    """The spec of a job that has its profile."""
    kept = applied(profile(defaults=merged(_NOTHING, defaults), limits=limits or {}, allow=_EVERYTHING), own)
    job = parse_finetunejob(finetunejob({"profile": kept.to_wire()}, **own))
    assert job.spec is not None, job.problems
    return job.spec


_NOTHING = OPEN.defaults.to_wire()
_EVERYTHING = OPEN.allow.to_wire()


def test_without_any_profile_the_safe_one_holds() -> None:
    found = apply_profile(request_of({}), None, SAFE)

    assert isinstance(found, AppliedProfile)
    assert (found.name, found.generation) == ("default", None)
    job = parse_finetunejob(finetunejob({"profile": found.to_wire()}))
    assert job.spec is not None
    assert (job.spec.resources.cpu, job.spec.resources.memory) == ("2", "8Gi")
    assert job.spec.run_policy.active_deadline_seconds == 86_400
    assert (job.profile.defaults.scratch, job.profile.defaults.shared_memory) == ("100Gi", "4Gi")


def test_the_open_profile_changes_nothing_and_refuses_nothing() -> None:
    own = {
        "pod": {"image": "x", "serviceAccountName": "admin", "securityContext": {"runAsUser": 1}},
        "output": {"size": "1Ti"},
        "runPolicy": {"backoffLimit": 100},
    }
    plain = FineTuneJobSpec.model_validate(merged(SPEC, own))

    found = apply_profile(request_of(own), None, OPEN)

    assert isinstance(found, AppliedProfile)
    assert parse_finetunejob(finetunejob({"profile": found.to_wire()}, **own)).spec == plain
    assert violation(request_of(own), OPEN) is None


_CORP = {"mlflow": {"uri": "https://mlflow.corp"}, "secretRef": {"name": "corp-mlflow"}}


@pytest.mark.parametrize(
    ("own", "trackers"),
    [
        (
            {},
            {"mlflow": {"uri": "https://mlflow.corp", "experiment": "finetune"}, "secretRef": {"name": "corp-mlflow"}},
        ),
        ({"tracking": {"tensorboard": {}}}, {"tensorboard": {}}),
        # The profile's credentials go to no server that a job names.
        ({"tracking": {"trackio": {"uri": "https://t"}}}, {"trackio": {"uri": "https://t", "project": "finetune"}}),
    ],
)
def test_a_job_that_names_no_tracker_has_those_of_its_profile_and_any_other_its_own_alone(
    own: dict[str, Any], trackers: dict[str, Any]
) -> None:
    tracking = spec_under({"tracking": _CORP}, **own).tracking

    assert tracking is not None
    assert tracking.to_wire() == trackers


def test_the_trackers_of_a_profile_need_no_permission_and_reach_the_trainer_with_their_secret() -> None:
    kept = applied(profile(defaults={"tracking": _CORP}, allow={"trackers": [], "secrets": []}))
    given = parse_finetunejob(finetunejob({"profile": kept.to_wire()}))

    made = children(given)
    volumes = made.job["spec"]["template"]["spec"]["volumes"]
    assert {"name": "secret-tracking", "secret": {"secretName": "corp-mlflow", "defaultMode": 0o440}} in volumes
    assert json.loads(run_file_of(made.job))["tracking"]["mlflow"]["uri"] == "https://mlflow.corp"
    assert tracker_urls(given.spec and given.spec.tracking) == ("https://mlflow.corp",)


def test_the_job_keeps_name_generation_and_settings_and_their_digest_tells_a_change() -> None:
    kept = applied(profile(defaults={"image": "corp/trainer"}))

    changed = kept.model_copy(update={"settings": kept.settings.replace("corp/trainer", "evil/trainer")})

    assert (kept.name, kept.generation) == ("gpus", 3)
    settings = kept_settings(kept)
    assert settings is not None
    assert settings.defaults.image == "corp/trainer"
    assert kept_settings(changed) is None
    assert parse_finetunejob(finetunejob({"profile": changed.to_wire()})).profile == NO_PROFILE


@pytest.mark.parametrize(
    ("spec", "labels", "raw", "reason", "message", "final"),
    [
        (
            {"profile": "gpus"},
            {},
            None,
            Reason.PROFILE_NOT_FOUND,
            "there is no FineTuneProfile gpus, which spec.profile names",
            False,
        ),
        (
            {},
            {"finetune.dev/profile": "gpus"},
            None,
            Reason.PROFILE_NOT_FOUND,
            "there is no FineTuneProfile gpus, which the namespace's label finetune.dev/profile names",
            False,
        ),
        (
            {"pod": {"image": "evil"}},
            {},
            None,
            Reason.POLICY_VIOLATION,
            "profile default: spec.pod.image evil is not allowed; allow.images has nothing",
            True,
        ),
        (
            {"profile": "gpus"},
            {},
            profile(limits={"gpus": "many"}),
            Reason.INVALID_PROFILE,
            "FineTuneProfile gpus: limits.gpus: Input should be a valid integer",
            False,
        ),
        (
            {"profile": "gpus"},
            {},
            profile(
                defaults={
                    "annotations": {f"a{number}": "x" * 1024 for number in range(7)},
                    "env": [{"name": f"A{number}", "value": "x" * 4096} for number in range(3)],
                }
            ),
            Reason.INVALID_PROFILE,
            "FineTuneProfile gpus has 19974 characters beside allow, and at most 16384 fit",
            False,
        ),
    ],
)
def test_a_job_that_does_not_get_its_profile_is_told_why(
    spec: dict[str, Any], labels: dict[str, str], raw: dict[str, Any] | None, reason: Reason, message: str, final: bool
) -> None:
    found = apply_profile(request_of(spec, **labels), raw, SAFE)

    assert isinstance(found, Refusal)
    assert (found.reason, found.final) == (reason, final)
    assert found.message.startswith(message)


def test_maps_and_lists_have_the_profile_s_entries_and_the_job_s_own_of_which_its_own_win() -> None:
    spec = spec_under(
        {
            "nodeSelector": {"pool": "gpu", "zone": "a"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "env": [{"name": "A", "value": "profile"}, {"name": "B", "value": "profile"}],
            "imagePullSecrets": [{"name": "corp"}],
            "queue": "team-a",
        },
        pod={
            "nodeSelector": {"zone": "b"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}, {"key": "mine", "operator": "Exists"}],
            "env": [{"name": "B", "value": "job"}],
            "imagePullSecrets": [{"name": "mine"}],
            "labels": {"team": "a"},
        },
    )

    assert spec.pod.node_selector == {"pool": "gpu", "zone": "b"}
    assert [each.key for each in spec.pod.tolerations] == ["gpu", "mine"]
    assert [(each.name, each.value) for each in spec.pod.env] == [("A", "profile"), ("B", "job")]
    assert [each.name for each in spec.pod.image_pull_secrets] == ["corp", "mine"]
    assert spec.pod.labels == {"kueue.x-k8s.io/queue-name": "team-a", "team": "a"}


@pytest.mark.parametrize(
    ("defaults", "empty_dir", "size"),
    [
        ({"scratch": "100Gi"}, {}, "100Gi"),
        ({"scratch": "100Gi"}, {"sizeLimit": "100Ti"}, "100Gi"),
        ({"scratch": "100Gi"}, {"sizeLimit": "5Gi"}, "5Gi"),
        ({"scratch": "100Gi", "sharedMemory": "1Gi"}, {"medium": "Memory", "sizeLimit": "2Gi"}, "1Gi"),
        ({"scratch": "0"}, {"sizeLimit": "100Ti"}, "100Ti"),
        ({"scratch": "0"}, {}, None),
    ],
)
def test_an_empty_folder_of_the_job_is_held_to_the_size_of_the_profile(
    defaults: dict[str, Any], empty_dir: dict[str, Any], size: str | None
) -> None:
    spec = spec_under(defaults, pod={"volumes": [{"name": "v", "emptyDir": empty_dir}]})

    (volume,) = spec.pod.volumes
    assert volume.empty_dir is not None
    assert volume.empty_dir.size_limit == size


def test_a_single_field_is_the_job_s_own_or_else_the_profile_s() -> None:
    defaults = {"image": "corp/trainer", "serviceAccountName": "trainer", "runtimeClassName": "nvidia"}

    spec = spec_under(defaults, pod={"image": "mine", "labels": {"kueue.x-k8s.io/queue-name": "mine"}})

    assert (spec.pod.image, spec.pod.service_account_name, spec.pod.runtime_class_name) == ("mine", "trainer", "nvidia")
    assert spec_under({"queue": "corp"}, pod={"labels": spec.pod.labels}).pod.labels == spec.pod.labels


@pytest.mark.parametrize(
    ("default", "limit", "own", "memory"),
    [
        ("0", None, None, None),
        ("8Gi", None, None, "8Gi"),
        ("8Gi", "4Gi", None, "4Gi"),
        ("8Gi", "16Gi", None, "8Gi"),
        ("0", "16Gi", None, "16Gi"),
        ("8Gi", "16Gi", "12Gi", "12Gi"),
    ],
)
def test_memory_is_the_job_s_own_or_the_default_within_the_limit_or_the_limit(
    default: str, limit: str | None, own: str | None, memory: str | None
) -> None:
    limits = {"memory": limit} if limit else {}

    spec = spec_under({"resources": {"memory": default}}, limits, resources={"memory": own} if own else {})

    assert spec.resources.memory == memory


@pytest.mark.parametrize(
    ("default", "limit", "own", "deadline"),
    [(0, None, None, None), (60, None, None, 60), (60, 30, None, 30), (0, 30, None, 30), (60, 300, 200, 200)],
)
def test_a_deadline_is_the_job_s_own_or_the_default_within_the_limit_or_the_limit(
    default: int, limit: int | None, own: int | None, deadline: int | None
) -> None:
    limits = {"activeDeadlineSeconds": limit} if limit else {}

    spec = spec_under(
        {"activeDeadlineSeconds": default}, limits, runPolicy={"activeDeadlineSeconds": own} if own else {}
    )

    assert spec.run_policy.active_deadline_seconds == deadline


def test_a_number_that_the_job_does_not_say_is_lowered_to_the_limit() -> None:
    spec = spec_under({}, {"gpus": 0, "backoffLimit": 1})

    assert (spec.resources.gpus, spec.run_policy.backoff_limit) == (0, 1)


def test_pods_that_run_have_the_gpus_that_their_job_says_whatever_a_limit_says_later() -> None:
    kept = applied(profile(limits={"gpus": 0}))

    spec = parse_finetunejob(finetunejob({"profile": kept.to_wire()}, resources={"gpus": 2})).spec

    assert spec is not None
    assert spec.resources.gpus == 2


def test_what_is_changed_beyond_the_limits_while_the_job_runs_is_held_to_them() -> None:
    kept = applied(profile(limits={"activeDeadlineSeconds": 60, "backoffLimit": 3}))

    later = finetunejob({"profile": kept.to_wire()}, runPolicy={"activeDeadlineSeconds": 999, "backoffLimit": 9})

    spec = parse_finetunejob(later).spec
    assert spec is not None
    assert (spec.run_policy.active_deadline_seconds, spec.run_policy.backoff_limit) == (60, 3)


@pytest.mark.parametrize(
    ("own", "output"),
    [
        ({}, {"uri": "s3://models/team-a/yelp", "secretRef": {"name": "s3"}}),
        ({"uri": "s3://mine/x"}, {"uri": "s3://mine/x", "secretRef": {"name": "s3"}}),
        (
            {"uri": "s3://mine/x", "secretRef": {"name": "own"}},
            {"uri": "s3://mine/x", "secretRef": {"name": "own"}},
        ),
        ({"uri": "pvc://mine/x"}, {"uri": "pvc://mine/x"}),
        ({"size": "1Gi"}, {"size": "1Gi", "storageClassName": "fast"}),
        ({"retentionPolicy": "Delete"}, {"retentionPolicy": "Delete", "size": "5Gi", "storageClassName": "fast"}),
    ],
)
def test_the_output_is_the_job_s_own_or_that_of_the_profile_with_its_credentials(
    own: dict[str, Any], output: dict[str, Any]
) -> None:
    defaults = {
        "output": "s3://models/{namespace}/{name}",
        "secretRef": {"name": "s3"},
        "outputSize": "5Gi",
        "storageClassName": "fast",
    }

    assert spec_under(defaults, output=own).output.to_wire() == output


def test_a_job_that_is_read_again_has_the_spec_that_it_has_when_it_is_read_for_the_first_time() -> None:
    own = {"resources": {"gpus": 2}}
    kept = applied(profile(defaults={"image": "corp/trainer"}, allow=_EVERYTHING), own)
    with_it = finetunejob({"profile": kept.to_wire()}, **own)
    before = parse_finetunejob(finetunejob(**own))

    after = parse_finetunejob(with_it, before=before)

    assert after == parse_finetunejob(with_it)
    assert parse_finetunejob(finetunejob(**own), before=after) == before


async def test_a_profile_whose_spec_is_too_large_to_be_read_is_not_taken_for_one_without_limits() -> None:
    huge = {"limits": {"gpus": 1}, "allow": {"images": ["i" * 100_000]}}
    metadata = {"name": "gpus", "uid": "u", "generation": 3, "resourceVersion": "7"}
    read = await read_object(json.dumps({"metadata": metadata, "spec": huge}).encode(), PROFILES.longest)

    found = apply_profile(
        request_of({"profile": "gpus", "resources": {"gpus": 8}}), unpack(pack(trim_profile(read))), SAFE
    )

    assert isinstance(found, Refusal)
    assert (found.reason, found.final) == ("InvalidProfile", False)
    assert found.message.startswith("FineTuneProfile gpus: its spec has 100")
