"""Asks before credentials of this machine go to a server that somebody else may have chosen."""

import sys

import typer

from finetune.consent import Sent
from finetune.errors import Refused
from finetune_api.printable import printable


def ask(whose: str, sent: Sent, how: str) -> None:
    """Ask for each server, on a terminal. Raises Refused elsewhere, with `how` to agree; typer.Abort for a no."""
    for uri, names in sent.items():
        what = f"{' and '.join(names)} of this machine's environment"
        # A terminal would obey what else may stand in it, and show another server than this one.
        where = printable(uri)
        if not _on_a_terminal():
            raise Refused(f"{whose} has its points sent to {where}, with {what}: {how} agrees")
        typer.confirm(f"{whose} has its points sent to {where}. Send it {what}?", abort=True, err=True)


def _on_a_terminal() -> bool:
    return sys.stdin.isatty()
