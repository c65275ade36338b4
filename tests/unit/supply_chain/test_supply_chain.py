"""What `make images` says of an image is what can be verified without a network, and any change of it is found."""

import copy
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from supply_chain import repository
from supply_chain.__main__ import engine_commands
from supply_chain.archive import BrokenArchive, digest_of
from supply_chain.image import OPERATOR_EXTRAS, TRAINER_EXTRAS, Image, all_images, pinned
from supply_chain.provenance import Build, base_digest, differences, provenance, sha256

ROOT = Path(__file__).parents[3]
BASE = f"python:3.11-slim-bookworm@sha256:{'ab' * 32}"
BUILDER = "https://builder.example.com"
DIGEST = f"sha256:{'cd' * 32}"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SBOM = b"a bill"
OPERATOR, TRAINER = all_images()


def read(commit: str, path: str) -> bytes:
    """A file of the commit that was built."""
    if commit != COMMIT:
        raise KeyError(commit)
    return f"content of {path}".encode()


def statement_of(image: Image) -> dict[str, Any]:
    build = Build(
        image=image,
        version="1.2.3",
        base=BASE,
        commit=COMMIT,
        builder=BUILDER,
        started="2026-11-28T12:00:00Z",
        finished="2026-11-28T12:10:00Z",
    )
    materials = {path: read(COMMIT, path) for path in image.materials}
    return provenance(build, digest=DIGEST, materials=materials, sbom=SBOM)


def wrong(statement: dict[str, Any], image: Image = OPERATOR, **others: Any) -> list[str]:
    given = {"builder": BUILDER, "digest": DIGEST, "sbom": SBOM, **others}
    return differences(statement, image, read=read, **given)


def test_an_image_s_locks_are_read_as_they_are_installed() -> None:
    operator, trainer = ({each.name: each for each in pinned(ROOT, image)} for image in all_images())

    assert {"aiohttp", "kopf", "kubernetes"} <= operator.keys()
    assert {"torch", "transformers", "datasets"} <= trainer.keys()
    assert not {"torch", "colorama", "pywin32"} & operator.keys()
    assert all(len(digest) == 64 for each in [*operator.values(), *trainer.values()] for digest in each.hashes)


def test_extras_are_locks_of_the_image_that_they_are_for() -> None:
    operator, trainer = all_images(["qlora", "traces"])

    assert (operator.locks[-1], operator.arguments) == ("locks/traces.lock", ("EXTRAS=operator,traces",))
    assert "opentelemetry-sdk" in {each.name for each in pinned(ROOT, operator)}
    assert (trainer.locks[-1], trainer.arguments) == ("locks/qlora.lock", ("EXTRAS=trainer,qlora",))
    assert "bitsandbytes" in {each.name for each in pinned(ROOT, trainer)}


@pytest.mark.parametrize("image", [OPERATOR, TRAINER], ids=lambda image: image.name)
def test_a_statement_says_what_was_built_from_what(image: Image) -> None:
    statement = statement_of(image)

    definition = statement["predicate"]["buildDefinition"]
    stated = {each["name"]: each["digest"] for each in definition["resolvedDependencies"]}
    assert statement["subject"] == [{"name": f"{image.name}:1.2.3", "digest": {"sha256": "cd" * 32}}]
    assert stated == {
        "source": {"gitCommit": COMMIT},
        BASE: {"sha256": "ab" * 32},
        **{path: {"sha256": sha256(read(COMMIT, path))} for path in image.materials},
    }
    assert statement["predicate"]["runDetails"]["builder"] == {"id": BUILDER}
    assert wrong(statement, image) == []


