"""Loads the model of what was found: whole, or with an adapter."""

from typing import TYPE_CHECKING

import transformers
from transformers import PreTrainedModel

from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.data.task_data import TaskData
from finetune_trainer.engines.engine import Prepared
from finetune_trainer.models.lora import load_adapted
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.run.find import Found
from finetune_trainer.settings.run_plan import RunPlan
from finetune_trainer.tasks.registry import PEFT_TYPES

if TYPE_CHECKING:
    from peft import PeftModel


def load(found: Found, plan: RunPlan) -> Prepared:
    """Load the model of what was found.

    Raises:
        TrainerError: MODEL, or BAD_CONFIGURATION where the model cannot be trained as it is asked for.
    """
    model = load_model(plan, found.data, found.pretrained)
    return Prepared(plan, found.pretrained, model, found.tokenizer, found.data)


def load_model(plan: RunPlan, data: TaskData, pretrained: Pretrained) -> "PreTrainedModel | PeftModel":
    """Return the model with all its weights to train, or with an adapter; the same each time.

    Raises:
        TrainerError: MODEL, or BAD_CONFIGURATION where the model cannot be trained as it is asked for.
    """
    transformers.set_seed(plan.config.training.seed)
    lora = plan.config.training.lora
    model: PreTrainedModel | PeftModel
    if lora is None:
        model = data.load_model(pretrained).model
    else:
        model = load_adapted(data.load_model, pretrained, PEFT_TYPES[plan.config.task], lora, plan.bf16)
    if plan.batch.activation_checkpointing and not model.supports_gradient_checkpointing:
        raise bad_configuration(
            f"training.arguments.activation_checkpointing: models of type {model.config.model_type} cannot compute "
            "activations again",
            "leave it out; a smaller training.batchSize with more gradient_accumulation_steps takes less memory too",
        )
    return model
