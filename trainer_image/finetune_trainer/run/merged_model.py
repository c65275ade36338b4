"""The exported model, where it is another than the one that was evaluated."""

from dataclasses import replace

import torch

from finetune_api.reasons import Reason
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.engines.engine import Prepared
from finetune_trainer.engines.evaluating import evaluate
from finetune_trainer.progress.run_progress import RunProgress
from finetune_trainer.storage.output import Output


def report_merged(prepared: Prepared, output: Output, progress: RunProgress, step: int) -> None:
    """Evaluate the exported model, and warn, where it is another than the one that was evaluated: an adapter that was
    trained beside a quantized base was added to the full one."""
    plan = prepared.plan
    lora, trained = plan.config.training.lora, progress.history.evaluation_at(step)
    if not (lora and lora.merge and lora.quantization and trained):
        return
    progress.state.stage("Evaluating", "evaluating the merged model")
    device = torch.device("cuda" if plan.device.gpu else "cpu")
    exported = replace(
        prepared.pretrained, source=output.shown(output.model), place=str(output.model), folder=output.model, commit=None, adapter=None, tensors=None,
        dtype=torch.bfloat16 if plan.bf16 else torch.float32,
    )  # fmt: skip
    size = plan.batch.batch_size
    try:
        found = evaluate(
            prepared.data.load_model(exported).model, prepared.data, size, device, lambda: progress.stop.requested
        )
    except torch.OutOfMemoryError:
        found = None
    shown = ", ".join(
        f"{name} {value:.4g} ({trained[name]:.4g})" for name, value in (found or {}).items() if name in trained
    )
    warn(
        Reason.MERGED_MODEL_DIFFERS,
        f"the adapter was trained and evaluated beside a base in {lora.quantization}, and is merged into the full one: "
        + (
            f"the exported model has {shown}, in brackets before the merge"
            if shown
            else "the exported model is not evaluated"
        ),
    )
