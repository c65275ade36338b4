"""Where text goes: to a person's terminal, or as JSON or YAML to a program. Text from the cluster is text, never markup."""

import io
import json
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, Literal

import typer
from rich.console import Console, RenderableType

from finetune.manifest import to_yaml
from finetune_api.printable import printable


class Format(StrEnum):
    """For programs."""

    JSON = "json"
    YAML = "yaml"


_ENDLESS: Final = 1 << 16
"""Columns of what is no terminal: `grep` and `awk` get each line whole."""


def console(*, whole_lines: bool = False) -> Console:
    """Return stdout as it is now. Colours, and all else that a terminal obeys, only on a terminal, and not where NO_COLOR is set.

    With `whole_lines`, nothing is folded or cut where it is no terminal.
    """
    screen = _screen(stderr=False, soft_wrap=False)
    if whole_lines and not screen.is_terminal:
        screen.width = _ENDLESS
    return screen


def can_redraw(screen: Console) -> bool:
    """Return whether what is shown there can be drawn anew in its place: on a terminal that can, unless NO_COLOR is set."""
    # The last is what TTY_INTERACTIVE says, where it is set.
    return screen.is_terminal and not screen.is_dumb_terminal and not _plain() and screen.is_interactive


def _screen(*, stderr: bool, soft_wrap: bool) -> Console:
    # FORCE_COLOR and the like, which rich heeds, would have it draw on files and pipes.
    stream = sys.stderr if stderr else sys.stdout
    # There is none where it was closed before the start, as by `2>&-`.
    terminal = stream is not None and stream.isatty()
    colours: Literal["auto"] | None = None if _plain() else "auto"
    return Console(
        stderr=stderr,
        force_terminal=terminal,
        color_system=colours,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=soft_wrap,
    )


def _plain() -> bool:
    """Whether the person wants no colours. https://no-color.org: an empty value is none."""
    return bool(os.environ.get("NO_COLOR"))


def say(text: str) -> None:
    """Write a sentence to stdout: one line, which a terminal may fold and nothing else does."""
    console().print(printable(text), soft_wrap=True)


def show(view: Callable[[int], RenderableType], *, whole: bool = False) -> None:
    """Write to stdout what `view` makes for a number of columns. Where it is no terminal, each row is one whole line without blanks at its end.

    With `whole` it is that on a terminal too, however narrow.
    """
    screen = console(whole_lines=True)
    if whole:
        screen.width = _ENDLESS
    elif screen.is_terminal:
        screen.print(view(screen.width))
        return
    with screen.capture() as text:
        screen.print(view(screen.width))
    for line in text.get().splitlines():
        typer.echo(line.rstrip())


def error_console() -> Console:
    """Return stderr as it is now."""
    return _screen(stderr=True, soft_wrap=True)


def write(chosen: Format, value: Any) -> None:
    """Write one JSON or YAML document to stdout. What a terminal would obey in it is escaped."""
    value = readable(value)
    if chosen is Format.JSON:
        text = json.dumps(value, indent=2, ensure_ascii=False)
        typer.echo(text if _is_plain(text) else json.dumps(value, indent=2))
    else:
        text = to_yaml(value)
        typer.echo(text if _is_plain(text) else to_yaml(value, ascii_only=True), nl=False)


def readable(value: Any) -> Any:
    """Return an object, or several, without managedFields: half of its text, which says who wrote which field. kubectl leaves them out, too."""
    if isinstance(value, list):
        return [readable(each) for each in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("metadata"), dict):
        metadata = {name: each for name, each in value["metadata"].items() if name != "managedFields"}
        return {**value, "metadata": metadata}
    return {**value, "items": readable(value["items"])} if isinstance(value.get("items"), list) else value


def degrade_gently() -> None:
    """Write `?` for what the terminal's encoding has not: a locale other than UTF-8 shall not end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _is_plain(text: str) -> bool:
    """Whether it can be written as it is: a terminal obeys nothing in it, and knows every character."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return printable(text, lines=True) == text
