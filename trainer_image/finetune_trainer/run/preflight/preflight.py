"""The command `prepare`: everything that a run does before its first step, without loading a weight but where its steps are timed."""

from dataclasses import replace

from finetune_api.reasons import Reason
from finetune_api.run import RunConfig
from finetune_trainer.base.run_warnings import collected, warn
from finetune_trainer.engines.check import is_installed
from finetune_trainer.progress.state import RunState
from finetune_trainer.run.check import check_settings
from finetune_trainer.run.find import find
from finetune_trainer.run.preflight.estimate import estimate_run
from finetune_trainer.run.preflight.findings import Findings
from finetune_trainer.run.preflight.timing import NotMeasured, measure
from finetune_trainer.settings.batch_plan import BatchPlan
from finetune_trainer.settings.device import find_device
from finetune_trainer.settings.gpus import usable_gpus
from finetune_trainer.settings.run_plan import make_plan
from finetune_trainer.storage.find_output import open_output
from finetune_trainer.storage.output import Output
from finetune_trainer.storage.same_rows import check_same_rows
from finetune_trainer.storage.uris import Volumes, claim_of

SAMPLE = 5_000
"""Most rows of a split that are tokenized, where a sample will do."""


def preflight(
    config: RunConfig,
    volumes: Volumes,
    state: RunState,
    *,
    for_job: bool = False,
    assume: bool = False,
    timed: bool = False,
) -> Findings:
    """Check everything that a run needs, and estimate what it will be. Of many rows only a sample is tokenized.

    Args:
        for_job: As the first stage of a job that trains elsewhere: all rows are tokenized, GPUs that are asked for are
            taken as given, and an output on a volume that is not at hand is left to the training.
        assume: GPUs that are asked for and the engine are taken as given where this machine does not have them.
        timed: Some steps are done, to measure how long they take.

    Raises:
        TrainerError: What the run would fail with before its first step.
    """
    with collected(state.add_warning):
        here = not for_job and not (assume and (config.gpus or 0) > usable_gpus())
        arguments, use_cpu = check_settings(config, here=here, assume_engine=assume)
        _warn_of_engine(config.training.engine)
        device = find_device(use_cpu, config.processes, here=here)
        output = _open(config, volumes, for_job)
        found = find(config, volumes, use_cpu, state, most=None if for_job else SAMPLE)
        if output:
            check_same_rows(output, lambda: found.fingerprints)
        batch = BatchPlan.from_settings(config.training.batch_size, arguments)
        plan = make_plan(config, arguments, device, found.sequences, batch)
        findings = estimate_run(found, plan, output)
        if not timed:
            return findings
        try:
            return replace(findings, timing=measure(found, plan, findings))
        except NotMeasured as why:
            return replace(findings, not_timed=str(why))


def _warn_of_engine(name: str) -> None:
    """It was taken as given, if it is not installed."""
    if not is_installed(name):
        warn(
            Reason.KERAS_NOT_INSTALLED,
            f"training.engine: {name} is not installed here, so whether it can train this model is not checked, and the memory is as of the "
            f"other engines: pip install 'finetune-operator[trainer,{name}]' brings it",
        )


def _open(config: RunConfig, volumes: Volumes, for_job: bool) -> Output | None:
    claim = claim_of(config.output.uri)
    return (
        None
        if for_job and claim and claim not in volumes
        else open_output(config.output.uri, config.identity(), volumes)
    )
