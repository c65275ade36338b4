"""`python -m finetune_trainer [prepare] --config run.yaml [--volume CLAIM=FOLDER ...]`"""

import argparse
import json
import logging
import os
import sys
import traceback
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.reasons import Reason
from finetune_api.report import NOT_RETRIED, ExitCode
from finetune_api.run import RunConfig
from finetune_api.status import MAX_LOG_TAIL, MAX_MESSAGE, Failure
from finetune_trainer.base.errors import Stopped, TrainerError, bad_configuration
from finetune_trainer.base.redaction import guard_logs, redact
from finetune_trainer.base.run_warnings import collected
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.data import token_cache as shared_tokens
from finetune_trainer.processes.child import is_launched, is_main, terminate_with_launcher, write_final_report
from finetune_trainer.progress.reporter import Endpoint, Reporter
from finetune_trainer.progress.state import RunState
from finetune_trainer.settings.load import load_config
from finetune_trainer.storage.credentials import remember_secrets
from finetune_trainer.storage.output import Output

if TYPE_CHECKING:
    from finetune_trainer.run.preflight.findings import Findings

logger = logging.getLogger("finetune_trainer")


def main(arguments: list[str]) -> int:
    """Run to the end and say how it went. Returns the exit code, one of `ExitCode`."""
    guard_logs()
    options = _parse(arguments)
    if options.command == "prepare" and not options.for_job:
        return int(_prepare(options))
    state = RunState()
    stop = StopSignal(before_exit=lambda: _write_final_report(state, ExitCode.STOPPED, None))
    stop.listen()
    reporter: Reporter | None = None
    code, failure = ExitCode.SUCCESS, None
    try:
        terminate_with_launcher()
        remember_secrets()
        config = load_config(options.config)
        volumes = _volumes(options.volume)
        alone = options.command == "prepare" or config.nodes * config.processes == 1
        if not alone and not is_launched():
            return _launch(config, arguments, stop)
        endpoint = Endpoint.from_environment() if is_main() else None
        reporter = Reporter(state, endpoint, config.reporting.interval_seconds)
        reporter.start()
        _work(options, config, volumes, state, stop)
    except (Stopped, Exception) as error:  # noqa: BLE001 - the last word must be said in every end
        stop.ignore()  # before anything is told: a signal now would leave the end of the run untold
        code, failure = _explain(error, state)
    trained = code == ExitCode.SUCCESS and options.command == "train"
    if is_main() and (trained or code in NOT_RETRIED):
        shared_tokens.clear()
    _write_final_report(state, code, failure)
    if reporter:
        reporter.finish()
    return int(code)


def _work(
    options: argparse.Namespace, config: RunConfig, volumes: dict[str, Path], state: RunState, stop: StopSignal
) -> None:
    """Train, or prepare a job's training."""
    if options.command == "prepare":
        found = _foretell(config, volumes, state, for_job=True)
        stop.ignore()
        sys.stdout.write(_shown(found, state, as_json=options.json))
        return
    output = _run(config, volumes, state, stop)
    stop.ignore()
    if is_main():
        _print_summary(state, output)


def _launch(config: RunConfig, arguments: list[str], stop: StopSignal) -> int:
    """Run in several processes on this machine, and say how they ended."""
    _quiet_libraries()
    from finetune_trainer.processes.launch import launch
    from finetune_trainer.run.check import check_settings

    check_settings(config)
    final = launch(config, arguments, stop)
    write_final_report(final)
    return final.exit_code


def _prepare(options: argparse.Namespace) -> ExitCode:
    """Print what a run would be, or what is wrong with it. Nobody else is told: a run may be under way beside it."""
    state = RunState()
    try:
        remember_secrets()
        found = _foretell(load_config(options.config), _volumes(options.volume), state)
    except Exception as error:  # noqa: BLE001 - as in `main`
        return _explain(error, state)[0]
    sys.stdout.write(_shown(found, state, as_json=options.json))
    return ExitCode.SUCCESS


def _foretell(config: RunConfig, volumes: dict[str, Path], state: RunState, *, for_job: bool = False) -> "Findings":
    _quiet_libraries()
    from finetune_trainer.run.out_of_memory import memory_failures
    from finetune_trainer.run.preflight.command import preflight
    from finetune_trainer.run.preflight.findings import to_status

    with memory_failures(config):
        found = preflight(config, volumes, state, for_job=for_job)
    state.set_preflight(to_status(found))
    return found


def _shown(found: "Findings", state: RunState, *, as_json: bool) -> str:
    """What was found out, and what was warned of, for stdout."""
    from finetune_trainer.run.preflight.table import row, table

    warned = [warning.message for warning in state.current.warnings]
    if as_json:
        return json.dumps({**asdict(found), "warnings": warned}, indent=2) + "\n"
    return "\n".join([table(found), *(row("warning", message) for message in warned)]) + "\n"


