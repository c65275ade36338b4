"""What goes wrong while a model is found or loaded, explained in one place."""

import re
from contextlib import AbstractContextManager
from functools import partial

from finetune_api.reasons import Reason
from finetune_api.sources import ModelSource
from finetune_trainer.base.errors import TrainerError, model_error
from finetune_trainer.storage.source_errors import source_failures

_ABILITIES = {
    "SequenceClassification": "classify text",
    "TokenClassification": "classify tokens",
    "CausalLM": "continue a text",
    "Seq2SeqLM": "write one text from another",
}
"""What an AutoModelFor… class is for."""


def model_failures(settings: ModelSource) -> AbstractContextManager[None]:
    """Raise whatever goes wrong while the model is found or loaded as a failure of the model."""
    return source_failures("model", settings.source, settings.revision, partial(_explain, settings.source))


def _explain(source: str, error: Exception) -> TrainerError:
    text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if "custom code" in text or "trust_remote_code" in text:
        return model_error(
            Reason.MODEL_NEEDS_CODE,
            f"{source} would have to run code of its own, which is never done",
            "use a model whose architecture transformers knows",
        )
    if unfit := re.search(r"AutoModelFor(\w+)", text):
        return model_error(
            Reason.TASK_NOT_SUPPORTED,
            f"{source}: its architecture cannot {_ABILITIES.get(unfit[1], 'do this task')}",
            "use a model of an architecture that can; its page on the Hub names the task",
        )
    return model_error(
        Reason.MODEL_UNREADABLE,
        f"{source} cannot be loaded: {text:.400}",
        "check that its files are complete, and that the user that the trainer runs as may read them",
    )
