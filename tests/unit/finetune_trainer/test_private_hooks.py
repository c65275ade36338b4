"""What we lean on in other libraries though it is no public interface of theirs.

An upgrade that changes one of these fails here first, and says which. Each has the file that uses it.
"""

import ast
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from datasets.data_files import FILES_TO_IGNORE, get_data_patterns, sanitize_patterns
from datasets.load import infer_module_for_data_files_list
from datasets.utils.metadata import MetadataConfigs
from torch._inductor import list_mode_options
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from transformers import trainer as trainer_module
from transformers.loss.loss_utils import LOSS_MAPPING, ForCausalLMLoss
from transformers.modeling_utils import str_to_torch_dtype
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES
from transformers.trainer_pt_utils import safe_globals
from transformers.trainer_utils import align_special_tokens
from transformers.utils.import_utils import create_import_structure_from_path
from trl.chat_template_utils import get_training_chat_template, has_generation_markers
from trl.data_utils import common_prefix_length, pack_dataset
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from finetune_trainer.engines import transformers_trainer as our_trainer
from finetune_trainer.storage import layout

TRAINER_METHODS = {
    # Overridden by engines/transformers_trainer.py
    "_get_dataloader": "dataset, description, batch_size, sampler_fn, is_training, dataloader_key",
    "_get_eval_sampler": "eval_dataset",
    "_get_grad_norm": "model, grad_norm",
    "_get_train_sampler": "train_dataset",
    "_load_from_checkpoint": "resume_from_checkpoint, model",
    "_load_optimizer_and_scheduler": "checkpoint",
    "_save_checkpoint": "model, trial",
    "compute_loss": "model, inputs, return_outputs, num_items_in_batch",
    "create_accelerator_and_postprocess": "",
    "evaluate": "eval_dataset, ignore_keys, metric_key_prefix",
    "prediction_step": "model, inputs, prediction_loss_only, ignore_keys",
    # Called by it
    "_prepare_inputs": "inputs",
    "compute_loss_context_manager": "",
    "set_initial_training_values": "args, dataloader",
    "store_flos": "",
}
TRAINER_ATTRIBUTES = {"_globalstep_last_logged", "_loss_shifts_labels", "_tr_loss"}
"""Read or set by engines/transformers_trainer.py."""

FUNCTIONS: list[tuple[Callable[..., Any], str]] = [
    (ForCausalLMLoss, "logits, labels, vocab_size, num_items_in_batch, ignore_index, shift_labels, kwargs"),  # losses
    (safe_globals, ""),  # checkpoints
    (create_import_structure_from_path, "module_path"),  # base/import_structure.py
    (align_special_tokens, "model, processing_class"),  # models/special_tokens.py
    (list_mode_options, "mode, dynamic"),  # settings/requirements.py
    (get_training_chat_template, "processing_class, tokenizer"),  # data/chats/template.py
    (has_generation_markers, "chat_template"),  # data/chats/template.py
    (common_prefix_length, "ids, other_ids"),  # data/chats/template.py, data/chats/encoding.py
    (pack_dataset, "dataset, seq_length, strategy, map_kwargs"),  # data/chats/packing.py
    (
        DataCollatorForLanguageModeling,  # data/chats/packing.py
        "pad_token_id, padding_free, return_position_ids, pad_to_multiple_of, return_tensors",
    ),
    (get_data_patterns, "base_path, download_config"),  # data/readers/files.py
    (sanitize_patterns, "patterns"),  # data/readers/files.py
    (infer_module_for_data_files_list, "data_files_list, download_config"),  # data/readers/files.py
    (MetadataConfigs.from_dataset_card_data, "dataset_card_data"),  # data/readers/files.py
    (LocalElasticAgent._stop_workers, "self, worker_group"),  # processes/launch.py overrides it
    (LocalElasticAgent._shutdown, "self, death_sig, timeout"),  # processes/launch.py
]


