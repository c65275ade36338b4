"""One run from start to end: check, open, find, plan, train, export."""

import logging
import tempfile
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from finetune_api.run import RunConfig
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.processes.group import Processes
from finetune_trainer.progress.state import RunState
from finetune_trainer.run.attempts import train
from finetune_trainer.run.check import check_settings
from finetune_trainer.run.export import export
from finetune_trainer.run.find import find
from finetune_trainer.run.opening import open_run
from finetune_trainer.run.preflight.estimate import estimate_run
from finetune_trainer.run.preflight.findings import to_status
from finetune_trainer.run.preflight.table import table
from finetune_trainer.settings.device import find_device
from finetune_trainer.settings.run_plan import make_plan
from finetune_trainer.storage.output import Output
from finetune_trainer.storage.same_rows import check_same_rows
from finetune_trainer.storage.uris import Volumes

logger = logging.getLogger(__name__)


def run(config: RunConfig, volumes: Volumes, state: RunState, stop: StopSignal) -> Output:
    """Run what `config` asks for. A finished run is only evaluated and exported again.

    Raises:
        TrainerError: A failure that can be explained.
        Stopped: It was asked to stop; what was trained is saved.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]  # those of loading and saving would break our own
    arguments, use_cpu = check_settings(config)
    with Processes.joined(use_cpu) as processes, tempfile.TemporaryDirectory() as own:
        if processes.count > 1:
            stop.agree_by(processes.any)
        opened = open_run(config, arguments, volumes, state, stop, processes, Path(own))
        output, progress = opened.output, opened.progress
        try:
            found = processes.local_main_first(lambda: find(config, volumes, use_cpu, state))
            device = find_device(use_cpu, config.processes)
            plan = make_plan(config, arguments, device, found.sequences, opened.batch)
            with processes.barrier():
                if processes.is_main:
                    check_same_rows(output, lambda: found.fingerprints)
                    findings = estimate_run(found, plan, output, fresh=progress.store.newest is None)
                    state.set_preflight(to_status(findings))
                    logger.info("%s", table(findings))
            with opened.tracking:
                last, prepared = train(found, plan, opened, processes)
                state.stage("Exporting", "writing the model")  # of all processes, which wait for the main one
                with processes.barrier():
                    if processes.is_main:
                        export(last, prepared, output, progress)
        finally:
            progress.store.close()
    state.stage("Finished")
    return output
