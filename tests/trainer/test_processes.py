"""Two processes train as one does, and end together. By gloo, on the CPU."""

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from tests.s3_server import BUCKET, S3
from tests.trainer.crowd import Signal, run_together
from tests.trainer.test_stop_and_resume import outcome
from tests.trainer.tiny import Settings, Train
from tests.trainer.tiny_language import COLOUR_OF, save_llama, write_rows

from finetune_api.report import ExitCode, FinalReport

BOTH = pytest.mark.parametrize("engine", ["trainer", "pytorch"])


@pytest.fixture
def settings(settings: Settings, model: Path, tmp_path: Path) -> Settings:
    """As that of one process, of 12 steps, with nothing left to chance."""
    config = transformers.AutoConfig.from_pretrained(model, attention_probs_dropout_prob=0.0)
    transformers.AutoModel.from_pretrained(model, config=config).save_pretrained(tmp_path / "model")
    transformers.AutoTokenizer.from_pretrained(model).save_pretrained(tmp_path / "model")
    return {**settings, "model": {"source": f"file://{tmp_path}/model"}}


def shared(settings: Settings, folder: Path, processes: int, **training: Any) -> Settings:
    """The same steps by that many processes."""
    arguments = {"logging_steps": 2, "per_device_eval_batch_size": 10 // processes}
    training = {**settings["training"], "epochs": 1, "batchSize": 8 // processes, "arguments": arguments, **training}
    return {
        **settings, "training": training, "processesPerNode": processes, "output": {"uri": f"file://{folder}"},
    }  # fmt: skip


def weights(out: Path) -> dict[str, torch.Tensor]:
    """Those that the data decides about: the gradient of a key's bias is nothing but rounding."""
    exported = load_file(out / "model" / "model.safetensors")
    return {name: weight for name, weight in exported.items() if not name.endswith("key.bias")}


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("parallelism", ["ddp", "fsdp"])
def test_two_processes_have_the_loss_curve_and_the_weights_of_one(
    settings: Settings, train: Train, tmp_path: Path, engine: str, parallelism: str
) -> None:
    train(shared(settings, tmp_path / "one", 1, engine=engine))

    ended = run_together(
        shared(settings, tmp_path / "two", 2, engine=engine, parallelism=parallelism), tmp_path / "reports"
    )

    assert ended.codes == [0, 0]
    alone, crowd = outcome(tmp_path / "one")[1], outcome(tmp_path / "two")[1]
    assert [line["metrics"] for line in crowd] == [pytest.approx(line["metrics"], rel=1e-3) for line in alone]
    torch.testing.assert_close(weights(tmp_path / "two"), weights(tmp_path / "one"), atol=1e-3, rtol=1e-2)
    assert (ended.reports[0].model is None, ended.reports[1].model is None) == (False, True)
    [log] = (tmp_path / "two" / "logs").iterdir()
    assert (ended.reports[0].log, ended.reports[1].log) == (f"file://{log}", None)
    curves = ended.reports[0].curves
    assert curves
    assert curves.training
    assert curves.training.at[-1] == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "parallelism"),
    [
        ("trainer", "ddp"),
        ("trainer", "fsdp"),
        ("pytorch", "fsdp"),
    ],
)
def test_a_signal_to_one_process_stops_both_which_then_go_on_as_if_nothing_had_been(
    settings: Settings, tmp_path: Path, engine: str, parallelism: str
) -> None:
    training = {"engine": engine, "parallelism": parallelism, "epochs": 2}
    whole = shared(settings, tmp_path / "whole", 2, **training)
    run_together(whole, tmp_path / "reports")
    cut = shared(settings, tmp_path / "cut", 2, **training)

    stopped = run_together(cut, tmp_path / "reports", sent=Signal(rank=1, step=17, number=signal.SIGTERM))
    resumed = run_together(cut, tmp_path / "reports")

    assert (stopped.codes, resumed.codes) == ([ExitCode.STOPPED] * 2, [0, 0])
    assert [checkpoint.step for checkpoint in stopped.reports[0].checkpoints] == [12, 17]
    assert resumed.reports[0].resumed_from_step == 17
    assert outcome(tmp_path / "cut")[1] == outcome(tmp_path / "whole")[1]
    torch.testing.assert_close(weights(tmp_path / "cut"), weights(tmp_path / "whole"), atol=0, rtol=0)


