"""The program's options."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.base.errors import bad_configuration


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    command: str
    """"train" or "prepare"."""
    json: bool
    for_job: bool
    """Whether `prepare` is the first stage of a job, which trains elsewhere."""
    time: bool
    """Whether `prepare` measures how long steps take."""
    assume: bool
    """Whether `prepare` takes GPUs that are asked for, and the engine, as given."""
    config: Path
    """The file of the run's settings."""
    volume: Sequence[str]
    """CLAIM=FOLDER, for `parse_volumes`."""


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the command line. Ends the program where it is wrong."""
    parser = argparse.ArgumentParser(
        prog="finetune_trainer", description="Fine-tunes a model by the settings of run.yaml."
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("train", "prepare"),
        default="train",
        help="prepare checks everything and foretells the run; without a step of training, but with --time",
    )
    parser.add_argument("--json", action="store_true", help="with prepare: print JSON")
    parser.add_argument(
        "--for-job",
        action="store_true",
        help="with prepare: as the first stage of a job that trains elsewhere; reports to the operator, takes GPUs that are "
        "asked for as given, and tokenizes all rows",
    )
    parser.add_argument(
        "--time", action="store_true", help="with prepare: load the model, and measure how long a few steps take here"
    )
    parser.add_argument(
        "--assume",
        action="store_true",
        help="with prepare: take GPUs that are asked for, and an engine that is not installed, as given",
    )
    parser.add_argument("--config", type=Path, required=True, help="the run's settings, YAML")
    parser.add_argument(
        "--volume",
        action="append",
        default=[],
        metavar="CLAIM=FOLDER",
        help="where pvc://CLAIM/... lies on this machine",
    )
    return Options(**vars(parser.parse_args(arguments)))


def parse_volumes(pairs: Sequence[str]) -> dict[str, Path]:
    """Return the folder of each claim.

    Raises:
        TrainerError: BAD_CONFIGURATION where one is not CLAIM=FOLDER.
    """
    volumes = {}
    for pair in pairs:
        claim, equals, folder = pair.partition("=")
        if not (claim and equals and folder):
            raise bad_configuration(f"--volume {pair}: must be CLAIM=FOLDER")
        volumes[claim] = Path(folder).absolute()
    return volumes
