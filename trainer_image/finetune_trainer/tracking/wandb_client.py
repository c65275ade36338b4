"""Writes a run in the offline mode of W&B, by its own client, into a folder: `python -m finetune_trainer.tracking.wandb_client`.

A program of its own. The client takes sys.exit and sys.excepthook over, starts a service, and its file is complete only
when that has ended; here none of it is in the process that trains, and all of it can be ended.
"""

import json
import sys
from typing import Any

import wandb


def main() -> None:
    """Read the run from standard input, as `WandbTracker` writes it, and write it."""
    asked: dict[str, Any] = json.load(sys.stdin)
    settings = wandb.Settings(
        silent=True,
        console="off",
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
    )
    run = wandb.init(mode="offline", settings=settings, **asked["run"])
    run.define_metric(asked["step"])
    run.define_metric("*", step_metric=asked["step"])
    for row in asked["rows"]:
        run.log(row)
    run.finish(exit_code=asked["exit_code"])
    wandb.teardown()


if __name__ == "__main__":
    main()