def impatient(rank: int) -> None:
    """Workers of a forked process do not leave by themselves, and torch waits 5 s for each."""
    torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.2


@pytest.mark.slow
@BOTH
def test_two_processes_with_loading_workers_and_accumulation_go_on_to_the_bit(
    settings: Settings, model: Path, tmp_path: Path, engine: str
) -> None:
    config = transformers.AutoConfig.from_pretrained(model, hidden_dropout_prob=0.1)
    config.save_pretrained(tmp_path / "model")
    arguments = {"gradient_accumulation_steps": 2, "dataloader_num_workers": 1, "logging_steps": 3}
    training = {"engine": engine, "epochs": 2, "batchSize": 4, "arguments": arguments}
    run_together(whole := shared(settings, tmp_path / "whole", 2, **training), tmp_path / "reports", arm=impatient)
    cut = {**whole, "output": {"uri": f"file://{tmp_path}/cut"}}

    stopped = run_together(cut, tmp_path / "reports", sent=Signal(rank=1, step=4, number=signal.SIGTERM), arm=impatient)
    resumed = run_together(cut, tmp_path / "reports", arm=impatient)

    assert (stopped.codes, resumed.codes) == ([ExitCode.STOPPED] * 2, [0, 0])
    assert resumed.reports[0].resumed_from_step == 4
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "whole")


def on_a_machine_of_its_own(caches: Path, variables: dict[str, str], rank: int) -> None:
    os.environ |= {**variables, "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "XDG_CACHE_HOME": f"{caches}/{rank}"}


@pytest.mark.slow
@pytest.mark.parametrize("parallelism", ["ddp", "fsdp"])
def test_a_run_stopped_before_its_last_evaluation_makes_up_for_it_on_machines_with_nothing_but_a_bucket_in_common(
    settings: Settings, s3: S3, tmp_path: Path, parallelism: str
) -> None:
    lora = {"rank": 2} if parallelism == "ddp" else None
    settings = shared(settings, tmp_path, 2, parallelism=parallelism, lora=lora, epochs=1)
    settings |= {"nodes": 2, "processesPerNode": 1, "output": {"uri": f"s3://{BUCKET}/{tmp_path.name}"}}
    own = partial(on_a_machine_of_its_own, tmp_path, s3.variables)

    stopped = run_together(settings, tmp_path / "reports", sent=Signal(rank=1, step=12, number=signal.SIGTERM), arm=own)
    resumed = run_together(settings, tmp_path / "reports", arm=own)

    assert (stopped.codes, resumed.codes) == ([ExitCode.STOPPED] * 2, [0, 0])
    assert (stopped.reports[0].evaluations, resumed.reports[0].resumed_from_step) == ([], 12)
    assert [evaluation.step for evaluation in resumed.reports[0].evaluations] == [12]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "before", "now", "parallelism"),
    [
        ("trainer", 1, 2, "ddp"),
        ("pytorch", 2, 1, "fsdp"),
        ("trainer", 2, 1, "fsdp"),
        ("pytorch", 1, 2, "ddp"),
    ],
)
def test_another_number_of_processes_goes_on_with_the_same_rows_in_each_step(
    settings: Settings, train: Train, tmp_path: Path, engine: str, before: int, now: int, parallelism: str
) -> None:
    training = {"engine": engine, "parallelism": parallelism, "batchSize": 4, "epochs": 2}
    arguments = {"logging_steps": 2, "per_device_eval_batch_size": 5}
    settings = shared(settings, tmp_path / "out", before, **training, arguments=arguments)

    def run(settings: Settings, sent: Signal | None = None) -> FinalReport:
        return run_together(settings, tmp_path / "reports", settings["processesPerNode"], sent).reports[0]

    run(settings | {"output": {"uri": f"file://{tmp_path}/whole"}})
    run(settings, sent=Signal(rank=0, step=5, number=signal.SIGTERM))

    ended = run(settings | {"processesPerNode": now})

    assert (ended.exit_code, ended.resumed_from_step) == (0, 5)
    whole = outcome(tmp_path / "whole")[1]
    lines = [line for line in outcome(tmp_path / "out")[1] if line["kind"] != "adjustment"]
    assert [(line["step"], line["epoch"]) for line in lines] == [(line["step"], line["epoch"]) for line in whole]
    assert [line["metrics"] for line in lines] == [pytest.approx(line["metrics"], rel=1e-3) for line in whole]
    assert [(told.step, told.reason) for told in ended.adjustments] == [(6, "OtherProcesses")]


