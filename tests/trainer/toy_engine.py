"""An engine in one file: plain gradient descent, in the order of the rows, with a checkpoint and an evaluation at the end."""

from typing import Any

import torch

from finetune_trainer.checkpoints.manifest import SavedCheckpoint
from finetune_trainer.checkpoints.snapshot import TrainingState, take_snapshot, weights_of
from finetune_trainer.checkpoints.state_dicts import load_weights
from finetune_trainer.engines.batching import CurrentRows
from finetune_trainer.engines.engine import Prepared
from finetune_trainer.progress.events import TrainingEvents


class Engine:
    """One run of a step for each row."""

    def __init__(self, prepared: Prepared, events: TrainingEvents) -> None:
        self._prepared, self._events = prepared, events
        self._model: Any = prepared.model
        self._rows = prepared.data.train
        self.total_steps = len(self._rows.lengths)

    def train(self, checkpoint: SavedCheckpoint | None) -> None:
        if checkpoint:
            load_weights(self._model, checkpoint.path)
        step = checkpoint.step if checkpoint else 0
        self._events.begin(step, self.total_steps, step / self.total_steps, self.total_steps)
        optimizer = torch.optim.SGD(self._model.parameters(), lr=self._prepared.plan.config.training.learning_rate)
        try:
            while step < self.total_steps and not self._events.stop_requested:
                loss = self._loss(step)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                step += 1
                self._events.step(step, step / self.total_steps)
            self._events.log(step, step / self.total_steps, {"loss": float(loss)})
            self._save(step)
            if not self._events.stop_requested:
                self._evaluate(step)
        finally:
            self._events.end()

    def current_rows(self) -> CurrentRows | None:
        return None

    def _loss(self, row: int) -> torch.Tensor:
        loss: torch.Tensor = self._model(**self._prepared.data.collate([self._rows.dataset[row]])).loss
        return loss

    def _evaluate(self, step: int) -> None:
        data = self._prepared.data
        assert data.evaluation is not None
        scores = data.scoring.scores()
        with self._events.evaluating(len(data.evaluation.lengths)), torch.no_grad():
            batch = data.collate(list(data.evaluation.dataset))
            outputs = self._model(**batch)
            scores.add_batch(data.scoring.keep(outputs.logits, batch["labels"]).numpy(), batch["labels"].numpy())
            loss = float(outputs.loss)
            metrics = {f"eval_{name}": value for name, value in {"loss": loss, **scores.compute(loss)}.items()}
            self._events.evaluated(step, step / self.total_steps, metrics, scores.by_class())

    def _save(self, step: int) -> None:
        state = TrainingState(self._model, self._prepared.tokenizer, weights_of(self._model), {}, {})
        self._events.save(take_snapshot(step, step / self.total_steps, state))
