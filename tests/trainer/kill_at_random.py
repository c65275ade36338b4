"""Kills a process that saves, at moments that nobody chose. A program of its own, since it forks.

    python -m tests.trainer.kill_at_random KILLS OUTPUT_URI FOLDER [--seed N]

One process after the other goes on from what the one before left: it checks that every checkpoint which was told to be
there loads and holds what was told, then saves without end, through the trainer's own recorder, until it is killed. FOLDER
is on this machine and keeps what was told; OUTPUT_URI may be a bucket. Prints the kills, the checkpoints checked, and the
newest step that each process found.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch
import transformers
from tests.trainer.tiny import VOCABULARY, make_tokenizer

from finetune_api.run import RunConfig
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.checkpoints.snapshot import TrainingState, take_snapshot, weights_of
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.progress.history import History
from finetune_trainer.progress.run_progress import RunProgress
from finetune_trainer.progress.state import RunState
from finetune_trainer.settings.batch_plan import BatchPlan
from finetune_trainer.storage.claim import claim_output
from finetune_trainer.storage.find_output import open_output
from finetune_trainer.storage.layout import OPTIMIZER, TRAINER_STATE
from finetune_trainer.storage.output import Output


class ToldState(RunState):
    """Writes down each ledger that could be reported from now on."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def set_checkpoints(self, *arguments: Any) -> None:
        super().set_checkpoints(*arguments)
        ledger = [[checkpoint.step, checkpoint.digest] for checkpoint in self.current.checkpoints]
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(ledger) + "\n")


def configure(uri: str) -> RunConfig:
    return RunConfig.model_validate(
        {
            "task": "text-classification",
            "model": {"source": "file:///none"},
            "dataset": {"source": "file:///none", "train": {"split": "train"}, "evaluation": {"split": "test"}},
            "evaluation": {"strategy": "steps", "steps": 1, "metrics": ["accuracy"], "bestMetric": "accuracy"},
            "checkpoints": {"strategy": "steps", "steps": 1, "keep": 2},
            "output": {"uri": uri},
        }
    )


def make_model() -> transformers.PreTrainedModel:
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
        )
    )


def fill(model: transformers.PreTrainedModel, step: int) -> dict[str, Any]:
    """Make every number of the state that of the step. Returns an optimizer's state."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(step)
    return {"state": {0: {"exp_avg": torch.full((64, 64), float(step))}}, "param_groups": [{"lr": 0.1}]}


def check(store: CheckpointStore, told: list[list[Any]]) -> None:
    """What was told is there, and holds the state of its step."""
    found = {checkpoint.step: checkpoint for checkpoint in store.saved}
    for step, digest in told:
        if step not in found or found[step].digest != digest:
            raise AssertionError(f"step {step} was told with {digest}, and is not there: {store.saved}")
    for checkpoint in list(store.saved):
        store.fetch(checkpoint)
        load(checkpoint.path, checkpoint.step)


def load(path: Path, step: int) -> None:
    model = transformers.BertForSequenceClassification.from_pretrained(path)
    values = {value for weight in model.parameters() for value in weight.unique().tolist()}
    momentum = torch.load(path / OPTIMIZER, weights_only=True)["state"][0]["exp_avg"].unique().tolist()
    text = (path / TRAINER_STATE).read_text(encoding="utf-8")
    transformers.AutoTokenizer.from_pretrained(path)
    if (values, momentum, text) != ({float(step)}, [float(step)], str(step)):
        raise AssertionError(f"the checkpoint of step {step} holds {values}, {momentum}, {text}")


def warm_up(folder: Path) -> None:
    """Import all that saving and loading need, so that not each process does it again."""
    model, folder = make_model(), folder / "warm-up"
    state = TrainingState(model, make_tokenizer(), weights_of(model), {OPTIMIZER: fill(model, 1)}, {TRAINER_STATE: "1"})
    folder.mkdir()
    take_snapshot(1, 1.0, state).write(folder)
    load(folder, 1)


def last_told(path: Path) -> list[list[Any]]:
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    ledger: list[list[Any]] = json.loads(lines[-1]) if lines else []
    return ledger


def save_without_end(config: RunConfig, output: Output, store: CheckpointStore, told: Path, ready: int) -> None:
    history, stop = History(output.history, output.history_changed), StopSignal(before_exit=lambda: None)
    progress = RunProgress.of(
        config, BatchPlan.from_settings(config.training.batch_size, {}), output, store, history, ToldState(told), stop
    )
    progress.resume()
    claim_output(output, config.identity())
    store.begin()
    history.begin()
    model, tokenizer = make_model(), make_tokenizer()
    step, chance = store.newest.step if store.newest else 0, random.Random(os.getpid())
    while True:
        step += 1
        optimizer = fill(model, step)
        progress.recorder.evaluated(step, float(step), {"eval_loss": 1.0, "eval_accuracy": chance.random()})
        state = TrainingState(model, tokenizer, weights_of(model), {OPTIMIZER: optimizer}, {TRAINER_STATE: str(step)})
        os.write(ready, b"s")
        progress.recorder.save(take_snapshot(step, float(step), state))


def attempt(config: RunConfig, told: Path, ready: int, saving: bool) -> None:
    """In a process of its own: check what the last one left, say so, and save until killed."""
    output = open_output(config.output.uri, config.identity(), {})
    store = CheckpointStore(output, config.identity(), config.checkpoints.keep)
    store.find()
    ledger = last_told(told)
    check(store, ledger)
    os.write(ready, json.dumps([len(ledger), store.newest.step if store.newest else 0]).encode() + b"\n")
    if saving:
        save_without_end(config, output, store, told, ready)


def run(config: RunConfig, told: Path, moment: tuple[int, float] | None) -> list[int]:
    """An attempt in a child, killed so many seconds after a save of it began, by number; None lets it only check.

    Returns:
        The number of checkpoints that had been told before, and the newest step that was found.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        status = 1
        try:
            attempt(config, told, writer, saving=moment is not None)
            status = 0
        except BaseException:  # noqa: BLE001 - a forked process must not go on as its parent
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as pipe:  # noqa: PTH123 - a descriptor
        found = pipe.readline()
        if moment and len(pipe.read(moment[0])) == moment[0]:
            time.sleep(moment[1])
            os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if not found or status != (signal.SIGKILL if moment else 0):
        sys.exit(f"the process ended with {status}")
    ended: list[int] = json.loads(found)
    return ended


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kills", type=int)
    parser.add_argument("uri")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--window", type=float, default=0.1, help="seconds: somewhat more than a save takes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    config, told, chance = configure(options.uri), options.folder / "told.jsonl", random.Random(options.seed)
    warm_up(options.folder)
    started = time.monotonic()
    moments = [(chance.randint(1, 4), chance.uniform(0, options.window)) for _ in range(options.kills)]
    ended = [run(config, told, moment) for moment in moments]
    ended.append(run(config, told, None))
    print(
        json.dumps(
            {
                "kills": options.kills,
                "checked": sum(count for count, _ in ended),
                "newest": [step for _, step in ended],
                "seconds": round(time.monotonic() - started, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
