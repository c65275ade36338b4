"""The names of all files and folders of an output.

Below `output.uri`:

    run.json                    whose the output is
    adjustment.json             what the next attempt begins with, after a GPU ran out of memory
    history.jsonl               one line for each log, evaluation and adjustment
    tracking.json               by which trackers know the run
    tensorboard/                event files, with tracking.tensorboard
    wandb/                      a run in W&B's offline mode, with tracking.wandb
    trackio/                    records that a dashboard of trackio takes in, with tracking.trackio without a server
    logs/                       the log of each attempt, named by when and where it began
    checkpoints/step-000125/    a checkpoint; its manifest.json is written last
    model/                      the exported model (on the Hub at the top of the repository)
    adapter/                    the adapter, where the model was merged with it
"""

import re

# Those that the client and the operator know too.
from finetune_api.outputs import HISTORY as HISTORY
from finetune_api.outputs import MANIFEST as MANIFEST
from finetune_api.outputs import MODEL as MODEL
from finetune_api.outputs import RUNS as RUNS
from finetune_api.outputs import TRACKING as TRACKING

RUN = "run.json"
HINT = "adjustment.json"
TENSORBOARD = "tensorboard"
WANDB = "wandb"
TRACKIO = "trackio"
LOGS = "logs"
MAX_LOGS = 20
"""So many are kept, by their names the newest."""
CHECKPOINTS = "checkpoints"
ADAPTER = "adapter"

OPTIMIZER = "optimizer.pt"
SCHEDULER = "scheduler.pt"
SCALER = "scaler.pt"
TRAINER_STATE = "trainer_state.json"
TRAINING_ARGUMENTS = "training_args.bin"
RESUME_FILES = (OPTIMIZER, SCHEDULER, SCALER, "rng_state*.pth", TRAINER_STATE, TRAINING_ARGUMENTS)
"""Patterns of what a checkpoint holds besides the model and its tokenizer."""

MODEL_CONFIGS = ("config.json", "adapter_config.json")
"""One of these makes a folder a model or an adapter for `from_pretrained`."""
BASE = "base"
"""Below an adapter: the configuration of the model that it is for."""
RESULTS = "eval_results.json"
"""Beside an exported model, as transformers' own scripts call it."""
MODEL_CARD = "README.md"

PARTIAL = ".partial-"
"""Begins the names of folders of checkpoints that are being written, downloaded or deleted."""
EXPORT = ".export-"
"""Begins the names of folders of a model that is being exported."""
NEW = ".new-"
"""Begins the names of a model's files in a bucket until they take the place of an older model's."""
WRITE_PROBE = ".write-probe"
LOCK = ".lock"
"""Beside the copies of checkpoints: held while one is downloaded."""

_STEP = re.compile(r"step-\d+")


def step_folder(step: int) -> str:
    """Return the name of a checkpoint's folder, such as `step-000125`."""
    return f"step-{step:06d}"


def step_of(folder: str) -> int:
    """Return the step of a checkpoint by the name of its folder."""
    return int(folder.removeprefix("step-"))


def is_step_folder(name: str) -> bool:
    """Return whether a folder has the name of a checkpoint."""
    return _STEP.fullmatch(name) is not None


def random_state_file(rank: int, processes: int) -> str:
    """Return the name of the file with the random state of process `rank`, as transformers' Trainer calls it."""
    return "rng_state.pth" if processes <= 1 else f"rng_state_{rank}.pth"
