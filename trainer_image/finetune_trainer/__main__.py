"""`python -m finetune_trainer [prepare] --config run.yaml [--volume CLAIM=FOLDER ...]`

This file reads the settings, and sees to it that every end of a run is reported. The work is done by `run.commands` and
`processes.launch`, which import torch and transformers. That takes seconds, and these read the environment while they are
imported: so they are imported within functions, once the settings are good, in which a mistake is reported at once.
"""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from finetune_api.report import ENV_CONFIG_DIGEST, ENV_PROGRESS_DEADLINE, NOT_RETRIED, ExitCode, FinalReport
from finetune_api.run import RunConfig
from finetune_api.status import Failure
from finetune_trainer.base.errors import Stopped, TrainerError
from finetune_trainer.base.frozen_imports import frozen_imports
from finetune_trainer.base.hidden_packages import hidden
from finetune_trainer.base.import_structure import read_once
from finetune_trainer.base.redaction import guard_logs, redact
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.base.stderr_log import log_to_stderr
from finetune_trainer.base.time_limit import end_late_work_by
from finetune_trainer.data import token_cache
from finetune_trainer.processes.child import (
    end_with_parent,
    is_launched,
    is_main,
    terminate_with_launcher,
    write_final_report,
)
from finetune_trainer.progress.attempt_log import AttemptLog
from finetune_trainer.progress.endpoint import Endpoint
from finetune_trainer.progress.heartbeat import ENDING_SECONDS, Heartbeat
from finetune_trainer.progress.reporter import Reporter
from finetune_trainer.progress.state import RunState
from finetune_trainer.run.failure import explain, known_failure
from finetune_trainer.settings.command_line import Options, parse_options, parse_volumes
from finetune_trainer.settings.load import load_config
from finetune_trainer.storage import kept_downloads
from finetune_trainer.storage.credentials import publish_places, remember_secrets
from finetune_trainer.storage.failed_attempts import count_failure, forget_failures
from finetune_trainer.storage.own_volume import own_volume_is_empty
from finetune_trainer.storage.shared_cache import sweep, use_shared_cache
from finetune_trainer.storage.trust import trust_authorities
from finetune_trainer.storage.uris import Volumes
from finetune_trainer.watchdog.watchdog import run_watched

logger = logging.getLogger("finetune_trainer")


def main(arguments: list[str]) -> int:
    """Run to the end and report how it went. Returns the exit code, one of `ExitCode`."""
    guard_logs()
    options = parse_options(arguments)
    if options.command == "prepare" and not options.for_job:
        return int(_prepare(options))
    log = AttemptLog()
    with log.listening():
        return _run_job(options, arguments, RunState(Heartbeat.from_environment(), log))


def _run_job(options: Options, arguments: list[str], state: RunState) -> int:
    stop = StopSignal(before_exit=lambda: _write_final_report(state, ExitCode.STOPPED, None))
    stop.listen()
    end_late_work_by(lambda error: _end(state, error))
    reporter: Reporter | None = None
    code, failure = ExitCode.SUCCESS, None
    state.heartbeat.begin()
    try:
        terminate_with_launcher()
        end_with_parent()
        remember_secrets()
        trust_authorities()
        use_shared_cache()
        config = load_config(options.config, os.environ.get(ENV_CONFIG_DIGEST))
        publish_places(config)
        volumes = parse_volumes(options.volume)
        alone = options.command == "prepare" or config.nodes * config.processes == 1
        if not is_launched():
            sweep()
        if not alone and not is_launched():
            return _launch(config, arguments, stop, state.heartbeat)
        endpoint = Endpoint.from_environment() if is_main() else None
        reporter = Reporter(state, endpoint, config.reporting.interval_seconds, lambda: _leave(state))
        reporter.start()
        found = _execute(options, config, volumes, state, stop)
        stop.ignore()
        if is_main():
            sys.stdout.write(redact(found))
            state.log.write(found)
    except (Stopped, Exception) as error:  # noqa: BLE001 - every end is reported
        stop.ignore()  # first of all: a signal now would leave the end of the run unreported
        code, failure = explain(error, state)
    state.heartbeat.ends(None)  # deleting what attempts hand on takes as long as it takes
    trained = code == ExitCode.SUCCESS and options.command == "train"
    counts = options.command == "train" and code not in (ExitCode.SUCCESS, ExitCode.STOPPED, ExitCode.SMALLER_BATCHES)
    if is_main() and (trained or code in NOT_RETRIED or (counts and count_failure())):
        _let_go()
    _write_final_report(state, code, failure)
    state.heartbeat.ends(ENDING_SECONDS)
    before = state.current.log
    state.log.finish()
    if state.current.log != before:
        _write_final_report(state, code, failure)
    if reporter:
        reporter.finish()
    kept_downloads.finish()
    return int(code)


