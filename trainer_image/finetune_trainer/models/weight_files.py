"""What the files with weights hold, by their heads alone: names, shapes and types, and whether they are weights at all."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, NotASafetensorsRepoError, SafetensorsParsingError
from safetensors import SafetensorError, safe_open
from transformers.modeling_utils import str_to_torch_dtype

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, model_error
from finetune_trainer.models.model_files import OtherEncodingError, other_encoding, read_json
from finetune_trainer.models.other_formats import check_pickled, no_weights, other_objects
from finetune_trainer.storage.credentials import hub_token

logger = logging.getLogger(__name__)

Tensors = Mapping[str, torch.Tensor]
"""By their names, on the device `meta`: shapes and types without values."""

_INDEX = ".index.json"
WEIGHTS = tuple(f"{name}{end}" for name in ("model.safetensors", "pytorch_model.bin") for end in ("", _INDEX))
"""Files that `from_pretrained` looks for; it takes the first that is there."""
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
"""Those that peft looks for."""
COMPUTED = re.compile(
    r"inv_freq|position_ids$|(attn|attention)\.(masked_)?bias$|causal_mask$|embed_positions\.weights$|coder\.version$"
    r"|num_batches_tracked$"
)
"""What older checkpoints and adapters hold of numbers that are computed, and not learnt."""
_PICKLE, _ZIP = b"\x80", b"PK\x03\x04"


def local_tensors(folder: Path, source: str, known: tuple[str, ...] = WEIGHTS) -> Tensors | None:
    """What the weights in a folder are, without their values; None where only loading shows it.

    Args:
        known: Names of the files to look for; the first that is there is taken.

    Raises:
        TrainerError: MODEL when there are none, a part of them is missing, or a file is torn or something else.
    """
    first = next((name for name in known if (folder / name).exists()), None)
    if first is None:
        raise no_weights(source, [path.name for path in folder.iterdir()], known)
    found: dict[str, torch.Tensor] = {}
    for name in parts_of(folder, first, source):
        if not (folder / name).exists():
            raise model_error(
                Reason.WEIGHTS_MISSING,
                f"{source} lacks {name}, which its {first} names",
                "copy all files of the model, this one too; a copy that was cut off may be gone on with",
            )
        part = _tensors_of(folder / name, source)
        if part is None:
            return None
        found |= part
    return found


def parts_of(folder: Path, first: str, source: str) -> list[str]:
    """Names of the files with weights that belong to `first`: an index of them, or the only one.

    Raises:
        TrainerError: MODEL when the index does not tell.
    """
    if not first.endswith(_INDEX):
        return [first]
    try:
        return sorted(set(_weight_map(folder / first).values()))
    except OtherEncodingError as error:
        raise other_encoding(source, str(error)) from error
    except ValueError as error:
        raise model_error(
            Reason.MODEL_UNREADABLE,
            f"{source}: {first} does not tell which files hold the weights: {error!s:.200}",
            "copy it again, or write it anew by save_pretrained: its weight_map names for each weight a file beside it",
        ) from error


def _weight_map(index: Path) -> dict[str, str]:
    """The file of each weight.

    Raises:
        ValueError: It does not tell, or leads to other folders.
    """
    content = read_json(index)
    held = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(held, dict) or not held:
        raise ValueError("it has no weight_map")
    for file in held.values():
        if not isinstance(file, str) or file in ("", "..") or set("/\\").intersection(file):
            raise ValueError(f"it names {file!r} as a file")
    return held


def file_of(folder: Path, name: str, known: tuple[str, ...]) -> str | None:
    """The file that holds a weight of a model that was loaded; None where that is not known. Names in files may lack the
    model's first parts, or have more of them.

    Args:
        known: As of `local_tensors`.
    """
    first = next((file for file in known if (folder / file).exists()), None)
    if first is None or not first.endswith(_INDEX):
        return first
    held = _weight_map(folder / first).items()
    return next((file for key, file in held if f".{name}".endswith(f".{key}") or key.endswith(f".{name}")), None)


def hub_tensors(folder: Path, repository: str, revision: str, source: str) -> Tensors | None:
    """As `local_tensors`, of a repository on the Hub with its folder in the cache: of weights that are not there only heads
    are fetched."""
    cached = next((name for name in WEIGHTS if (folder / name).exists()), None)
    if cached and all((folder / name).exists() for name in parts_of(folder, cached, source)):
        return local_tensors(folder, source)
    files = HfApi().model_info(repository, revision=revision, token=hub_token("model"))
    names = {sibling.rfilename for sibling in files.siblings or ()}
    if not names.intersection(WEIGHTS):
        raise no_weights(source, names, WEIGHTS)
    try:
        heads = HfApi().get_safetensors_metadata(repository, revision=revision, token=hub_token("model"))
    except (HfHubHTTPError, NotASafetensorsRepoError, SafetensorsParsingError, ValueError) as error:
        # It is a look ahead: what cannot be seen here is seen when the weights are loaded.
        logger.debug("the heads of the weights of %s cannot be read: %s", source, error)
        return None
    return _on_meta(
        {
            name: (tensor.dtype, tensor.shape)
            for file in heads.files_metadata.values()
            for name, tensor in file.tensors.items()
        }
    )


def _on_meta(heads: Mapping[str, tuple[str, list[int]]]) -> dict[str, torch.Tensor] | None:
    """From type and shape as safetensors writes them. None where one has a type that transformers does not know."""
    if any(kind not in str_to_torch_dtype for kind, _ in heads.values()):
        return None
    return {
        name: torch.empty(shape, dtype=str_to_torch_dtype[kind], device="meta") for name, (kind, shape) in heads.items()
    }


def _tensors_of(path: Path, source: str) -> dict[str, torch.Tensor] | None:
    begin = b""
    try:
        with path.open("rb") as file:
            begin = file.read(64).lstrip()
        return _of_safetensors(path) if path.suffix == ".safetensors" else _of_pickle(path, begin, source)
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, UnpicklingError) as error:
        if "Weights only load failed" in str(error) and begin.startswith(_ZIP):
            raise other_objects(source, path.name, str(error)) from error
        raise _unreadable(path, source, begin, str(error)) from error


def _of_safetensors(path: Path) -> dict[str, torch.Tensor] | None:
    # It compares the length of the file with that in the header.
    with safe_open(path, framework="pt") as file:
        heads = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
        return _on_meta({name: (head.get_dtype(), head.get_shape()) for name, head in heads.items()})


def _of_pickle(path: Path, begin: bytes, source: str) -> dict[str, torch.Tensor] | None:
    """None for the format of torch before 1.6, which cannot be read in parts."""
    if begin.startswith(_PICKLE):
        return None
    held = torch.load(path, map_location="meta", mmap=True, weights_only=True)
    return check_pickled(held, path.name, source)


def _unreadable(path: Path, source: str, begin: bytes, why: str) -> TrainerError:
    """The kind of file, where its first bytes show it."""
    kinds = {_ZIP: "a zip archive, as torch.save writes", _PICKLE: "a pickle", b"<": "a web page", b"{": "JSON"}
    kind = next((kind for mark, kind in kinds.items() if begin.startswith(mark)), None)
    torn = path.suffix == ".bin" and begin.startswith(_ZIP)
    if torn and ("Invalid argument" in why or "central directory" in why):
        why = "its end is missing"
    what = f"it is {kind}" if kind and not torn else f"{(why.splitlines() or [''])[0]:.200}"
    return model_error(
        Reason.MODEL_UNREADABLE,
        f"{source} cannot be loaded: {path.name} holds no weights that can be read: {what}",
        "check that it was copied to its end, and that the user that the trainer runs as may read it; weights in another "
        "format are brought into this one by save_pretrained",
    )
