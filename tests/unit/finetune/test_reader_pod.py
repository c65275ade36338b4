"""What lies on a volume is copied through a pod that reads it."""

from pathlib import Path

import pytest
from tests.unit.finetune.written_outputs import FILES, job
from tests.unit.finetune_operator.samples import SPEC, children, finetunejob, merged

from finetune.download import NotVerified, artifact_of, download, verify
from finetune.errors import NotFound, Refused
from finetune.reader_pod import reader_pod
from finetune.snapshot import read_snapshot
from finetune_api.profile import OPEN
from finetune_api.profile_rules import Request
from finetune_api.status import AppliedProfile
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.job.profile import apply_profile
from finetune_trainer.base.files import digest_of, files_below


def test_of_a_volume_it_says_what_to_type_and_a_copy_is_verified(written: Path, tmp_path: Path) -> None:
    digest = digest_of(files_below(written), written)
    done = job(model={"uri": "pvc://job-output/a%20b/model", "digest": digest})

    with pytest.raises(Refused) as raised:
        download(done, artifact_of(done), tmp_path / "my model")
    names = verify(artifact_of(done), written)
    (written / "a.txt").write_bytes(b"cut")

    finetune, kubectl = "finetune download job -n team-a", "kubectl -n team-a"
    assert [line.strip() for line in str(raised.value).splitlines()[1:]] == [
        f"{finetune} --reader-pod | {kubectl} apply -f -",
        f"{kubectl} wait --for=condition=Ready --timeout=10m pod/job-reader",
        f"{kubectl} cp 'job-reader:/output/a b/model' '{tmp_path}/my model'",
        f"{finetune} --verify '{tmp_path}/my model'",
        f"{kubectl} delete pod job-reader",
    ]
    assert names == sorted(FILES)
    with pytest.raises(NotVerified, match="is not the model that the trainer wrote"):
        verify(artifact_of(done), written)
    with pytest.raises(NotFound, match="there is no folder"):
        verify(artifact_of(done), tmp_path / "none")


def test_the_pod_that_reads_a_volume_is_of_the_image_and_the_user_that_wrote_it() -> None:
    raw = {
        "metadata": {"name": "j" * 70, "namespace": "team-a"},
        "spec": {"pod": {"securityContext": {"runAsUser": 7}, "imagePullSecrets": [{"name": "registry"}]}},
        "status": {"provenance": {"image": "registry/trainer@sha256:1"}},
    }

    pod = reader_pod(read_snapshot(raw), "pvc://job-output/model")

    spec = pod["spec"]
    assert pod["metadata"] == {"name": f"{'j' * 50}-reader", "namespace": "team-a"}
    assert (spec["containers"][0]["image"], spec["securityContext"]["runAsUser"]) == ("registry/trainer@sha256:1", 7)
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["volumes"] == [
        {"name": "output", "persistentVolumeClaim": {"claimName": "job-output", "readOnly": True}}
    ]
    with pytest.raises(NotFound, match="by which image"):
        reader_pod(job(), "pvc://job-output/model")
    with pytest.raises(Refused, match="is on no volume"):
        reader_pod(job(), "s3://bucket/model")


def test_the_pod_that_reads_a_volume_is_placed_and_pulled_as_the_job_s_own_by_its_profile() -> None:
    pod = {"nodeSelector": {"pool": "a100", "zone": "b"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]}
    own = merged(SPEC, {"pod": {"imagePullSecrets": [{"name": "own"}], **pod}})
    defaults = {
        "image": "corp/trainer",
        "imagePullSecrets": [{"name": "corp"}, {"name": "own"}],
        "nodeSelector": {"zone": "a", "corp": "yes"},
        "tolerations": [{"key": "corp", "operator": "Exists"}],
        "securityContext": {"runAsUser": 9},
    }
    applied = apply_profile(
        Request(FineTuneJobSpec.model_validate({**own, "profile": "corp"}), "yelp", "team-a", {}),
        {"metadata": {"generation": 1}, "spec": {"defaults": defaults, "allow": OPEN.allow.to_wire()}},
        OPEN,
    )
    assert isinstance(applied, AppliedProfile)
    raw = finetunejob({"profile": applied.to_wire()}, **own)

    reader = reader_pod(read_snapshot(raw), "pvc://job-output/model")["spec"]

    trainer = children(parse_finetunejob(raw)).job["spec"]["template"]["spec"]
    for name in ("imagePullSecrets", "nodeSelector"):
        assert reader[name] == trainer[name], name
    assert [each["key"] for each in reader["tolerations"]] == ["corp", "gpu"]
    assert all(each in trainer["tolerations"] for each in reader["tolerations"])
    assert reader["securityContext"]["runAsUser"] == trainer["securityContext"]["runAsUser"] == 9
    assert reader["containers"][0]["image"] == trainer["containers"][0]["image"]
