"""Writes the model as `from_pretrained` loads it: whole, or not at all."""

import shutil
from dataclasses import replace
from pathlib import Path

from finetune_api.status import ExportedModel
from finetune_trainer.base.files import digest_of, files_below, replace_folder
from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.checkpoints.snapshot import restore_use_cache
from finetune_trainer.engines.engine import Prepared
from finetune_trainer.models.adapted import merged
from finetune_trainer.progress.run_progress import RunProgress
from finetune_trainer.run.merged_model import report_merged
from finetune_trainer.storage.disk_errors import output_failures
from finetune_trainer.storage.layout import BASE, EXPORT, MANIFEST, MODEL_CARD, RESULTS, RESUME_FILES
from finetune_trainer.storage.output import Output
from finetune_trainer.storage.uris import is_hub_id


def export(last: SavedCheckpoint, prepared: Prepared, output: Output, progress: RunProgress) -> None:
    """Write the model of the best checkpoint, or of the last one, to the output."""
    chosen = progress.checkpointing.fetch_best() or last
    model = export_model(chosen, prepared, output, progress.history.results_at(chosen.step))
    output.publish_models()
    progress.state.set_model(model)
    report_merged(prepared, output, progress, chosen.step)
    progress.checkpointing.rotate()  # once more: the last evaluation came after the last save


def export_model(
    checkpoint: SavedCheckpoint, prepared: Prepared, output: Output, results: str | None = None
) -> ExportedModel:
    """Write what was trained to `model/`: the model; or the adapter; or, with `training.lora.merge`, the model that
    it was merged into, and the adapter to `adapter/`. `results` of its evaluation are written beside it as JSON.
    """
    lora = prepared.plan.config.training.lora

    def write(folder: Path) -> None:
        if lora is None:
            _write_whole(checkpoint, prepared, folder)
        elif lora.merge:
            _write_merged(checkpoint, prepared, folder)
        else:
            _write_adapter(checkpoint, prepared, folder)
        if results:
            (folder / RESULTS).write_text(results, encoding="utf-8")

    with output_failures(output.path):
        for leftover in output.path.glob(f"{EXPORT}*"):
            shutil.rmtree(leftover)
        if lora and lora.merge:
            replace_folder(output.adapter, EXPORT, lambda folder: _write_adapter(checkpoint, prepared, folder))
        replace_folder(output.model, EXPORT, write)
        files = files_below(output.model)
        return ExportedModel(
            digest=digest_of(files, output.model),
            size_bytes=sum(path.stat().st_size for path in files),
            uri=output.uri_of(output.model),
        )


def _copy(checkpoint: Path, folder: Path) -> None:
    """A checkpoint without the files that only a resumed training needs."""
    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns(MANIFEST, *RESUME_FILES))


def _write_whole(checkpoint: SavedCheckpoint, prepared: Prepared, folder: Path) -> None:
    _copy(checkpoint.path, folder)
    restore_use_cache(folder, prepared.pretrained.use_cache)  # checkpoints of earlier versions have it off


def _write_adapter(checkpoint: SavedCheckpoint, prepared: Prepared, folder: Path) -> None:
    _copy(checkpoint.path, folder)
    # Not beside the adapter: a config.json there would mean a whole model.
    config = prepared.model.config.__class__.from_dict(prepared.model.config.to_dict())
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.save_pretrained(folder / BASE)
    restore_use_cache(folder / BASE, prepared.pretrained.use_cache)
    if prepared.model.can_generate():
        prepared.model.generation_config.save_pretrained(folder / BASE)
    if not is_hub_id(prepared.pretrained.source):
        (folder / MODEL_CARD).unlink()  # peft's card names the base model: here by a path that nobody else has


def _write_merged(checkpoint: SavedCheckpoint, prepared: Prepared, folder: Path) -> None:
    """The base in full precision, whatever it was trained with, and the adapter added to it."""
    base = prepared.data.load_model(replace(prepared.pretrained, adapter=None)).model
    merged(base, checkpoint.path, checkpoint.path.name).save_pretrained(folder)
    restore_use_cache(folder, prepared.pretrained.use_cache)
    prepared.tokenizer.save_pretrained(folder)