def _run(config: RunConfig, volumes: dict[str, Path], state: RunState, stop: StopSignal) -> Output:
    _quiet_libraries()
    from tqdm.contrib.logging import logging_redirect_tqdm

    # torch and transformers take seconds to import: a mistake in the configuration is told before.
    from finetune_trainer.run.out_of_memory import memory_failures
    from finetune_trainer.run.train import run

    with logging_redirect_tqdm(), memory_failures(config), collected(state.add_warning):
        return run(config, volumes, state, stop)


def _quiet_libraries() -> None:
    """Set before the libraries are imported, since they read it then."""
    os.environ["DISABLE_KUBEFLOW_INTEGRATION"] = "TRUE"  # reports are ours
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"  # for processes started from here, as `launch` does
    # What connections to buckets die of in the background is told by the calls that wanted them.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="finetune_trainer", description="Fine-tunes a model as run.yaml says.")
    parser.add_argument(
        "command",
        nargs="?",
        choices=("train", "prepare"),
        default="train",
        help="prepare checks everything and foretells the run, without a step of training",
    )
    parser.add_argument("--json", action="store_true", help="with prepare: print JSON")
    parser.add_argument(
        "--for-job",
        action="store_true",
        help="with prepare: as the first stage of a job that trains elsewhere; reports to the operator, takes GPUs that are "
        "asked for as given, and tokenizes all rows",
    )
    parser.add_argument("--config", type=Path, required=True, help="the run's settings, YAML")
    parser.add_argument(
        "--volume",
        action="append",
        default=[],
        metavar="CLAIM=FOLDER",
        help="where pvc://CLAIM/... lies on this machine",
    )
    return parser.parse_args(arguments)


def _volumes(pairs: list[str]) -> dict[str, Path]:
    volumes = {}
    for pair in pairs:
        claim, equals, folder = pair.partition("=")
        if not (claim and equals and folder):
            raise bad_configuration(f"--volume {pair}: must be CLAIM=FOLDER")
        volumes[claim] = Path(folder).absolute()
    return volumes


def _explain(error: BaseException, state: RunState) -> tuple[ExitCode, Failure | None]:
    """What an end that is no success is called; people are told."""
    if isinstance(error, Stopped):
        logger.warning("stopped; %s", _where(state))
        return ExitCode.STOPPED, None
    if isinstance(error, TrainerError):
        return error.exit_code, _tell(error)
    return ExitCode.INTERNAL, _unforeseen(error)


def _tell(error: TrainerError) -> Failure:
    message, hint = redact(error.message), error.hint and redact(error.hint)
    if error.exit_code != ExitCode.PEER_LOST:  # that one has no cause here, and `launch` tells it if nobody has
        logger.error("error: %s", message)
        if hint:
            logger.error("hint: %s", hint)
    return Failure(
        reason=error.reason,
        message=message[:MAX_MESSAGE],
        hint=hint and hint[:MAX_MESSAGE],
        exit_code=error.exit_code,
    )


def _unforeseen(error: BaseException) -> Failure:
    text = redact("".join(traceback.format_exception(error)))
    logger.error("%s", text)
    return Failure(
        reason=Reason.INTERNAL_ERROR,
        message=redact(f"{type(error).__name__}: {error}")[:MAX_MESSAGE],
        hint="the pod's log has the whole story; this is a fault of the trainer or of a library, please report it",
        exit_code=ExitCode.INTERNAL,
        log_tail=text[-MAX_LOG_TAIL:],
    )


def _write_final_report(state: RunState, code: ExitCode, failure: Failure | None) -> None:
    """Only the main process knows the state of the run."""
    write_final_report((state if is_main() else RunState()).final(code, failure))


def _where(state: RunState) -> str:
    checkpoints = state.current.checkpoints
    if not checkpoints:
        return "nothing was trained yet"
    return f"the same command goes on from step {checkpoints[-1].step} ({checkpoints[-1].uri})"


def _print_summary(state: RunState, output: Output) -> None:
    final, best = state.current, state.current.best_checkpoint
    steps = ", ".join(str(checkpoint.step) for checkpoint in final.checkpoints)
    lines = [
        f"metrics:     {', '.join(f'{metric.name} {metric.value}' for metric in final.metrics)}",
        *([f"best:        step {best.step}, {best.metric} {best.value}"] if best else []),
        f"model:       {output.shown(output.model)}",
        f"checkpoints: {output.shown(output.checkpoints)} (steps {steps})",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logger.setLevel(logging.INFO if is_main() else logging.CRITICAL)  # `launch` tells what another one has to say
    sys.exit(main(sys.argv[1:]))
