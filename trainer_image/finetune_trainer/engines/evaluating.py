"""Evaluates a model outside of a training, in one process."""

from collections.abc import Callable

import torch
from torch.utils.data import DataLoader

from finetune_trainer.data.task_data import TaskData
from finetune_trainer.engines.losses import count_labels, shifts_labels


def evaluate(
    model: torch.nn.Module, data: TaskData, batch_size: int, device: torch.device, stopped: Callable[[], bool]
) -> dict[str, float] | None:
    """Return loss and metrics over the evaluation rows, by the names that an evaluation in the training has.

    Args:
        batch_size: Rows of a batch.
        stopped: Asked before each batch whether to give up; the result is None then, as where there are no rows.
    """
    if data.evaluation is None:
        return None
    model.to(device).eval()
    shifted, scores = shifts_labels(model), data.scoring.scores()
    loss = count = 0.0
    with torch.inference_mode():
        rows = data.evaluation.dataset
        for batch in DataLoader(rows, batch_size=batch_size, collate_fn=data.collate):
            if stopped():
                return None
            there = {name: values.to(device) for name, values in batch.items()}
            outputs, labels = model(**there), there["labels"]
            own = int(count_labels(there, shifted))
            loss, count = loss + (float(outputs.loss) * own if own else 0.0), count + own
            if data.scoring.generation is None:
                predictions = data.scoring.keep(outputs.logits, labels)
            else:
                texts = {name: there[name] for name in ("input_ids", "attention_mask")}
                predictions = model.generate(**texts, **data.scoring.generation)  # type: ignore[operator]
            scores.add_batch(predictions.cpu().numpy(), labels.cpu().numpy())
    mean = loss / max(count, 1)
    return {f"eval_{name}": value for name, value in {"loss": mean, **scores.compute(mean)}.items()}
