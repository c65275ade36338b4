"""Models and checkpoints from a bucket, verified."""

import asyncio
import hashlib
import json
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tests.s3_server import BUCKET, S3
from tests.unit.finetune.api_server import FakeApi
from tests.unit.finetune_operator.samples import SPEC, children, finetunejob, merged

import finetune.download
from finetune import AsyncClient, Client
from finetune.download import NotVerified, artifact_of, download, download_in_thread, verify
from finetune.errors import FineTuneError, NotFound, Refused
from finetune.reader_pod import reader_pod
from finetune.snapshot import Snapshot, read_snapshot
from finetune_api.profile import OPEN
from finetune_api.profile_rules import Request
from finetune_api.status import AppliedProfile
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.job.profile import apply_profile
from finetune_trainer.base.files import digest_of, files_below
from finetune_trainer.checkpoints.manifest import seal

FILES = {"config.json": b"{}", "a/b.bin": b"weights", "a.txt": b"text"}


def job(**status: Any) -> Snapshot:
    return read_snapshot({"metadata": {"name": "job", "namespace": "team-a"}, "status": status})


@pytest.fixture
def bucket(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)
    for name in s3_server.names("download/"):
        s3_server.delete(name)
    return s3_server


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder as the trainer writes it."""
    folder = tmp_path / "written"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def upload(bucket: S3, folder: Path) -> str:
    for path in files_below(folder):
        bucket.write(f"download/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return f"s3://{BUCKET}/download"


@pytest.mark.thorough
def test_a_model_arrives_as_the_trainer_wrote_it(bucket: S3, written: Path, tmp_path: Path) -> None:
    uri = upload(bucket, written)
    done = job(phase="Succeeded", model={"uri": uri, "digest": digest_of(files_below(written), written)})

    names = download(done, artifact_of(done), tmp_path / "model")

    assert names == sorted(FILES)
    assert {name: (tmp_path / "model" / name).read_bytes() for name in names} == FILES


@pytest.mark.parametrize("of_the_file_itself", [True, False])
def test_an_output_that_is_one_file_arrives_in_a_folder(
    bucket: S3, written: Path, tmp_path: Path, of_the_file_itself: bool
) -> None:
    bucket.write("download/model.gguf", b"weights")
    file = tmp_path / "model.gguf"
    file.write_bytes(b"weights")
    digest = f"sha256:{hashlib.sha256(b'weights').hexdigest()}" if of_the_file_itself else digest_of([file], tmp_path)
    done = job(phase="Succeeded", model={"uri": f"s3://{BUCKET}/download/model.gguf", "digest": digest})

    names = download(done, artifact_of(done), tmp_path / "model")

    assert (names, (tmp_path / "model" / "model.gguf").read_bytes()) == (["model.gguf"], b"weights")
    copied = tmp_path / "as-kubectl-cp-names-it"
    copied.write_bytes(b"weights")
    assert verify(artifact_of(done), copied) == ["model.gguf"]
    for place in (copied, tmp_path / "model" / "model.gguf"):
        place.write_bytes(b"other")
        with pytest.raises(NotVerified, match="is not the model that the trainer wrote"):
            verify(artifact_of(done), place)
    bucket.write("download/model.gguf", b"other")
    with pytest.raises(NotVerified):
        download(done, artifact_of(done), tmp_path / "again")


def test_a_checkpoint_that_is_one_file_arrives_too(bucket: S3, tmp_path: Path) -> None:
    bucket.write("download/step-5.pt", b"weights")
    digest = f"sha256:{hashlib.sha256(b'weights').hexdigest()}"
    known = job(checkpoints=[{"step": 5, "uri": f"s3://{BUCKET}/download/step-5.pt", "digest": digest}])

    assert download(known, artifact_of(known, 5), tmp_path / "checkpoint") == ["step-5.pt"]


def test_what_stands_for_a_folder_in_a_bucket_is_no_file_of_the_model(
    bucket: S3, written: Path, tmp_path: Path
) -> None:
    uri = upload(bucket, written)
    for name in ("download/", "download/a/"):
        bucket.write(name, b"")
    done = job(phase="Succeeded", model={"uri": uri, "digest": digest_of(files_below(written), written)})

    assert download(done, artifact_of(done), tmp_path / "model") == sorted(FILES)


def test_a_model_that_somebody_changed_is_not_kept(bucket: S3, written: Path, tmp_path: Path) -> None:
    uri = upload(bucket, written)
    done = job(phase="Succeeded", model={"uri": uri, "digest": digest_of(files_below(written), written)})
    bucket.write("download/a.txt", b"other")

    with pytest.raises(NotVerified, match="is not the model that the trainer wrote"):
        download(done, artifact_of(done), tmp_path / "model")

    assert [path.name for path in tmp_path.iterdir()] == ["written"]


@pytest.mark.parametrize("chosen", ["best", "latest", "5"])
def test_a_checkpoint_arrives_with_every_file_of_its_manifest(
    bucket: S3, written: Path, tmp_path: Path, chosen: str
) -> None:
    sealed = seal(written, {}, 5, 1.0)
    uri = upload(bucket, written)
    reference = {"step": 5, "uri": uri}
    known = job(
        phase="Running",
        checkpoints=[{**reference, "digest": sealed.digest}],
        latestCheckpoint=reference,
        bestCheckpoint={**reference, "metric": "eval_loss", "value": "1"},
    )

    names = download(known, artifact_of(known, chosen), tmp_path / "checkpoint")
    bucket.write("download/a/b.bin", b"other")

    assert names == sorted([*FILES, "manifest.json"])
    with pytest.raises(NotVerified, match=r"not those that the trainer wrote: a/b\.bin"):
        download(known, artifact_of(known, chosen), tmp_path / "again")


def test_a_file_that_somebody_put_beside_those_of_a_checkpoint_is_not_kept(
    bucket: S3, written: Path, tmp_path: Path
) -> None:
    sealed = seal(written, {}, 5, 1.0)
    uri = upload(bucket, written)
    bucket.write("download/modeling.py", b"import os")
    known = job(checkpoints=[{"step": 5, "uri": uri, "digest": sealed.digest}])

    with pytest.raises(NotVerified, match=r"not those that the trainer wrote: modeling\.py"):
        download(known, artifact_of(known, "5"), tmp_path / "checkpoint")

    assert [path.name for path in tmp_path.iterdir()] == ["written"]


@pytest.mark.parametrize("beside", ["manifest.json", "download"])
def test_a_checkpoint_of_which_the_manifest_alone_is_left_is_not_kept(
    bucket: S3, written: Path, tmp_path: Path, beside: str
) -> None:
    sealed = seal(written, {}, 5, 1.0)
    manifest = written / "manifest.json"
    bucket.write(f"download/{beside}", manifest.read_bytes())
    known = job(checkpoints=[{"step": 5, "uri": f"s3://{BUCKET}/download", "digest": sealed.digest}])

    with pytest.raises(NotVerified):
        download(known, artifact_of(known, 5), tmp_path / "checkpoint")
    with pytest.raises(NotVerified):
        verify(artifact_of(known, 5), manifest)

    assert [path.name for path in tmp_path.iterdir()] == ["written"]


def test_a_list_of_the_files_of_a_model_is_no_model(bucket: S3, written: Path, tmp_path: Path) -> None:
    digest = digest_of(files_below(written), written)
    sums = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(written).as_posix()}\n"
        for path in files_below(written)
    )
    bucket.write("download/model.bin", sums.encode())
    done = job(model={"uri": f"s3://{BUCKET}/download", "digest": digest})
    assert f"sha256:{hashlib.sha256(sums.encode()).hexdigest()}" == digest

    with pytest.raises(NotVerified):
        download(done, artifact_of(done), tmp_path / "model")


def test_a_model_that_is_one_json_file_arrives(bucket: S3, tmp_path: Path) -> None:
    for number, content in enumerate((b'{"learner": {}}', b"{no json")):
        bucket.write("download/model.json", content)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        done = job(model={"uri": f"s3://{BUCKET}/download/model.json", "digest": digest})

        assert download(done, artifact_of(done), tmp_path / str(number)) == ["model.json"]


def test_a_manifest_that_somebody_made_up_is_not_believed(bucket: S3, written: Path, tmp_path: Path) -> None:
    sealed = seal(written, {}, 5, 1.0)
    uri = upload(bucket, written)
    text = json.loads((written / "manifest.json").read_text())
    text["files"]["a.txt"]["sha256"] = hashlib.sha256(b"other").hexdigest()
    bucket.write("download/manifest.json", json.dumps(text).encode())
    known = job(checkpoints=[{"step": 5, "uri": uri, "digest": sealed.digest}])

    with pytest.raises(NotVerified, match="the manifest in the copy of"):
        download(known, artifact_of(known, "5"), tmp_path / "checkpoint")


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("file:///out/model", "gone with it"),
        ("hf://org/name", "hf download org/name"),
    ],
)
def test_where_the_output_is_in_no_bucket_it_says_how(tmp_path: Path, uri: str, says: str) -> None:
    done = job(model={"uri": uri})

    with pytest.raises(Refused) as raised:
        download(done, artifact_of(done), tmp_path / "model")

    assert says in str(raised.value)


def test_what_is_not_there_is_said(bucket: S3, tmp_path: Path) -> None:
    known = job(checkpoints=[{"step": 5, "uri": f"s3://{BUCKET}/download"}])

    for checkpoint, message in ((None, "has no model yet"), ("6", "there are: 5"), ("best", "there are: 5")):
        with pytest.raises(NotFound, match=message):
            artifact_of(known, checkpoint)
    with pytest.raises(NotFound, match=r"holds no files|is not there"):
        download(known, artifact_of(known, "5"), tmp_path / "checkpoint")


def test_wrong_credentials_are_an_error_that_names_the_place(
    bucket: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    done = job(model={"uri": f"s3://{BUCKET}/download"})

    with pytest.raises(FineTuneError, match=f"s3://{BUCKET}/download"):
        download(done, artifact_of(done), tmp_path / "model")


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    done = job(model={"uri": "s3://x/y"})

    with pytest.raises(Refused, match="is there already"):
        download(done, artifact_of(done), tmp_path)


def test_a_link_to_nothing_is_left_as_it_is(tmp_path: Path) -> None:
    done = job(model={"uri": "s3://x/y"})
    link = tmp_path / "model"
    link.symlink_to(tmp_path / "nothing")

    with pytest.raises(Refused, match="is there already"):
        download(done, artifact_of(done), link)


def test_a_folder_that_cannot_be_written_is_told_as_that(bucket: S3, written: Path, tmp_path: Path) -> None:
    uri = upload(bucket, written)
    done = job(model={"uri": uri, "digest": digest_of(files_below(written), written)})

    with pytest.raises(FineTuneError, match=f"^{tmp_path}/written/a.txt/model cannot be written"):
        download(done, artifact_of(done), written / "a.txt" / "model")


def test_a_download_that_is_cancelled_takes_nothing_from_the_next(
    bucket: S3, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a notebook: the cell is interrupted and run again, while the first still waits for its next part."""
    uri = upload(bucket, written)
    done = job(model={"uri": uri, "digest": digest_of(files_below(written), written)})
    real, depth = finetune.download.verify, 0

    def verify_while_the_first_ends(*arguments: Any) -> list[str]:
        nonlocal depth
        depth += 1
        if depth == 1:
            stop = Event()
            stop.set()
            with pytest.raises(FineTuneError, match="was cancelled"):
                download(done, artifact_of(done), tmp_path / "model", stop)
        return real(*arguments)

    monkeypatch.setattr(finetune.download, "verify", verify_while_the_first_ends)

    assert download(done, artifact_of(done), tmp_path / "model") == sorted(FILES)


