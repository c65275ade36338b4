"""What transformers' Trainer refuses of training.arguments is the user's fault; a fault of ours is not called so."""

from collections.abc import Callable
from typing import Any

import pytest
import transformers
from tests.trainer.tiny import Settings, Train

from finetune_api.report import ExitCode
from finetune_api.run import RunConfig
from finetune_trainer.engines import transformers_trainer

Break = Callable[[pytest.MonkeyPatch], None]


def library_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any) -> None:
        raise ValueError("no such\n  precision")

    monkeypatch.setattr(transformers.Trainer, "create_accelerator_and_postprocess", refuse)


def we_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers_trainer, "LossOverLabels", None)


@pytest.mark.parametrize(
    ("arguments", "broken", "code", "reason", "message"),
    [
        pytest.param(
            {"weight_decay": 0.1}, library_refuses, ExitCode.BAD_CONFIGURATION, "BadConfiguration",
            "training.arguments: transformers' Trainer cannot be made of them: no such precision",
            id="an argument",
        ),
        pytest.param(
            {}, library_refuses, ExitCode.INTERNAL, "InternalError", "ValueError: no such   precision",
            id="no argument was given",
        ),
        pytest.param(
            {"weight_decay": 0.1}, we_fail, ExitCode.INTERNAL, "InternalError",
            "TypeError: 'NoneType' object is not callable", id="a line of ours",
        ),
    ],
)  # fmt: skip
def test_only_what_a_library_refuses_of_the_arguments_is_the_user_s_fault(
    settings: Settings, train: Train, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], broken: Break,
    code: ExitCode, reason: str, message: str,
) -> None:  # fmt: skip
    settings["training"]["arguments"] = arguments
    broken(monkeypatch)

    ended = train(settings)

    assert ended.final.failure is not None
    assert (ended.code, ended.final.failure.reason, ended.final.failure.message) == (code, reason, message)


@pytest.mark.parametrize(
    ("parallelism", "processes", "reason"),
    [
        pytest.param("fsdp", 2, "ShardingNotPossible", id="a model that cannot be sharded"),
        pytest.param("fsdp", 1, None, id="one process, which shards nothing"),
        pytest.param("ddp", 2, None, id="no setting that can be at fault"),
    ],
)
def test_without_arguments_fsdp_alone_may_be_at_fault(
    settings: Settings, parallelism: str, processes: int, reason: str | None
) -> None:
    settings["training"].update(parallelism=parallelism, arguments={})
    config = RunConfig.model_validate(settings | {"gpus": 0, "processesPerNode": processes})

    refused = transformers_trainer.explain_refusal(config, ValueError("Could not find the layer class"))

    assert (refused and refused.reason) == reason
    assert refused is None or (refused.message, refused.hint) == (
        "training.parallelism: fsdp cannot be set up for this model: Could not find the layer class",
        "set training.parallelism to ddp",
    )
