"""The generated page of the command line, from the Typer app itself."""

from collections.abc import Iterator
from typing import Any, Final

from finetune_cli.app import parsed_commands
from finetune_operator.generate.fields import table

_OF_ALL: Final = ("namespace", "context", "kubeconfig", "output")
"""Options that commands have in common, described once."""


def commands() -> Iterator[str]:
    """Yield the Markdown of the options in common, then of each command."""
    known = parsed_commands()
    common = {param.name: param for command in known.values() for param in command.params if param.name in _OF_ALL}
    yield "## Options of most commands"
    yield table(("option", "meaning"), [_row(common[name]) for name in _OF_ALL])
    for name, command in known.items():
        own = [param for param in command.params if param.name not in _OF_ALL]
        arguments = " ".join(each.metavar for each in own if each.param_type_name == "argument")
        yield f"## finetune {name}"
        yield f"    finetune {name} {arguments}".rstrip()
        yield command.help
        if own:
            yield table(("argument or option", "meaning"), [_row(each) for each in own])


def _row(param: Any) -> tuple[str, str]:
    if param.param_type_name == "argument":
        return f"`{param.metavar}`", param.help or ""
    return ", ".join(f"`{each}`" for each in (*param.opts, *param.secondary_opts)), param.help or ""
