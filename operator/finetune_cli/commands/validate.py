"""`finetune validate`: would a cluster take this manifest?"""

from pathlib import Path
from typing import Annotated

import typer

from finetune.errors import NotFound, Refused
from finetune.manifest import (
    NO_JOB,
    is_finetunejob,
    is_of_another_kind,
    kind_of,
    read_documents,
    read_text,
    unexpected,
)
from finetune.pod_paths import pod_path_notes
from finetune.validation import NamedProfile, Namespace, Problem, find_problems, read_profile
from finetune_api.base import JsonObject
from finetune_api.printable import printable
from finetune_cli.exits import ExitCode
from finetune_cli.options import Output
from finetune_cli.output import error_console, say, write

_NAMESPACE = "default"


def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Manifests.")],
    profile: Annotated[
        Path | None, typer.Option(help="A file with a FineTuneProfile: its rules are checked too.")
    ] = None,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Where jobs that name no namespace shall run.")
    ] = _NAMESPACE,
    namespace_label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="A label of the namespace. Which namespaces may have the profile is checked if one is given.",
        ),
    ] = None,
    output: Output = None,
) -> None:
    """Check manifests without a cluster. By the rules of the CRD, and of a profile; every problem is shown, and then the exit code is 2. Objects of other kinds are named and left alone."""
    place = Namespace(namespace, _labels(namespace_label) if namespace_label else None)
    known = read_profile(read_documents(read_text(profile), str(profile)), str(profile)) if profile else None
    problems, notes, jobs = _check(files, known, place)
    if output:
        found = {"problems": [each.to_wire() for each in problems], "notes": [each.to_wire() for each in notes]}
        write(output, {"valid": not problems, "jobs": jobs, **found})
    else:
        for note in notes:
            error_console().print(f"note: {printable(str(note), lines=True)}")
        for problem in problems:
            error_console().print(printable(str(problem), lines=True))
        if not problems:
            under = f" and keeps to profile {known.name}" if known else ""
            say(f"{', '.join(map(str, files))}: valid{under}")
    if problems:
        raise typer.Exit(ExitCode.USAGE)


def _check(
    files: list[Path], profile: NamedProfile | None, namespace: Namespace
) -> tuple[list[Problem], list[Problem], int]:
    """Every problem of every file, what is none and should be known, and how many jobs were looked at."""
    problems: list[Problem] = []
    notes: list[Problem] = []
    jobs = 0
    for file in files:
        try:
            documents = read_documents(read_text(file), str(file))
        except (Refused, NotFound) as error:
            problems.append(Problem(str(file), "", "", str(error).removeprefix(f"{file} ")))
            continue
        found = [each for each in documents if is_finetunejob(each)]
        others = [each for each in documents if is_of_another_kind(each)]
        wrong = [unexpected(each) for each in documents if not (is_finetunejob(each) or is_of_another_kind(each))]
        problems += [Problem(str(file), "", "", each) for each in wrong or ([] if found else [NO_JOB])]
        notes += [_not_checked(each, file) for each in others]
        for manifest in found:
            problems += find_problems(manifest, str(file), profile, namespace)
            notes += [Problem(str(file), "", "", note) for note in pod_path_notes(manifest)]
        jobs += len(found)
    return problems, notes, jobs


def _not_checked(document: JsonObject, file: Path) -> Problem:
    """That an object beside the jobs, such as the Secret that they name, was left alone."""
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return Problem(str(file), str(name or ""), "", f"is a {kind_of(document)}, and only FineTuneJobs are checked")


def _labels(pairs: list[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"{pair}: must be KEY=VALUE", param_hint="--namespace-label")
        labels[key] = value
    return labels
