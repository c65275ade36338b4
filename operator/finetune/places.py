"""Paths of this machine, as a URI may name them."""

from pathlib import Path


def absolute(path: str | Path) -> Path:
    """Return the absolute path without `..`, which no URI of a manifest may have. A link keeps its own name."""
    path = Path(path)
    if ".." not in path.parts:
        return path.absolute()
    return path.resolve() if path.name == ".." else path.parent.resolve() / path.name