def test_what_is_cancelled_while_it_is_verified_is_not_kept(
    bucket: S3, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, stop = upload(bucket, written), Event()
    done = job(model={"uri": uri, "digest": digest_of(files_below(written), written)})
    monkeypatch.setattr(finetune.download, "verify", lambda *_: stop.set())

    with pytest.raises(FineTuneError, match="was cancelled"):
        download(done, artifact_of(done), tmp_path / "model", stop)

    assert [path.name for path in tmp_path.iterdir()] == ["written"]


@pytest.mark.thorough
@pytest.mark.parametrize("asynchronous", [True, False])
def test_from_python_it_is_one_call(
    api_server: FakeApi,
    kubeconfig: Path,
    bucket: S3,
    written: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asynchronous: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    uri = upload(bucket, written)
    digest = digest_of(files_below(written), written)
    api_server.job("stars", phase="Running")

    def call(**arguments: Any) -> Path:
        if not asynchronous:
            with Client() as client:
                job = client.get("stars")
                api_server.job("stars", phase="Succeeded", model={"uri": uri, "digest": digest})
                return job.download(**arguments)

        async def ask() -> Path:
            async with AsyncClient() as client:
                job = await client.get("stars")
                api_server.job("stars", phase="Succeeded", model={"uri": uri, "digest": digest})
                return await job.download(**arguments)

        return asyncio.run(ask())

    named, chosen = call(), call(folder="elsewhere")

    assert (named, chosen) == (Path("stars"), Path("elsewhere"))
    assert {name: (named / name).read_bytes() for name in FILES} == FILES
    with pytest.raises(Refused, match="is there already"):
        call()
    with pytest.raises(NotFound, match="has no checkpoint best"):
        call(checkpoint="best")
    bucket.write("download/a.txt", b"other")
    with pytest.raises(NotVerified):
        call(folder="changed")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["elsewhere", "stars", "written"]


async def test_a_download_that_is_cancelled_ends_and_keeps_nothing(
    bucket: S3, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = upload(bucket, written)
    done = job(model={"uri": uri, "digest": digest_of(files_below(written), written)})
    begun, cancelled, ended = Event(), Event(), Event()
    verified: list[object] = []

    def fetch(*arguments: Any) -> None:
        begun.set()
        cancelled.wait()
        try:
            real(*arguments)
        finally:
            ended.set()

    real = finetune.download._fetch
    monkeypatch.setattr(finetune.download, "_fetch", fetch)
    monkeypatch.setattr(finetune.download, "verify", verified.append)
    task = asyncio.create_task(download_in_thread(done, artifact_of(done), tmp_path / "model"))
    await asyncio.to_thread(begun.wait)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    cancelled.set()
    await asyncio.to_thread(ended.wait)

    assert verified == []
    assert not (tmp_path / "model").exists()


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
