"""Where an image comes from: an in-toto statement with SLSA's provenance, and its verification.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://slsa.dev/spec/v1.0/provenance
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from supply_chain.image import Image

Statement = dict[str, Any]

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "https://finetune.dev/image-build/v1"
SOURCE: Final = "source"
_BASE = re.compile(r"[^@\s]+@sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Build:
    """One build of an image."""

    image: Image
    version: str
    base: str
    """The base image, by digest."""
    commit: str
    """The git commit that was built, in full."""
    builder: str
    """Who built it: a URI that the verifier trusts or not."""
    started: str
    finished: str
    """Times in RFC 3339."""


def base_digest(reference: str) -> str:
    """Return the SHA-256, in hex, of a base image that is named by its digest. Raises ValueError for one that is not."""
    found = _BASE.fullmatch(reference)
    if found is None:
        raise ValueError(f"{reference or 'no base image'}: name the base image by its digest, NAME:TAG@sha256:…")
    return found[1]


def sha256(content: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def provenance(build: Build, *, digest: str, materials: Mapping[str, bytes], sbom: bytes) -> Statement:
    """Return the statement about the image with this digest (`sha256:…`). `materials` are files of the commit by path."""
    files = [{"name": path, "digest": {"sha256": sha256(content)}} for path, content in materials.items()]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": f"{build.image.name}:{build.version}", "digest": {"sha256": digest.removeprefix("sha256:")}}
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "dockerfile": build.image.dockerfile,
                    "base": build.base,
                    "arguments": list(build.image.arguments),
                    "version": build.version,
                },
                "resolvedDependencies": [
                    {"name": SOURCE, "digest": {"gitCommit": build.commit}},
                    {"name": build.base, "digest": {"sha256": base_digest(build.base)}},
                    *files,
                ],
            },
            "runDetails": {
                "builder": {"id": build.builder},
                "metadata": {"startedOn": build.started, "finishedOn": build.finished},
                "byproducts": [{"name": f"{build.image.name}.cdx.json", "digest": {"sha256": sha256(sbom)}}],
            },
        },
    }


def commit_of(statement: Statement) -> str:
    """Return the commit that was built. Raises KeyError, TypeError or StopIteration if the statement names none."""
    dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    return str(next(each["digest"]["gitCommit"] for each in dependencies if each["name"] == SOURCE))


def differences(
    statement: Statement, image: Image, *, builder: str, digest: str, sbom: bytes, read: Callable[[str, str], bytes]
) -> list[str]:
    """Return what does not hold of a statement about the image with this digest; [] if all of it does.

    `builder` is the one that is trusted.

    `read` returns a file of a commit by (commit, path), and raises KeyError where there is none.
    """
    try:
        return _differences(statement, image, builder, digest, sbom, read)
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        return [f"the statement lacks something: {type(error).__name__} {error}"]


def _differences(
    statement: Statement, image: Image, builder: str, digest: str, sbom: bytes, read: Callable[[str, str], bytes]
) -> list[str]:
    definition, run = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    parameters = definition["externalParameters"]
    stated = {each["name"]: each["digest"] for each in definition["resolvedDependencies"]}
    commit = commit_of(statement)
    wanted: dict[str, tuple[object, object]] = {
        "_type": (statement["_type"], STATEMENT_TYPE),
        "predicateType": (statement["predicateType"], PREDICATE_TYPE),
        "buildType": (definition["buildType"], BUILD_TYPE),
        "builder": (run["builder"], {"id": builder}),
        "dockerfile": (parameters["dockerfile"], image.dockerfile),
        "arguments": (parameters["arguments"], list(image.arguments)),
        "subject": (
            statement["subject"],
            [{"name": f"{image.name}:{parameters['version']}", "digest": {"sha256": digest.removeprefix("sha256:")}}],
        ),
        "base": (stated.get(parameters["base"]), {"sha256": base_digest(parameters["base"])}),
        "materials": (sorted(stated), sorted([SOURCE, parameters["base"], *image.materials])),
        "sbom": (run["byproducts"], [{"name": f"{image.name}.cdx.json", "digest": {"sha256": sha256(sbom)}}]),
        **{path: (stated.get(path), {"sha256": sha256(read(commit, path))}) for path in image.materials},
    }
    return [f"{what}: {found} is not {right}" for what, (found, right) in wanted.items() if found != right]
