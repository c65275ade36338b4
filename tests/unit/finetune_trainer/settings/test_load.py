"""run.yaml: it is understood as Kubernetes understands it, and what is wrong is reported by field."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from finetune_api.report import ExitCode
from finetune_api.training import Task
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.settings.load import load_config, parse_config

*_FIRST, _LAST = (f"'{task}'" for task in get_args(Task))
TASKS = f"{', '.join(_FIRST)} or {_LAST}"
GOOD = """
task: text-classification
model: {source: org/name}
dataset: {source: org/data, train: {split: train}}
training: {learningRate: 5e-5, arguments: {warmup_steps: 1e2}}
output: {uri: file:///out}
"""


@pytest.fixture(autouse=True)
def usual_recursion_limit() -> Iterator[None]:
    """That of a process of the trainer: the dev cluster, which may be up beside these tests, raises it."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(limit)


def failure_of(text: str) -> TrainerError:
    with pytest.raises(TrainerError) as caught:
        parse_config(text, "run.yaml")
    assert caught.value.exit_code == ExitCode.BAD_CONFIGURATION
    return caught.value


def test_a_number_in_scientific_notation_is_a_number() -> None:
    config = parse_config(GOOD, "run.yaml")

    assert (config.training.learning_rate, config.training.arguments) == (5e-5, {"warmup_steps": 100.0})


def test_json_is_read_too() -> None:
    config = parse_config(parse_config(GOOD, "run.yaml").model_dump_json(by_alias=True, exclude_none=True), "run.yaml")

    assert config == parse_config(GOOD, "run.yaml")


def test_a_misspelt_field_is_named_with_the_one_that_was_meant() -> None:
    failure = failure_of(GOOD.replace("learningRate", "learningrate"))

    assert failure.message == (
        "training.learningrate: there is no such field; did you mean 'learningRate'? "
        "(there are engine, epochs, batchSize, learningRate, seed, parallelism, lora, arguments)"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("task: text-classification\n", ""), "task: is required"),
        (GOOD.replace("text-classification", "poetry"), f"task: must be {TASKS}, not 'poetry'"),
        (GOOD.replace("5e-5", "five"), "training.learningRate: should be a valid number, unable to parse string"),
        (GOOD.replace("5e-5", "-1"), "training.learningRate: should be greater than 0, not -1"),
        (GOOD.replace("5e-5", "2024-01-01"), "training.learningRate: should be a valid number"),
        (
            GOOD.replace("file:///out", "/out"),
            "output.uri: must be file:///path, pvc://claim/path, s3://, gs:// or az://bucket/path, ",
        ),
        (GOOD.replace("file:///out", "file:///a/../b"), "output.uri: must be file:///path, pvc://claim/path, s3://, "),
        (GOOD + "gpus: 2\nprocessesPerNode: 4", "the settings: processesPerNode is for training on the CPU (gpus: 0)"),
        (GOOD + "processesPerNode: 2", "the settings: processesPerNode is for training on the CPU (gpus: 0)"),
        (GOOD + "evaluation: {strategy: steps}", "evaluation: steps is required with strategy 'steps', and only then"),
        (GOOD + "output: {uri: file:///twice}", 'run.yaml line 7 is not YAML: found duplicate key "output"'),
        (GOOD + "checkpoints: [", "run.yaml line 7 is not YAML"),
        (GOOD + "x: !!python/object:os.system {}", "run.yaml line 7 is not YAML"),
        pytest.param(
            GOOD.replace("1e2", "[" * 600 + "]" * 600),
            "run.yaml is nested too deep to be read",
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            GOOD.replace("1e2", "{a: " * 400 + "1" + "}" * 400),
            "training.arguments: warmup_steps.a: is nested too deep",
            marks=pytest.mark.thorough,
        ),
        (GOOD.replace("1e2", "[" * 3 + "]" * 3), "training.arguments: warmup_steps: is nested too deep"),
        (GOOD.replace("1e2", "9" * 5000), "run.yaml holds a value that cannot be read: Exceeds the limit"),
        (GOOD.replace("1e2", "2024-01-01"), "training.arguments: warmup_steps: must be text, a number, a boolean"),
        ("", "run.yaml holds no settings"),
        ("- a", "run.yaml holds no settings"),
    ],
)
def test_what_is_wrong_is_reported_by_field(text: str, message: str) -> None:
    assert failure_of(text).message.startswith(message)


@pytest.mark.slow
def test_what_is_nested_by_the_thousand_is_refused_too() -> None:
    text = GOOD.replace("1e2", "[" * 5000 + "]" * 5000)

    assert failure_of(text).message.startswith("run.yaml is nested too deep to be read")


def test_all_mistakes_are_reported_at_once() -> None:
    failure = failure_of(GOOD.replace("task: text-classification", "task: poetry").replace("5e-5", "-1"))

    assert failure.message == (
        f"task: must be {TASKS}, not 'poetry'; training.learningRate: should be greater than 0, not -1"
    )


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(TrainerError, match=r"nothing\.yaml cannot be read: No such file or directory"):
        load_config(tmp_path / "nothing.yaml")
    with pytest.raises(TrainerError, match=r"binary\.yaml is not UTF-8 text"):
        load_config(binary)


def test_only_the_file_that_the_job_was_created_with_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(GOOD)
    digest = "sha256:" + hashlib.sha256(GOOD.encode()).hexdigest()
    mine = load_config(path, digest)
    path.write_text(GOOD.replace("org/name", "org/other"))

    with pytest.raises(TrainerError) as caught:
        load_config(path, digest)

    assert mine == parse_config(GOOD, "run.yaml")
    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.BAD_CONFIGURATION, "ConfigChanged")
    assert digest in caught.value.message


def test_a_file_that_was_replaced_is_not_even_parsed(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xff" * 100)

    with pytest.raises(TrainerError) as caught:
        load_config(path, "sha256:" + "0" * 64)

    assert caught.value.reason == "ConfigChanged"
