"""`finetune init`: from a data file to a manifest."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, get_args

import typer

from finetune.errors import Refused
from finetune.manifest import Manifest
from finetune.places import absolute
from finetune.proposal.columns import Shape, find_shape, shown
from finetune.proposal.hub import hub_id, read_hub_sample
from finetune.proposal.propose import Request, propose
from finetune.proposal.sample import Sample, is_headed, is_table, read_sample
from finetune.proposal.to_yaml import proposal_yaml
from finetune_api.training import Task
from finetune_cli.options import Output
from finetune_cli.output import say, write

_TASKS = get_args(Task)
_LONGEST_NAME = 50


def init(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A csv, tsv, json, jsonl or parquet file, a folder of such, or the id of a data set on the Hub.",
        ),
    ],
    file: Annotated[Path, typer.Option("--file", "-f", help="The manifest to write; - writes it to stdout.")] = Path(
        "finetune.yaml"
    ),
    model: Annotated[
        str | None,
        typer.Option(help="The model to start from: an id on the Hub, or a URI. A small one for the task if left out."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="Where the cluster finds the data: s3://…, pvc://claim/…. This machine's path if left out.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the job. Made from the data's if left out.")] = None,
    task: Annotated[
        str | None, typer.Option(help=f"One of {', '.join(_TASKS)}. Chosen by the columns if left out.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column with the text.")] = None,
    label: Annotated[str | None, typer.Option(help="Column with the class, or what is to be written.")] = None,
    config: Annotated[str | None, typer.Option(help="Configuration of a data set on the Hub.")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, max=64, help="GPUs to train on; 0 trains on the CPU.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a manifest that is there.")] = False,
    output: Output = None,
) -> None:
    """Write a manifest for a data file. Its columns decide the task, and comments say why each value is as it is."""
    chosen = _task(task)
    to_stdout = str(file) == "-"
    if not to_stdout and not output and file.exists() and not force:
        raise Refused(f"{file} is there already: --force replaces it, --file names another")
    sample, source, headed = _look_at(data, config)
    if not sample.rows:
        raise Refused(f"{data} has no rows")
    for column in filter(None, (text, label)):
        if column not in sample.columns:
            raise Refused(f"there is no column {column} in {data}; there are {_columns(sample)}")
    shape = find_shape(sample, chosen, text, label)
    if shape is None:
        wanted = f" for {chosen}" if chosen else ""
        raise Refused(
            f"no columns of {data} fit{wanted}: there are {_columns(sample)}. Name them: --text COLUMN --label COLUMN"
        )
    request = Request(name or _name(data), at or source, model, gpus)
    proposal = propose(sample, shape, request)
    Manifest.read(proposal.manifest)
    if output:
        write(output, proposal.manifest)
        return
    content = proposal_yaml(proposal)
    if to_stdout:
        typer.echo(content, nl=False)
        return
    try:
        file.write_text(content, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{file} cannot be written: {error.strerror}") from error
    say(f"{file}: {shape.task}, since {shape.why}")
    for note in _doubts(sample, shape, headed):
        say(f"note: {note}")
    next_steps = (f"finetune {each} {shlex.quote(str(file))}" for each in ("validate", "estimate", "run", "submit"))
    say(f"next: {', '.join(next_steps)}")


def _doubts(sample: Sample, shape: Shape, headed: bool) -> Iterator[str]:
    """What the rows have that a run refuses, or that is hardly meant so."""
    for column in dict.fromkeys(filter(None, (*shape.reads, shape.label))):
        empty = [number for number, value in enumerate(sample.columns.get(column, ()), 1) if value is None]
        if empty and shape.format == "auto":
            yield (
                f"column {shown(column)} is empty in {len(empty):,} of {sample.rows:,} rows, the first of them row {empty[0]}: "
                "a run refuses these, so fill them in or take them out"
            )
    if shape.task != "text-classification" or shape.label is None or shape.problem == "regression":
        return
    classes = {each for each in sample.columns[shape.label] if isinstance(each, str | int | float)}
    # Of rows that are sorted by class the first ones have one: that is no doubt about the rest.
    if len(classes) == 1 and sample.whole:
        yield f"column {shown(shape.label)} has the one class {shown(str(*classes))}, and a run refuses to learn that: take rows of other classes too, or another column by --label"
    # Names that are all numbers were written by a program, which wrote them above the rows.
    if headed and shape.label in map(str, classes) and not all(each.isdigit() for each in sample.columns):
        yield f"the first line is taken for names of columns, and {shown(shape.label)} is a class in the rows below: if it is a row, write a line of names above it"


def _task(name: str | None) -> Task | None:
    for task in _TASKS:
        if name == task:
            return task  # type: ignore[no-any-return]
    if name is not None:
        raise typer.BadParameter(f"{name}: there are {', '.join(_TASKS)}", param_hint="--task")
    return None


def _columns(sample: Sample) -> str:
    names = [shown(name) for name in sample.columns]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _look_at(data: str, config: str | None) -> tuple[Sample, str, bool]:
    """The first rows, what `dataset.source` is to be, and whether names of columns are the first line of a file."""
    path, dataset = absolute(data), hub_id(data)
    if dataset and not path.exists() and not is_table(path):
        return read_hub_sample(dataset, config), dataset, False
    if config:
        raise typer.BadParameter("is for data sets of the Hub", param_hint="--config")
    return read_sample(path), path.as_uri(), is_headed(path)


def _name(data: str) -> str:
    """A name that Kubernetes takes, by that of the data."""
    stem = absolute(data).name.split(".")[0]
    return re.sub(r"[^a-z0-9]+", "-", stem.lower())[:_LONGEST_NAME].strip("-") or "finetune"
