"""The two images, and the lock files that they are built from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

OPERATOR_EXTRAS: Final = ("page", "traces")
TRAINER_EXTRAS: Final = ("keras", "qlora", "wandb")

_PLATFORM: Final = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "sys_platform": "linux",
}
"""What markers of the locks are evaluated for, besides the machine."""
_MACHINES: Final = ("x86_64", "aarch64")
_BUILD_LOCK: Final = "locks/build.lock"


@dataclass(frozen=True)
class Image:
    """An image; `locks` is what its environment is installed from, `arguments` what its Dockerfile is told of that."""

    name: str
    dockerfile: str
    locks: tuple[str, ...]
    arguments: tuple[str, ...] = ()

    @property
    def materials(self) -> tuple[str, ...]:
        """The files of the repository that decide what is downloaded."""
        return (self.dockerfile, _BUILD_LOCK, *self.locks)


@dataclass(frozen=True)
class Pinned:
    """A distribution as a lock file pins it. `hashes`: SHA-256 in hex of the files that may be installed, sorted."""

    name: str
    version: str
    hashes: tuple[str, ...]


def all_images(extras: Sequence[str] = ()) -> list[Image]:
    """Return both images; `extras` are what each has besides, of OPERATOR_EXTRAS and TRAINER_EXTRAS."""
    operator = ("operator", *(extra for extra in extras if extra in OPERATOR_EXTRAS))
    trainer = ("torch", "trainer", *(extra for extra in extras if extra in TRAINER_EXTRAS))
    return [
        Image("finetune-operator", "operator/Dockerfile", _files(operator), (f"EXTRAS={','.join(operator)}",)),
        Image("finetune-trainer", "trainer_image/Dockerfile", _files(trainer), (f"EXTRAS={','.join(trainer[1:])}",)),
    ]


def _files(locks: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"locks/{lock}.lock" for lock in locks)


def pinned(root: Path, image: Image) -> list[Pinned]:
    """Return what an image installs from the locks in the checkout `root`, by name."""
    found = [each for lock in image.locks for each in _read((root / lock).read_text(encoding="utf-8"))]
    return sorted(found, key=lambda each: (each.name, each.version))


def _read(lock: str) -> list[Pinned]:
    lines = lock.replace("\\\n", " ").splitlines()
    return [each for line in lines if line.strip() and not line.startswith("#") for each in _parse(line)]


def _parse(line: str) -> list[Pinned]:
    text, *hashes = line.split(" --hash=sha256:")
    requirement = Requirement(text.strip())
    marker = requirement.marker
    if marker and not any(marker.evaluate({**_PLATFORM, "platform_machine": machine}) for machine in _MACHINES):
        return []
    (pin,) = requirement.specifier
    if pin.operator != "==" or not hashes:
        raise ValueError(f"{requirement.name}: a lock pins one version, with hashes")
    return [Pinned(requirement.name, pin.version, tuple(sorted(each.strip() for each in hashes)))]
