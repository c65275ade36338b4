"""Volumes that are written from the API, and claims."""

from pathlib import Path
from typing import Any

import pytest

from devcluster.controllers.volume_binding import bound_claim, volume_phase
from devcluster.node.provisioner import should_provision, should_reclaim, volume_for
from devcluster.node.sources import Sources, UnresolvedReference
from devcluster.node.volumes import File, link_mounts, mount_places, volume_files, wanted_tokens, write_files

SOURCES = Sources("team", {"c": {"a": b"1", "b": b"2"}}, {"s": {"k": b"\x00"}})
POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "team", "uid": "u", "labels": {"a": "1"}},
    "spec": {"containers": [{"name": "main"}]},
}


def files_of(volume: dict[str, Any]) -> dict[str, File]:
    tokens = {("aud", 600): "JWT", ("", 3600): "own"}
    return volume_files(POD, {"name": "v", **volume}, SOURCES, tokens)


@pytest.mark.parametrize(
    ("volume", "files"),
    [
        pytest.param({"configMap": {"name": "c"}}, {"a": File(b"1"), "b": File(b"2")}, id="whole config map"),
        pytest.param(
            {"configMap": {"name": "c", "defaultMode": 0o400, "items": [{"key": "a", "path": "x/run.yaml"}]}},
            {"x/run.yaml": File(b"1", 0o400)},
            id="items",
        ),
        pytest.param({"secret": {"secretName": "s"}}, {"k": File(b"\x00")}, id="secret"),
        pytest.param({"configMap": {"name": "none", "optional": True}}, {}, id="optional"),
        pytest.param(
            {"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.labels['a']"}}]}},
            {"a": File(b"1")},
            id="downward API",
        ),
        pytest.param(
            {
                "projected": {
                    "defaultMode": 0o440,
                    "sources": [
                        {"serviceAccountToken": {"audience": "aud", "expirationSeconds": 600, "path": "token"}},
                        {"configMap": {"name": "c", "items": [{"key": "b", "path": "ca.crt", "mode": 0o444}]}},
                        {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
                    ],
                }
            },
            {"token": File(b"JWT", 0o440), "ca.crt": File(b"2", 0o444), "ns": File(b"team", 0o440)},
            id="projected",
        ),
    ],
)
def test_a_volume_holds_what_the_api_says(volume: dict[str, Any], files: dict[str, File]) -> None:
    assert files_of(volume) == files


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
        (
            {"secret": {"secretName": "s", "items": [{"key": "z", "path": "z"}]}},
            'secret "s" references non-existent config key: z',
        ),
        ({"configMap": {"name": "c", "items": [{"key": "a", "path": "../a"}]}}, "invalid path '../a' in volume v"),
    ],
)
def test_a_volume_that_cannot_be_made_says_what_is_missing(volume: dict[str, Any], message: str) -> None:
    with pytest.raises(UnresolvedReference, match=f"^{message}$"):
        files_of(volume)


def test_a_folder_follows_its_files(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": File(b"1"), "deep/b": File(b"2", 0o400)})
    write_files(tmp_path, {"a": File(b"3", 0o600), "c": File(b"4")})

    found = {
        path.name: (path.read_bytes(), path.stat().st_mode & 0o777) for path in tmp_path.iterdir() if path.is_file()
    }
    assert found == {"a": (b"3", 0o600), "c": (b"4", 0o644)}
    assert list((tmp_path / "deep").iterdir()) == []


def test_each_audience_is_one_token() -> None:
    source = {"serviceAccountToken": {"audience": "aud", "expirationSeconds": 600, "path": "a"}}
    own = {"serviceAccountToken": {"path": "b"}}
    pod = {"spec": {"volumes": [{"projected": {"sources": [source, own, source]}}, {"emptyDir": {}}]}}

    assert wanted_tokens(pod) == {("aud", 600), ("", 3600)}


def test_mounts_may_show_a_part_of_a_volume() -> None:
    container = {"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b/f", "subPath": "f"}]}

    assert mount_places(container, {"v": Path("/s/v")}) == {"/a": "/s/v", "/b/f": "/s/v/f"}


CLAIM: dict[str, Any] = {
    "metadata": {"name": "out", "namespace": "team", "uid": "1-2"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "fast",
    },
    "status": {"phase": "Pending"},
}


def test_mounts_beside_each_other_are_found_by_the_folder_that_they_lie_in(tmp_path: Path) -> None:
    for name in ("model", "output"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "TOKEN").write_text(name)
    mounts = {f"/run/keys/{name}": str(tmp_path / name) for name in ("model", "output")}

    links = link_mounts({**mounts, "/run/keys/model/inner": str(tmp_path), "/data": str(tmp_path)}, tmp_path / "links")
    again = link_mounts(mounts, tmp_path / "links")

    assert links == again == {"/run/keys": str(tmp_path / "links/run/keys")}
    assert {path.name: (path / "TOKEN").read_text() for path in Path(links["/run/keys"]).iterdir()} == {
        "model": "model",
        "output": "output",
    }


def test_a_pending_claim_gets_a_volume_of_its_own() -> None:
    volume = volume_for(CLAIM, Path("/state/claims/pvc-1-2"))

    assert should_provision(CLAIM)
    assert volume == {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": "pvc-1-2",
            "annotations": {"pv.kubernetes.io/provisioned-by": "devcluster.local/hostpath"},
        },
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "storageClassName": "fast",
            "persistentVolumeReclaimPolicy": "Delete",
            "hostPath": {"path": "/state/claims/pvc-1-2", "type": "DirectoryOrCreate"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": "team",
                "name": "out",
                "uid": "1-2",
            },
        },
    }


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"volumeName": "mine"}},
        {"spec": {"selector": {"matchLabels": {"a": "b"}}}},
        {"status": {"phase": "Bound"}},
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
    ],
)
def test_a_claim_that_is_cared_for_gets_none(change: dict[str, Any]) -> None:
    assert not should_provision({part: {**CLAIM[part], **change.get(part, {})} for part in CLAIM})


def test_a_volume_is_bound_while_its_claim_is_there_and_then_released() -> None:
    volume = volume_for(CLAIM, Path("/f"))
    other = {**CLAIM, "metadata": {**CLAIM["metadata"], "uid": "9"}}

    phases = [volume_phase(volume, claims) for claims in ({("team", "out"): CLAIM}, {}, {("team", "out"): other})]

    assert phases == ["Bound", "Released", "Released"]


def test_a_bound_claim_says_which_volume_it_has() -> None:
    bound = bound_claim(CLAIM, volume_for(CLAIM, Path("/f")))

    assert bound == {
        "metadata": {**CLAIM["metadata"], "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {**CLAIM["spec"], "volumeName": "pvc-1-2"},
        "status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}},
    }


def test_only_released_volumes_of_ours_that_say_delete_are_removed() -> None:
    volume = {**volume_for(CLAIM, Path("/f")), "status": {"phase": "Released"}}
    kept = {**volume, "spec": {**volume["spec"], "persistentVolumeReclaimPolicy": "Retain"}}
    foreign = {**volume, "metadata": {"name": "x"}}
    in_use = {**volume, "status": {"phase": "Bound"}}

    assert [should_reclaim(item) for item in (volume, kept, foreign, in_use)] == [True, False, False, False]
