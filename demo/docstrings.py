"""A data set that every machine with Python has: docstrings of the standard library, labelled by their module.

    python demo/docstrings.py DIR      writes DIR/train.csv and DIR/test.csv with the columns text and label

Real text with real labels, nothing downloaded. A docstring that occurs twice is taken once, so that no text of the
test rows was seen in training.
"""

import ast
import csv
import hashlib
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

MODULES = ("asyncio", "email", "http", "importlib", "logging", "multiprocessing", "unittest", "xml")
MIN_WORDS = 5
TEST_SHARE = 0.2


def docstrings(module: str) -> Iterator[str]:
    """Docstrings of the classes and functions of a module or package, in the order of its files, on one line each."""
    library = Path(sysconfig.get_path("stdlib"))
    package = library / module
    for path in sorted(package.rglob("*.py")) if package.is_dir() else [library / f"{module}.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = " ".join((ast.get_docstring(node) or "").split())
                if len(text.split()) >= MIN_WORDS:
                    yield text


def rows() -> list[tuple[str, str]]:
    """(text, label), each text once; one that is in two modules belongs to none and is left out."""
    labels: dict[str, set[str]] = {}
    for module in MODULES:
        for text in docstrings(module):
            labels.setdefault(text, set()).add(module)
    return [(text, next(iter(modules))) for text, modules in labels.items() if len(modules) == 1]


def is_test(text: str) -> bool:
    """Splits by the text itself, so that the same machine always splits alike."""
    return hashlib.sha256(text.encode()).digest()[0] < 256 * TEST_SHARE


def majority_share() -> float:
    """Accuracy on the test rows of always naming their commonest module: what a model must beat by far."""
    labels = Counter(label for text, label in rows() if is_test(text))
    return max(labels.values()) / labels.total()


def write(folder: Path) -> None:
    """Writes train.csv and test.csv into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    everything = rows()
    for name, wanted in (("train", False), ("test", True)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("text", "label"))
            writer.writerows(row for row in everything if is_test(row[0]) is wanted)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
