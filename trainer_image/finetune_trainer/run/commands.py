"""What the program does once its settings are read: train, or prepare.

Imports torch and transformers, which takes seconds: `__main__` imports this only once the settings are good.
"""

import json
from dataclasses import asdict

from tqdm.contrib.logging import logging_redirect_tqdm

from finetune_api.run import RunConfig
from finetune_trainer.base.run_warnings import collected
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.progress.state import RunState
from finetune_trainer.run.out_of_memory import memory_failures
from finetune_trainer.run.preflight.findings import Findings, to_status
from finetune_trainer.run.preflight.preflight import preflight
from finetune_trainer.run.preflight.table import row, table
from finetune_trainer.run.train import run
from finetune_trainer.settings.command_line import Options
from finetune_trainer.storage.output import Output
from finetune_trainer.storage.uris import Volumes


def train(config: RunConfig, volumes: Volumes, state: RunState, stop: StopSignal) -> str:
    """Run to the end. Returns a summary for people.

    Raises:
        TrainerError: As `run`; OUT_OF_MEMORY also for want of the CPU's memory.
    """
    with logging_redirect_tqdm(), memory_failures(config), collected(state.add_warning):
        output = run(config, volumes, state, stop)
    return _summary(state, output)


def prepare(config: RunConfig, volumes: Volumes, state: RunState, options: Options) -> str:
    """Check a run and estimate what it will be. Returns what was found, and the warnings, for people or as JSON.

    Raises:
        TrainerError: As `preflight`; OUT_OF_MEMORY for want of memory.
    """
    with memory_failures(config):
        findings = preflight(config, volumes, state, for_job=options.for_job, assume=options.assume, timed=options.time)
    state.set_preflight(to_status(findings))
    return _shown(findings, state, as_json=options.json)


def _shown(findings: Findings, state: RunState, *, as_json: bool) -> str:
    warnings = [warning.message for warning in state.current.warnings]
    if as_json:
        return json.dumps({**asdict(findings), "warnings": warnings}, indent=2) + "\n"
    return "\n".join([table(findings), *(row("warning", message) for message in warnings)]) + "\n"


def _summary(state: RunState, output: Output) -> str:
    final, best = state.current, state.current.best_checkpoint
    steps = ", ".join(str(checkpoint.step) for checkpoint in final.checkpoints)
    lines = [
        f"metrics:     {', '.join(f'{metric.name} {metric.value}' for metric in final.metrics)}",
        *([f"best:        step {best.step}, {best.metric} {best.value}"] if best else []),
        f"model:       {output.shown(output.model)}",
        f"checkpoints: {output.shown(output.checkpoints)} (steps {steps})",
    ]
    return "\n".join(lines) + "\n"
