"""What of a manifest a pod does not see."""

import os
from pathlib import Path
from typing import Any

import pytest

from finetune.pod_paths import pod_path_notes


def notes(**spec: Any) -> list[str]:
    return [note.partition(" file://")[0] for note in pod_path_notes({"spec": spec})]


def test_sources_that_are_on_this_machine_are_noted(tmp_path: Path) -> None:
    spaced = tmp_path / "with space.csv"
    spaced.touch()

    assert notes(model={"source": tmp_path.as_uri()}, dataset={"source": spaced.as_uri()}) == [
        "spec.model.source",
        "spec.dataset.source",
    ]


def test_a_path_of_the_image_or_of_a_volume_is_not_noted(tmp_path: Path) -> None:
    mounts = {"volumeMounts": [{"name": "data", "mountPath": f"{tmp_path}/"}]}

    assert notes(model={"source": "file:///models/in-the-image"}, dataset={"source": "s3://bucket/rows"}) == []
    assert notes(dataset={"source": tmp_path.as_uri()}, output={"uri": f"{tmp_path.as_uri()}/out"}, pod=mounts) == []


def test_a_path_that_this_user_may_not_look_at_is_not_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError("not for this user")

    monkeypatch.setattr(os, "stat", denied)

    assert notes(model={"source": "file:///root/model"}) == []


def test_an_output_that_goes_with_its_pod_is_noted() -> None:
    assert notes(output={"uri": "file:///out"}) == ["spec.output.uri"]


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"spec": 5},
        {"spec": {"pod": {"volumeMounts": [5]}, "model": {"source": 5}}},
        {"spec": {"pod": {"volumeMounts": 5}}},
        {"spec": {"model": {"source": f"file:///{'long' * 100}"}, "dataset": {"source": "file:///with%00zero"}}},
    ],
)
def test_of_what_is_no_manifest_nothing_is_noted(manifest: dict[str, Any]) -> None:
    assert pod_path_notes(manifest) == []
