"""Paths on this machine that URIs of the manifest name."""

from pathlib import Path

import pytest

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.storage.uris import locate


def test_uris_are_found_on_this_machine() -> None:
    volumes = {"my.claim": Path("/mnt/claim")}

    assert locate("pvc://my.claim/a/b", volumes) == Path("/mnt/claim/a/b")
    assert locate("pvc://my.claim", volumes) == Path("/mnt/claim")
    assert locate("file:///data/a%20b.csv", volumes) == Path("/data/a b.csv")


def test_a_claim_that_is_not_mounted_is_named_with_the_remedy() -> None:
    with pytest.raises(TrainerError) as caught:
        locate("pvc://data/x", {"models": Path("/m")})

    assert caught.value.message == "pvc://data/x: volume 'data' is not known here; those given are models"
    assert caught.value.hint == "give its folder: --volume data=/some/folder"


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "%2e%2e/secret",
        "a/.%2e/%2e./secret",
        "/etc/passwd",
        "%2fetc/passwd",
        "%2f%2fetc/passwd",
        "a%2f..%2f..%2fb",
        "a%00b",
    ],
)
def test_no_path_leaves_its_claim(path: str) -> None:
    with pytest.raises(TrainerError, match="must not leave its volume"):
        locate(f"pvc://data/{path}", {"data": Path("/mnt/data")})
