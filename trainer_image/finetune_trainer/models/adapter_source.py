"""An adapter as `model.source`: its base is found by its configuration, and training goes on from it.

With `training.lora` the adapter itself is trained on; without, it is added to the weights of its base, and all are trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from finetune_api.reasons import Reason
from finetune_api.sources import ModelSource
from finetune_trainer.base.errors import TrainerError, model_error
from finetune_trainer.base.text import listed
from finetune_trainer.models.model_files import read_settings
from finetune_trainer.models.model_source import ADAPTER_CONFIG
from finetune_trainer.models.weight_files import ADAPTER_WEIGHTS, COMPUTED, WEIGHTS, Tensors, local_tensors
from finetune_trainer.storage.layout import BASE
from finetune_trainer.storage.uris import is_hub_id


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
        config = read_settings(path, self.source) if path.is_file() else {}
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
        raise _of_another_kind(described, settings.get("peft_type"))
    tensors = local_tensors(folder, described, ADAPTER_WEIGHTS)
    held = (tensors or {}).items()
    if whole := [name for name, tensor in held if not (tensor.is_floating_point() or COMPUTED.search(name))]:
        raise model_error(
            Reason.WEIGHTS_DO_NOT_FIT,
            f"{described} has {len(whole)} weights that are no fractions, such as {listed(whole, 2)}",
            "use the adapter as it was trained, and not quantized",
        )
    prefix = "base_model.model."
    named = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()} if tensors is not None else None
    return Adapter(source, folder, settings, base, named)


def check_is_model(folder: Path, source: str) -> None:
    """What is in the folder of an adapter's base is no adapter.

    Raises:
        TrainerError: MODEL.
    """
    if (folder / ADAPTER_CONFIG).is_file():
        raise model_error(
            Reason.ADAPTER_NOT_SUPPORTED,
            f"{source} is itself an adapter",
            "merge that one into its own base by merge_and_unload, and name the result as the base of this one "
            f"(base_model_name_or_path in its {ADAPTER_CONFIG})",
        )


def _of_another_kind(described: str, kind: Any) -> TrainerError:
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    method = next((method for name, method in PEFT_TYPE_TO_TUNER_MAPPING.items() if name == kind), None)
    what = f"is of peft's type {kind}" if kind else f"has no peft_type in its {ADAPTER_CONFIG}"
    return model_error(
        Reason.ADAPTER_NOT_SUPPORTED,
        f"{described} {what}: training goes on from LoRA alone",
        "merge it into its base by merge_and_unload, and set model.source to the result"
        if hasattr(method, "merge_and_unload")
        else "set model.source to the base, and train an adapter by LoRA (training.lora)",
    )


def _base(settings: Mapping[str, Any], source: str) -> ModelSource:
    """The model that an adapter's configuration names: a source as in model.source, a path on this machine, or an id on the Hub.

    Raises:
        TrainerError: MODEL when it names none.
    """
    name = settings.get("base_model_name_or_path")
    if name is None or name == "":
        raise model_error(
            Reason.BASE_NOT_NAMED,
            f"{source} is an adapter, and does not name the model that it belongs to",
            f"write it into its {ADAPTER_CONFIG}, as base_model_name_or_path",
        )
    try:
        base = ModelSource(source=_as_source(name) if isinstance(name, str) else name)
    except ValueError as error:
        raise model_error(
            Reason.BASE_NOT_NAMED,
            f"{source} is an adapter, and what its {ADAPTER_CONFIG} names as its base is no model's place: {name!r:.200}",
            "write into it, as base_model_name_or_path, where the base is: its id on the Hub (org/name), /the/path of its "
            "folder where the trainer runs, pvc://claim/path, s3://, gs:// or az://bucket/path",
        ) from error
    revision = settings.get("revision") or base.revision
    try:
        return ModelSource(source=base.source, revision=revision)
    except ValueError as error:
        raise model_error(
            Reason.BASE_NOT_NAMED,
            f"{source} is an adapter, and its {ADAPTER_CONFIG} has no revision of its base, but {revision!r:.200}",
            f"write a branch, a tag or a commit of {base.source} into it, or null",
        ) from error


def _as_source(name: str) -> str:
    """What an adapter names as its base, with a path on this machine as a URI."""
    try:
        is_here = Path(name).is_absolute() or (is_hub_id(name) and Path(name).is_dir())
    except (OSError, ValueError):  # of a text that is too long for a name, or has a zero in it
        return name
    return (
        f"file://{quote(str(Path(name).resolve() if '..' in Path(name).parts else Path(name).absolute()))}"
        if is_here
        else name
    )
