"""An adapter as `model.source`: its base is found by its configuration, and training goes on from it.

With `training.lora` the adapter itself is trained on; without, it is added to the weights of its base, and all are trained.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel

from finetune_api.reasons import Reason
from finetune_api.sources import ModelSource
from finetune_api.training import Lora, Task
from finetune_trainer.base.errors import bad_configuration, model_error
from finetune_trainer.base.text import listed
from finetune_trainer.models.files_here import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from finetune_trainer.models.model_files import read_settings
from finetune_trainer.models.weight_files import WEIGHTS, Tensors, local_tensors
from finetune_trainer.storage.layout import BASE
from finetune_trainer.storage.uris import is_hub_id

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True)
class Adapter:
    """One that is there."""

    source: str
    folder: Path
    settings: Mapping[str, Any]
    """What its adapter_config.json holds."""
    base: ModelSource
    """The model that it was trained for."""
    tensors: Tensors | None
    """Of its weights, by the names that they have in the model; None where only loading shows it."""

    @property
    def has_tokenizer(self) -> bool:
        return (self.folder / "tokenizer_config.json").is_file()

    @property
    def head(self) -> dict[str, Any]:
        """Fields of the model's configuration that name the classes it was trained for, where it brings them along."""
        path = self.folder / BASE / "config.json"
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        ids = {int(number): name for number, name in config.get("id2label", {}).items()}
        return {"id2label": ids, "label2id": {name: number for number, name in ids.items()}} if ids else {}


def find_adapter(folder: Path, source: str) -> Adapter | None:
    """The adapter in a folder; None where it holds something else.

    Raises:
        TrainerError: MODEL when it is of another kind than LoRA, does not name its base, or its weights are torn.
    """
    path = folder / ADAPTER_CONFIG
    if not path.is_file():
        return None
    if any((folder / name).exists() for name in WEIGHTS):
        raise model_error(
            Reason.MODEL_OR_ADAPTER,
            f"{source} holds both a model and an adapter ({ADAPTER_CONFIG})",
            "keep them in two folders, and set model.source to the one to begin with",
        )
    settings = read_settings(path, source)
    base = _base(settings, source)
    described = f"{source}, an adapter of {base.source},"
    if settings.get("peft_type") != "LORA":
        raise model_error(
            Reason.ADAPTER_NOT_SUPPORTED,
            f"{described} is of peft's type {settings.get('peft_type')}: training goes on from LoRA alone",
            "merge it into its base by merge_and_unload, and set model.source to the result",
        )
    tensors = local_tensors(folder, described, ADAPTER_WEIGHTS)
    prefix = "base_model.model."
    named = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()} if tensors is not None else None
    return Adapter(source, folder, settings, base, named)


def _base(settings: Mapping[str, Any], source: str) -> ModelSource:
    """The model that an adapter's configuration names: a source as in model.source, a path on this machine, or an id on the Hub."""
    name = settings.get("base_model_name_or_path")
    if not name:
        raise model_error(
            Reason.BASE_NOT_NAMED,
            f"{source} is an adapter, and does not name the model that it belongs to",
            f"write it into its {ADAPTER_CONFIG}, as base_model_name_or_path",
        )
    if (is_hub_id(name) and Path(name).is_dir()) or Path(name).is_absolute():
        name = f"file://{Path(name).absolute()}"
    return ModelSource(source=name, revision=settings.get("revision") or ModelSource.model_fields["revision"].default)


def check_adapter(adapter: Adapter, lora: Lora | None, task: Task, peft_types: Mapping[Task, str]) -> None:
    """The adapter is one for the task, and what `training.lora` sets is what it has.

    Args:
        peft_types: peft's name of each task.

    Raises:
        TrainerError: MODEL or BAD_CONFIGURATION, naming the fields.
    """
    settings = adapter.settings
    kind = settings.get("task_type")
    if kind in peft_types.values() and kind != peft_types[task]:
        other = next(name for name, its_kind in peft_types.items() if its_kind == kind)
        raise model_error(
            Reason.TASK_NOT_SUPPORTED,
            f"{adapter.source} is an adapter for {other}, and the task is {task}",
            f"set task to {other}, or model.source to its base, {adapter.base.source}",
        )
    if lora is None:
        return
    usual, own = (
        Lora(),
        {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "target_modules": "target_modules"},
    )
    differ = [
        f"{field} is {getattr(lora, field)}, and {settings.get(name)} there"
        for field, name in own.items()
        if getattr(lora, field) not in (getattr(usual, field), settings.get(name))
        and not (field == "target_modules" and set(lora.target_modules or ()) == set(settings.get(name) or ()))
    ]
    if differ:
        raise bad_configuration(
            f"training.lora: {adapter.source} is an adapter with settings of its own: {'; '.join(differ)}",
            "leave these out: training goes on with the adapter's; or set model.source to its base to begin another",
        )