def test_processes_that_cannot_share_the_rows_of_a_step_are_refused(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    settings = shared(settings, tmp_path / "out", 1, batchSize=1, epochs=0.1)
    train(settings)

    ended = run_together(settings | {"processesPerNode": 2}, tmp_path / "reports")

    failure = ended.reports[0].failure
    assert ended.codes[0] == ExitCode.BAD_CONFIGURATION
    assert failure
    assert "of 1 process, with 1 rows in a step, which 2 processes cannot share evenly" in failure.message


def with_weights_that_nothing_uses(rank: int) -> None:
    original = transformers.BertForSequenceClassification.__init__

    def begin(self: Any, config: Any) -> None:
        original(self, config)
        self.spare = torch.nn.Parameter(torch.zeros(2, 2))

    transformers.BertForSequenceClassification.__init__ = begin  # type: ignore[method-assign]


@pytest.mark.slow
@BOTH
def test_activations_can_be_computed_again_where_a_task_does_not_use_all_weights(
    settings: Settings, tmp_path: Path, engine: str
) -> None:
    settings = shared(settings, tmp_path / "out", 2, engine=engine, arguments={"activation_checkpointing": True})

    ended = run_together(settings, tmp_path / "reports", arm=with_weights_that_nothing_uses)

    assert ended.codes == [0, 0]


@pytest.mark.slow
@BOTH
def test_a_process_whose_peer_is_killed_ends_and_says_so(settings: Settings, tmp_path: Path, engine: str) -> None:
    ended = run_together(
        shared(settings, tmp_path / "out", 2, engine=engine),
        tmp_path / "reports",
        sent=Signal(rank=1, step=3, number=signal.SIGKILL),
    )

    assert ended.codes == [ExitCode.PEER_LOST, -signal.SIGKILL]
    assert ended.reports[0].failure is not None
    assert ended.reports[0].failure.reason == "PeerLost"


@pytest.mark.slow
def test_a_mistake_in_the_data_is_reported_by_the_process_that_found_it(settings: Settings, tmp_path: Path) -> None:
    settings["dataset"]["columns"] = {"text": "txt", "label": "label"}

    ended = run_together(shared(settings, tmp_path / "out", 2), tmp_path / "reports")

    assert ended.codes == [ExitCode.DATA, ExitCode.PEER_LOST]
    assert ended.reports[0].failure is not None
    assert "txt" in ended.reports[0].failure.message


@pytest.mark.slow
def test_an_adapter_of_a_model_that_is_spread_over_processes_is_resumed(tmp_path: Path) -> None:
    rows = [{"text": f"what colour is the {thing} ? {colour}"} for thing, colour in COLOUR_OF.items()]
    settings: Settings = {
        "task": "causal-lm",
        "model": {"source": f"file://{save_llama(tmp_path / 'llama')}"},
        "dataset": {"source": f"file://{write_rows(tmp_path / 'rows.jsonl', rows * 16)}", "train": {"split": "train"}},
        "training": {"epochs": 2, "batchSize": 2, "parallelism": "fsdp", "lora": {"rank": 4}},
        "output": {"uri": f"file://{tmp_path}/out"}, "gpus": 0, "processesPerNode": 2,
    }  # fmt: skip

    stopped = run_together(settings, tmp_path / "reports", sent=Signal(rank=0, step=3, number=signal.SIGTERM))
    resumed = run_together(settings, tmp_path / "reports")

    assert (stopped.codes, resumed.codes) == ([ExitCode.STOPPED] * 2, [0, 0])
    assert resumed.reports[0].resumed_from_step == 3
    assert (tmp_path / "out" / "model" / "adapter_model.safetensors").is_file()