@pytest.mark.parametrize(("name", "parameters"), TRAINER_METHODS.items())
def test_a_method_of_the_trainer_takes_what_we_pass_and_override(name: str, parameters: str) -> None:
    method = getattr(Trainer, name, None)

    assert method, (
        f"transformers {transformers.__version__}: Trainer.{name} is gone; see _Trainer in engines/transformers_trainer.py"
    )
    assert parameters_of(method) == f"self, {parameters}".rstrip(", ")


@pytest.mark.parametrize(("function", "parameters"), FUNCTIONS)
def test_a_function_takes_what_we_pass(function: Callable[..., Any], parameters: str) -> None:
    assert parameters_of(function) == parameters


def test_each_private_name_of_the_trainer_that_we_use_is_named_here() -> None:
    """`self._x` and `super()._x` in our subclass, where `_x` is not our own; overridden methods, public or not."""
    (ours,) = (
        node
        for node in ast.walk(ast.parse(inspect.getsource(our_trainer)))
        if isinstance(node, ast.ClassDef) and node.name == "_Trainer"
    )
    known = set(dir(Trainer)) | TRAINER_ATTRIBUTES
    attributes = {node.attr for node in ast.walk(ours) if isinstance(node, ast.Attribute) and node.attr.startswith("_")}
    methods = {node.name for node in ours.body if isinstance(node, ast.FunctionDef)}

    used = {name for name in (attributes | methods) & known if not name.startswith("__")}

    assert used - set(TRAINER_METHODS) == TRAINER_ATTRIBUTES


def test_a_trainer_counts_losses_where_we_read_and_set_them(trained: Trainer) -> None:
    assert torch.is_tensor(trained._tr_loss)
    assert trained._globalstep_last_logged == trained.state.global_step == 1
    assert trained._loss_shifts_labels is False


def test_the_initial_values_begin_with_the_epochs_and_the_steps_of_one_and_end_with_all_steps(trained: Trainer) -> None:
    values = trained.set_initial_training_values(trained.args, trained.get_train_dataloader())

    assert len(values) == 7
    assert (values[1], values[-1]) == (2, 1)


def test_a_trainer_has_the_switches_that_we_set(trained: Trainer) -> None:
    assert trained.model_accepts_loss_kwargs is not None
    assert trained.is_fsdp_enabled is False
    assert trained.args.fsdp_plugin_args is None
    assert trained.args._n_gpu == 0
    assert trained.state.stateful_callbacks.keys() >= {"TrainerControl"}


def test_the_files_of_a_checkpoint_are_named_as_the_trainer_reads_them() -> None:
    names = (
        trainer_module.OPTIMIZER_NAME,
        trainer_module.SCHEDULER_NAME,
        trainer_module.SCALER_NAME,
        trainer_module.TRAINER_STATE_NAME,
        trainer_module.TRAINING_ARGS_NAME,
    )

    assert names == (
        layout.OPTIMIZER,
        layout.SCHEDULER,
        layout.SCALER,
        layout.TRAINER_STATE,
        layout.TRAINING_ARGUMENTS,
    )


def test_tables_of_transformers_and_datasets_hold_what_we_look_up() -> None:
    assert LOSS_MAPPING["ForCausalLM"] is ForCausalLMLoss
    assert (str_to_torch_dtype["BF16"], str_to_torch_dtype["F32"]) == (torch.bfloat16, torch.float32)
    assert MODEL_FOR_MASKED_LM_MAPPING_NAMES["bert"] == "BertForMaskedLM"
    assert "README.md" in FILES_TO_IGNORE
    assert BertConfig(attn_implementation="eager")._attn_implementation == "eager"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A Trainer that has done one step of two in an epoch."""
    config = BertConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=4,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("trainer")
    arguments = TrainingArguments(
        str(folder), use_cpu=True, max_steps=1, per_device_train_batch_size=1, logging_steps=1, save_strategy="no",
        disable_tqdm=True, report_to="none",
    )  # fmt: skip
    rows = [{"input_ids": [1, 2], "attention_mask": [1, 1], "labels": 0}] * 2
    trainer = Trainer(BertForSequenceClassification(config), arguments, train_dataset=rows)
    trainer.train()
    return trainer


def parameters_of(function: Callable[..., Any]) -> str:
    return ", ".join(inspect.signature(function).parameters)
