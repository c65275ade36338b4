"""The Typer app: every command by its row, and how the program starts."""

from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.main import get_command

from finetune_cli.commands import COMMANDS
from finetune_cli.exits import Group
from finetune_cli.output import degrade_gently

app = typer.Typer(
    name="finetune",
    cls=Group,
    help="Fine-tune models on Kubernetes: submit a FineTuneJob, see how it is, why it waits or fails, and take its model.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("finetune-operator"))
        raise typer.Exit


@app.callback()
def _global(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""


for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


def parsed_commands() -> dict[str, Any]:
    """Return each command by its name, with its help and parameters, for the reference."""
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    return commands


def main() -> None:
    """Run the command line."""
    degrade_gently()
    app()