def check_shapes(model: PreTrainedModel, adapter: Adapter) -> None:
    """What an adapter has in place of a part of its base, such as a classifier's head, is as large as that.

    Raises:
        TrainerError: MODEL, naming it.
    """
    own = model.state_dict()
    for name, tensor in (adapter.tensors or {}).items():
        if name in own and own[name].shape != tensor.shape:
            shapes = f"{tuple(tensor.shape)} there, and {tuple(own[name].shape)} is needed"
            raise _unfit(adapter.source, f"{name} has the shape {shapes}")


def go_on(model: PreTrainedModel, adapter: Adapter, fresh: list[str], commit: str | None, empty: bool) -> "PeftModel":
    """The model with an adapter that was trained before, to train it on.

    Args:
        fresh: Modules that hold what starts at random in the model.
        commit: Of the base, on the Hub.
        empty: As for `adapted`.

    Raises:
        TrainerError: MODEL when it is not one of this model, or lacks what starts at random here.
    """
    check_shapes(model, adapter)
    found = adapted(model, adapter.folder, adapter.source, empty)
    settings: Any = found.peft_config["default"]
    saved = settings.modules_to_save or ()
    if left := [name for name in fresh if not any(f".{name}".endswith(f".{kept}") for kept in saved)]:
        raise model_error(
            Reason.ADAPTER_DOES_NOT_FIT,
            f"the adapter {adapter.source} has no {listed(left)}, which its base {adapter.base.source} lacks as well",
            "set model.source to the base, to begin an adapter for this task",
        )
    settings.revision = commit
    logger.info("going on from the adapter %s: rank %s, alpha %s", adapter.source, settings.r, settings.lora_alpha)
    return found


def adapted(model: PreTrainedModel, folder: Path, source: str, empty: bool = False) -> "PeftModel":
    """`model` with the adapter in a folder, to be trained on.

    Args:
        empty: Whether weights have shapes only; then those of the adapter are not read.

    Raises:
        TrainerError: MODEL when the adapter is not one of this model, or for other classes.
    """
    from peft import PeftConfig, get_peft_model, load_peft_weights, set_peft_model_state_dict

    settings = PeftConfig.from_pretrained(str(folder))
    settings.inference_mode = False
    settings.base_model_name_or_path = model.name_or_path
    try:
        with outdated_names():
            found: PeftModel = get_peft_model(model, settings, low_cpu_mem_usage=empty)
            if empty:
                return found
            result: Any = set_peft_model_state_dict(found, load_peft_weights(str(folder), device="cpu"))
    except (RuntimeError, ValueError, KeyError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise _unfit(
            source, (lines[1] if "size mismatch" in str(error) and len(lines) > 1 else lines[0])[:300]
        ) from error
    trained = {name for name, weight in found.named_parameters() if weight.requires_grad}
    if left := sorted(result.unexpected_keys) or sorted(trained.intersection(result.missing_keys)):
        raise _unfit(source, f"weights such as {listed(left, 2)} are in one of the two only")
    return found


def merged(base: PreTrainedModel, folder: Path, source: str) -> PreTrainedModel:
    """`base` with the adapter in a folder added to its weights, all of which can be trained."""
    with outdated_names():
        whole: PreTrainedModel = adapted(base, folder, source).merge_and_unload()
    return whole.requires_grad_()  # peft has switched it off


@contextmanager
def outdated_names() -> Iterator[None]:
    """peft uses names that transformers has given up, which no user can help."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _unfit(source: str, why: str) -> Exception:
    return model_error(
        Reason.ADAPTER_DOES_NOT_FIT,
        f"the adapter {source} does not fit its base, or was trained for other classes: {why}",
        "use the very base that it was trained for, and data with the same labels; or set model.source to the base",
    )
