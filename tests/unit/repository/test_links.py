"""Every relative link in our documents leads somewhere, and every anchor names a heading."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[3]
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def documents() -> list[str]:
    folders = (path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
    paths = [*ROOT.glob("*.md"), *(path for folder in folders for path in folder.rglob("*.md"))]
    return sorted(str(path.relative_to(ROOT)) for path in paths)


def anchors(text: str) -> set[str]:
    """Anchors of the headings of a document, as GitHub and GitLab make them."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        again = sum(re.fullmatch(re.escape(anchor) + r"(-\d+)?", other) is not None for other in found)
        found.add(f"{anchor}-{again}" if again else anchor)
    return found


def broken_links(document: Path) -> Iterator[str]:
    """Relative links of a document whose file or heading there is not."""
    text = document.read_text(encoding="utf-8")
    for link in LINK.findall(CODE.sub("", FENCE.sub("", text))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            yield link


@pytest.mark.parametrize("name", documents())
def test_each_relative_link_leads_to_a_file_and_a_heading(name: str) -> None:
    assert list(broken_links(ROOT / name)) == []


def test_a_missing_file_and_a_missing_heading_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A `title`, twice\n\n# A title twice\n\n```\n# no heading\n```\n")
    document = tmp_path / "page.md"
    document.write_text(
        "[a](other.md) [b](gone.md) [c](other.md#a-title-twice) [d](other.md#a-title-twice-1) [e](other.md#no-heading) "
        "[f](#nowhere) [g](https://example.com/x.md) `[h](no-link.md)`\n"
    )

    assert list(broken_links(document)) == ["gone.md", "other.md#no-heading", "#nowhere"]


SPAN = re.compile(r"`([^`\n]+)`")
PLACEHOLDER = re.compile(r"NAME|KIND|balanced_accuracy")
"""What a recipe makes."""


@pytest.mark.thorough
def test_a_recipe_sends_nobody_to_a_file_or_a_name_that_is_not_there() -> None:
    folders = (path for path in ROOT.iterdir() if path.is_dir() and re.match(r"\w|[.]ci$", path.name))
    below = [*ROOT.iterdir(), *(path for folder in folders for path in folder.rglob("*"))]
    places = [f"/{path.relative_to(ROOT)}/" for path in below]
    sources = (
        path
        for path in below
        if path.parts[len(ROOT.parts)] in ("Makefile", "operator", "trainer_image", "pyproject.toml")
    )
    words = {word for path in sources if path.is_file() for word in re.findall(rb"\w+", path.read_bytes())}
    recipes = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Style\n")[0]
    named = {span for span in SPAN.findall(recipes) if not PLACEHOLDER.search(span)}
    files = {span for span in named if re.search(r"/|\.(json|md|py|toml|yaml)$", span)}

    assert {file for file in files if not any(f"/{file.rstrip('/')}/" in place for place in places)} == set()
    assert {
        each for each in named - files if not words.issuperset(re.findall(rb"[A-Za-z_]\w*", each.encode()))
    } == set()


def test_the_index_of_decisions_lists_number_title_status_and_date_of_each_record() -> None:
    folder = ROOT / "docs/adr"
    records = []
    for path in sorted(folder.glob("[0-9]*.md")):
        heading, _, status, date = path.read_text(encoding="utf-8").splitlines()[:4]
        title = re.fullmatch(rf"# {int(path.name[:4])}\. (.+)", heading)
        assert title, heading
        row = (path.name[:4], path.name, title[1], status.removeprefix("- Status: "), date.removeprefix("- Date: "))
        records.append("| [{}]({}) | {} | {} | {} |".format(*row))

    rows = [line for line in (folder / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| [")]

    assert rows == records
