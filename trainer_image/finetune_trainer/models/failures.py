"""What goes wrong while a model is found or loaded, explained in one place."""

import re
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from finetune_api.reasons import Reason
from finetune_api.sources import ModelSource
from finetune_trainer.base.errors import TrainerError, model_error
from finetune_trainer.base.text import did_you_mean
from finetune_trainer.models.model_files import fields_of, read_json
from finetune_trainer.storage.source_errors import source_failures

_ABILITIES = {
    "SequenceClassification": "classify text",
    "TokenClassification": "classify tokens",
    "CausalLM": "continue a text",
    "Seq2SeqLM": "write one text from another",
}
"""What an AutoModelFor… class is for."""


def model_failures(settings: ModelSource, config: Path | None = None) -> AbstractContextManager[None]:
    """Raise whatever goes wrong while the model is found or loaded as a failure of the model.

    Args:
        config: Its config.json, where a model is made of that alone, and no weights are read: it is to blame then.
    """
    return source_failures("model", settings.source, settings.revision, partial(_explain, settings.source, config))


def _explain(source: str, config: Path | None, error: Exception) -> TrainerError:
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
    if config and not isinstance(error, OSError):
        return model_error(
            Reason.MODEL_CONFIG_WRONG,
            f"{source}: no model can be made of what its config.json says: {_told(error, config):.400}",
            f"correct that in config.json; a model that is newer than transformers {transformers.__version__} needs a trainer "
            "with a newer one",
        )
    return model_error(
        Reason.MODEL_UNREADABLE,
        f"{source} cannot be loaded: {text:.400}",
        "check that its files are complete, and that the user that the trainer runs as may read them",
    )


def _told(error: Exception, config: Path) -> str:
    """What is wrong with a configuration. Of a word that no table has transformers tells that word alone."""
    lines = str(error.args[0] if isinstance(error, KeyError) and error.args else error).splitlines()
    text = " ".join(line.strip() for line in lines if line.strip())
    if "Should have a `model_type` key" in text:
        return "it has no model_type"
    named = re.search(r"has model type `(.*?)` but", text)
    word = named[1] if named else error.args[0] if isinstance(error, KeyError) else None
    field = next((field for field, value in fields_of(read_json(config)) if word is not None and value == word), None)
    if named or field:
        close = did_you_mean(str(word), CONFIG_MAPPING) if named else ""
        return (
            f"{field or 'model_type'} is {word!r}, which transformers {transformers.__version__} does not know{close}"
        )
    by_python = isinstance(error, ArithmeticError | AttributeError | TypeError) or " " not in text
    return f"{type(error).__name__}: {text}" if by_python else text
