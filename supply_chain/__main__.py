"""`python -m supply_chain`: write bills of materials, build the images with their provenance, and verify both offline."""

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from supply_chain import repository
from supply_chain.archive import BrokenArchive, digest_of
from supply_chain.image import OPERATOR_EXTRAS, TRAINER_EXTRAS, Image, all_images, pinned
from supply_chain.provenance import Build, base_digest, commit_of, differences, provenance
from supply_chain.sbom import check_schema, sbom

_ROOT = Path()
_LOCAL_BUILDER = "https://finetune.dev/builders/local"


def main() -> int:
    """Run the command. Return 1 if something is not as it should be, and say what."""
    arguments = _parser().parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    images = [each for each in all_images(arguments.extra) if arguments.image in (None, each.name)]
    try:
        match arguments.command:
            case "sbom":
                for image in images:
                    _write_sbom(image, arguments.out)
            case "build":
                base_digest(arguments.base)
                for image in images:
                    _build(image, arguments)
            case "verify":
                return _verify(images, arguments.out, arguments.builder)
    except (ValueError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m supply_chain", description=__doc__)
    parser.add_argument("command", choices=("sbom", "build", "verify"))
    parser.add_argument("--out", type=Path, default=Path("dist/images"), help="folder of what is written and verified")
    parser.add_argument(
        "--extra", action="append", default=[], choices=(*OPERATOR_EXTRAS, *TRAINER_EXTRAS), help="of the images"
    )
    parser.add_argument("--image", choices=[each.name for each in all_images()], help="this one alone")
    parser.add_argument("--base", default="", help="the base image, by digest: NAME:TAG@sha256:…")
    parser.add_argument("--engine", default="docker", choices=("docker", "podman"))
    parser.add_argument("--pip-conf", type=_file, help="settings that pip downloads by: an index of your own, say")
    parser.add_argument("--ca", type=_file, help="certificates for it: pip's settings say cert = /run/secrets/ca")
    parser.add_argument("--builder", default=_LOCAL_BUILDER, help="URI of who builds, or is trusted to have built")
    return parser


def _file(name: str) -> Path:
    path = Path(name).absolute()
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{name} is no file")
    return path


def _write_sbom(image: Image, out: Path, root: Path = _ROOT) -> bytes:
    text = sbom(image, _version(root), pinned(root, image))
    check_schema(text)
    content = text.encode()
    (out / f"{image.name}.cdx.json").write_bytes(content)
    return content


def _build(image: Image, arguments: argparse.Namespace) -> None:
    """Build what is committed, whatever else lies in the checkout."""
    commit, started = repository.commit_of(_ROOT), _now()
    secrets = {"pip": arguments.pip_conf, "ca": arguments.ca}
    archive = arguments.out / f"{image.name}.oci.tar"
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        repository.export(_ROOT, commit, context)
        for command in engine_commands(arguments.engine, image, archive.absolute(), arguments.base, secrets):
            subprocess.run(command, cwd=context, check=True)
        version, bill = _version(context), _write_sbom(image, arguments.out, context)
        materials = {path: (context / path).read_bytes() for path in image.materials}
    build = Build(
        image=image,
        version=version,
        base=arguments.base,
        commit=commit,
        builder=arguments.builder,
        started=started,
        finished=_now(),
    )
    digest = digest_of(archive)
    statement = provenance(build, digest=digest, materials=materials, sbom=bill)
    (arguments.out / f"{image.name}.provenance.json").write_text(json.dumps(statement, indent=2) + "\n")
    sys.stdout.write(f"{image.name}:{version} {digest}\n")


def engine_commands(
    engine: str, image: Image, archive: Path, base: str, secrets: Mapping[str, Path | None]
) -> list[list[str]]:
    """Return the programs that build an image from the current folder into an OCI archive.

    `secrets` are files by the name that the Dockerfiles mount them by.
    """
    told = [word for each in (f"PYTHON_IMAGE={base}", *image.arguments) for word in ("--build-arg", each)]
    hidden = [word for name, path in secrets.items() if path for word in ("--secret", f"id={name},src={path}")]
    shared = ["--file", image.dockerfile, *told, *hidden]
    if engine == "docker":
        plain = ["--provenance=false", "--sbom=false", "--output", f"type=oci,dest={archive}"]
        return [["docker", "buildx", "build", *shared, *plain, "."]]
    return [
        ["podman", "build", "--format", "oci", "--tag", image.name, *shared, "."],
        ["podman", "save", "--format", "oci-archive", "--output", str(archive), image.name],
    ]


def _verify(images: list[Image], out: Path, builder: str) -> int:
    failed = False
    for image in images:
        wrong = _wrong(image, out, builder)
        failed |= bool(wrong)
        sys.stdout.writelines(f"{image.name}: {each}\n" for each in wrong or ["verified"])
    return 1 if failed else 0


def _wrong(image: Image, out: Path, builder: str) -> list[str]:
    try:
        bill = (out / f"{image.name}.cdx.json").read_bytes()
        statement = json.loads((out / f"{image.name}.provenance.json").read_text(encoding="utf-8"))
        digest = digest_of(out / f"{image.name}.oci.tar")
    except (OSError, ValueError, BrokenArchive) as error:
        return [str(error)]
    read = partial(repository.read, _ROOT)
    wrong = differences(statement, image, builder=builder, digest=digest, sbom=bill, read=read)
    return wrong or _differences_of_bill(image, commit_of(statement), bill)


def _differences_of_bill(image: Image, commit: str, bill: bytes) -> list[str]:
    """The bill is made again from the locks of the commit that was built."""
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        repository.export(_ROOT, commit, context)
        again = sbom(image, _version(context), pinned(context, image)).encode()
    return [] if again == bill else ["the bill of materials is not that of the lock files"]


def _version(root: Path) -> str:
    return str(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


if __name__ == "__main__":
    sys.exit(main())