def _run(arguments: list[str]) -> int:
    """Run, with a watchdog where the operator wants one. Of several processes their launcher has it."""
    if is_launched() or not os.environ.get(ENV_PROGRESS_DEADLINE):
        return main(arguments)
    guard_logs()
    return run_watched(lambda: main(arguments))


def _prepare(options: Options) -> ExitCode:
    """Print what a run would be, or what is wrong with it. Nothing is reported: a run may be under way beside it."""
    state = RunState()
    end_with_parent()
    end_late_work_by(lambda error: os._exit(explain(error, state)[0]))
    try:
        remember_secrets()
        trust_authorities()
        use_shared_cache()
        config, volumes = load_config(options.config), parse_volumes(options.volume)
        publish_places(config)
        found = _execute(options, config, volumes, state, stop=StopSignal(before_exit=lambda: None))
    except Exception as error:  # noqa: BLE001 - as in `main`
        return explain(error, state)[0]
    sys.stdout.write(redact(found))
    return ExitCode.SUCCESS


def _execute(options: Options, config: RunConfig, volumes: Volumes, state: RunState, stop: StopSignal) -> str:
    """Train or prepare in this process. Returns what is to be printed."""
    _quiet_libraries()
    with _large_imports():
        from finetune_trainer.run import commands

    if options.command == "prepare":
        return commands.prepare(config, volumes, state, options)
    return commands.train(config, volumes, state, stop)


def _launch(config: RunConfig, arguments: list[str], stop: StopSignal, heartbeat: Heartbeat) -> int:
    """Train in several processes of this machine."""
    heartbeat.launches("loading libraries", None)
    _quiet_libraries()
    with _large_imports():
        from finetune_trainer.processes.launch import launch
        from finetune_trainer.run.check import check_settings

    check_settings(config)
    final = launch(config, arguments, stop, heartbeat.launches)
    if final.exit_code in NOT_RETRIED:
        heartbeat.launches("deleting what attempts hand on", None)
        _let_go()
        heartbeat.launches("ending")
    _write(final)
    return final.exit_code


@contextmanager
def _large_imports() -> Iterator[None]:
    """Import torch and transformers within this, without what they would import for the sake of others.

    Losses of models that find objects in pictures bring scipy along, and accelerate's questions about SageMaker boto3.
    """
    with frozen_imports(), read_once(), hidden("boto3", "scipy"):
        yield
        from transformers.utils.import_utils import is_scipy_available
    is_scipy_available.cache_clear()  # a model that looks for it later finds it


def _let_go() -> None:
    """Delete what attempts of this run hand to each other: none comes after this one."""
    token_cache.clear()
    kept_downloads.clear()
    forget_failures()


def _quiet_libraries() -> None:
    """Set before the libraries are imported, since they read it then."""
    # It downloads code of the Hub by what a model's config.json names: to transformers it is not installed.
    sys.modules["kernels"] = None  # type: ignore[assignment]
    os.environ["DISABLE_KUBEFLOW_INTEGRATION"] = "TRUE"  # reports are ours
    os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] = (
        "0"  # `datasets` tells a bucket of Amazon's of each data set that it loads
    )
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"  # for processes started from here, as `launch` does
    # What connections to buckets die of in the background is raised by the calls that wanted them.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")


def _leave(state: RunState) -> NoReturn:
    """End at once and save nothing: this pod was removed while its container lives on, as on a node that was cut off.

    Another pod may be writing to the same output by now.
    """
    logger.error("error: this pod is not the job's any more, and another may be training: stopping without saving")
    _write_final_report(state, ExitCode.STOPPED, None)
    os._exit(ExitCode.STOPPED)


def _end(state: RunState, error: TrainerError) -> NoReturn:
    """End at once with a failure, from any thread: what the main thread does never comes to an end."""
    try:
        failure = known_failure(error)
        if is_main() and error.exit_code in NOT_RETRIED:
            _let_go()
        _write_final_report(state, error.exit_code, failure)
    finally:
        os._exit(error.exit_code)


def _write_final_report(state: RunState, code: ExitCode, failure: Failure | None) -> None:
    """Only the main process knows the state of the run."""
    _write((state if is_main() else RunState()).final(code, failure))


def _write(report: FinalReport) -> None:
    write_final_report(report.model_copy(update={"output_empty": own_volume_is_empty()}))


if __name__ == "__main__":
    log_to_stderr()
    logger.setLevel(logging.INFO if is_main() else logging.CRITICAL)  # `launch` logs what another one reports
    sys.exit(_run(sys.argv[1:]))