def dependency(statement: dict[str, Any], name: str) -> dict[str, Any]:
    found = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    return next(each for each in found if each["name"] == name)


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "subject": lambda it: it["subject"][0]["digest"].update(sha256="00" * 32),
    "builder": lambda it: it["predicate"]["runDetails"]["builder"].update(id="https://evil.example.com"),
    "base": lambda it: dependency(it, BASE)["digest"].update(sha256="00" * 32),
    "locks/operator.lock": lambda it: dependency(it, "locks/operator.lock")["digest"].update(sha256="00" * 32),
    "operator/Dockerfile": lambda it: dependency(it, "operator/Dockerfile")["digest"].update(sha256="00" * 32),
    "materials": lambda it: it["predicate"]["buildDefinition"]["resolvedDependencies"].append(
        {"name": "x", "digest": {}}
    ),
    "sbom": lambda it: it["predicate"]["runDetails"]["byproducts"][0]["digest"].update(sha256="00" * 32),
    "arguments": lambda it: it["predicate"]["buildDefinition"]["externalParameters"].update(arguments=["A=b"]),
    "predicateType": lambda it: it.update(predicateType="https://example.com"),
    "the statement lacks something": lambda it: it.pop("predicate"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_statement_is_found(what: str) -> None:
    statement = copy.deepcopy(statement_of(OPERATOR))

    CHANGES[what](statement)

    (difference,) = wrong(statement)
    assert difference.startswith(f"{what}: ")


def test_another_image_bill_or_commit_is_found() -> None:
    statement, of_another_commit = statement_of(OPERATOR), statement_of(OPERATOR)
    dependency(of_another_commit, "source")["digest"]["gitCommit"] = "f" * 40

    found = [
        wrong(statement, digest=f"sha256:{'00' * 32}"),
        wrong(statement, sbom=b"another"),
        wrong(of_another_commit),
        wrong(statement, builder="https://another.example.com"),
    ]

    assert [each[0].partition(":")[0] for each in found] == [
        "subject",
        "sbom",
        "the statement lacks something",
        "builder",
    ]


@pytest.mark.parametrize("base", ["", "python:3.11", f"python@sha256:{'ab' * 31}", f"python @sha256:{'ab' * 32}"])
def test_a_base_image_is_named_by_its_digest(base: str) -> None:
    with pytest.raises(ValueError, match="by its digest"):
        base_digest(base)


def test_no_dockerfile_has_a_base_of_its_own() -> None:
    for image in all_images():
        text = (ROOT / image.dockerfile).read_text()
        stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", text, re.MULTILINE)
        assert {base for base, _ in stages} <= {"${PYTHON_IMAGE}", *(name for _, name in stages)}
        assert "\nARG PYTHON_IMAGE\n" in text


def test_what_a_dockerfile_downloads_has_a_hash() -> None:
    for image in all_images():
        lines = (ROOT / image.dockerfile).read_text().replace("\\\n", " ").splitlines()
        downloads = [line for line in lines if "pip" in line and " install " in line and "--no-deps" not in line]
        torch = 'ARG TORCH="--require-hashes -r locks/torch.lock"' in lines
        assert downloads
        assert [
            line for line in downloads if "--require-hashes" not in line and not ("${TORCH}" in line and torch)
        ] == []


def steps(image: Image) -> list[list[str]]:
    """The instructions of each stage of an image's Dockerfile, each on one line, without comments."""
    text = (ROOT / image.dockerfile).read_text().replace("\\\n", " ")
    _, *stages = re.split(r"^FROM .*$", text, flags=re.MULTILINE)
    return [[line for line in stage.splitlines() if line and not line.startswith("#")] for stage in stages]


SECRETS = ("--mount=type=secret,id=pip,target=/etc/pip.conf", "--mount=type=secret,id=ca")


@pytest.mark.parametrize("image", [OPERATOR, TRAINER], ids=lambda image: image.name)
def test_whatever_downloads_may_use_an_index_of_one_s_own(image: Image) -> None:
    *building, final = steps(image)

    build = [line for stage in building for line in stage]
    downloads = [line for line in build if re.search(r"\bpip\b.* (install|wheel) ", line)]
    assert len(downloads) >= 3
    assert [line for line in downloads if not all(secret in line for secret in SECRETS)] == []
    assert [line for line in final if "secret" in line] == []


@pytest.mark.parametrize("image", [OPERATOR, TRAINER], ids=lambda image: image.name)
def test_an_image_has_no_pip_not_that_of_its_base_either(image: Image) -> None:
    *_, final = steps(image)

    assert "RUN python -m pip uninstall --yes pip setuptools wheel" in final
    assert "USER 65532:65532" in final


@pytest.mark.parametrize(
    ("image", "layers"),
    [
        (OPERATOR, ["dependencies /opt/venv", "build /new"]),
        (TRAINER, ["torch /opt/venv", "dependencies /new", "build /new"]),
    ],
    ids=lambda value: value.name if isinstance(value, Image) else "",
)
def test_what_a_release_changes_is_a_layer_of_its_own(image: Image, layers: list[str]) -> None:
    *building, final = steps(image)

    copies = [line for line in final if line.startswith(("COPY", "ADD"))]
    assert copies == [f"COPY --from={layer} /opt/venv" for layer in layers]
    assert [len(stage) > 0 and "COPY operator operator" in stage for stage in building] == [
        *[False] * (len(layers) - 1),
        True,
    ]


def test_no_layer_replaces_what_another_installed() -> None:
    """What pip would take out of the layer before it would stay there."""
    for image in all_images([*OPERATOR_EXTRAS, *TRAINER_EXTRAS]):
        names = [each.name for each in pinned(ROOT, image)]
        assert sorted(set(names)) == names


def test_what_two_commits_share_is_the_same_file_in_both_contexts(tmp_path: Path) -> None:
    """With its time, by which podman tells whether it has made a layer already."""
    found = []
    for day in ("2026-01-01", "2026-02-02"):
        checkout = tmp_path / "checkout"
        subprocess.run(["git", "init", "-q", checkout], check=True)
        (checkout / "a.lock").write_text("a==1")
        (checkout / "day").write_text(day)
        (tmp_path / day).mkdir()
        who = {f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        when = {f"GIT_{who}_DATE": f"{day}T00:00:00Z" for who in ("AUTHOR", "COMMITTER")}
        for command in (["add", "."], ["commit", "-qm", day]):
            subprocess.run(["git", "-C", checkout, *command], env={**os.environ, **who, **when}, check=True)
        repository.export(checkout, repository.commit_of(checkout), tmp_path / day)
        found.append(((tmp_path / day / "a.lock").stat().st_mtime, (tmp_path / day / "day").read_text()))

    assert found == [(found[0][0], "2026-01-01"), (found[0][0], "2026-02-02")]


def test_the_layer_of_torch_depends_on_its_own_lock_alone() -> None:
    torch, *_ = steps(TRAINER)

    assert [line for line in torch if line.startswith("COPY")] == ["COPY locks/build.lock locks/torch.lock locks/"]


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_an_engine_gets_an_index_of_one_s_own_as_secrets_and_not_as_arguments(engine: str) -> None:
    secrets = {"pip": Path("/home/me/pip.conf"), "ca": Path("/home/me/ca.pem")}

    build, *_ = engine_commands(engine, OPERATOR, Path("a.tar"), BASE, secrets)
    plain, *_ = engine_commands(engine, OPERATOR, Path("a.tar"), BASE, {"pip": None, "ca": None})

    more = ["--secret", "id=pip,src=/home/me/pip.conf", "--secret", "id=ca,src=/home/me/ca.pem"]
    at = build.index("--secret")
    assert (build[at : at + 4], build[:at] + build[at + 4 :]) == (more, plain)


@pytest.mark.thorough
def test_settings_of_pip_that_are_not_there_are_told_of_before_anything_is_built(tmp_path: Path) -> None:
    done = run(tmp_path, "build", "--base", BASE, "--pip-conf", str(tmp_path / "pip.conf"))

    assert (done.returncode, f"{tmp_path}/pip.conf is no file" in done.stderr) == (2, True)


def archive(path: Path, *, layer: bytes = b"layer", spoiled: str = "") -> str:
    """Write an image as an OCI archive. Return its digest; the blob named `spoiled` does not hold what its digest says."""
    blobs: dict[str, bytes] = {}

    def add(name: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content + (b"!" if name == spoiled else b"")
        return {"digest": f"sha256:{digest}", "size": len(content)}

    manifest = {"config": add("config", b"{}"), "layers": [add("layer", layer)]}
    described = add("manifest", json.dumps(manifest).encode())
    files = {"index.json": json.dumps({"manifests": [described]}).encode(), **blobs}
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return str(described["digest"])


def test_the_digest_of_an_archive_is_that_of_its_manifest(tmp_path: Path) -> None:
    digest = archive(tmp_path / "a.tar")

    assert digest_of(tmp_path / "a.tar") == digest


@pytest.mark.parametrize("blob", ["config", "layer", "manifest"])
def test_an_archive_that_is_not_what_it_says_is_found(tmp_path: Path, blob: str) -> None:
    archive(tmp_path / "a.tar", spoiled=blob)

    with pytest.raises(BrokenArchive):
        digest_of(tmp_path / "a.tar")


def run(out: Path, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "supply_chain", arguments[0], "--out", str(out), *arguments[1:]]
    environment = {"PATH": f"{path}:{os.environ['PATH']}"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make images` writes. In place of the engine, a program that writes an archive to where it is told to."""
    folder = tmp_path_factory.mktemp("images")
    archive(folder / "made.tar")
    engine = folder / "docker"
    copy_to = f'cp {folder}/made.tar "${{each#*dest=}}"'
    engine.write_text(f"#!/bin/sh\nfor each; do case $each in type=oci,dest=*) {copy_to};; esac; done\n")
    engine.chmod(0o755)
    done = run(folder / "out", "build", "--base", BASE, path=str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "out"


@pytest.mark.slow
def test_the_bill_of_materials_holds_each_version_of_the_locks(built: Path, tmp_path: Path) -> None:
    repository.export(ROOT, repository.commit_of(ROOT), tmp_path)
    for image in all_images():
        bill = json.loads((built / f"{image.name}.cdx.json").read_text())
        assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
        assert bill["metadata"]["component"]["name"] == image.name
        parts = {
            (each["name"], each["version"]): sorted(
                digest["content"] for digest in each["externalReferences"][0]["hashes"]
            )
            for each in bill["components"]
        }
        assert parts == {(each.name, each.version): list(each.hashes) for each in pinned(tmp_path, image)}


@pytest.mark.slow
def test_a_build_is_verified_and_another_image_in_its_place_is_found(built: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(built, other)
    archive(other / "finetune-operator.oci.tar", layer=b"another")

    verified, spoiled = run(built, "verify"), run(other, "verify")

    assert (verified.returncode, verified.stdout) == (
        0,
        "finetune-operator: verified\nfinetune-trainer: verified\n",
    )
    assert (spoiled.returncode, spoiled.stdout.startswith("finetune-operator: subject: ")) == (1, True)
