"""What is trained: models of known shapes with random weights, and texts of random words, all made on the spot."""

import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from gpu_figures import Goal, Operations
from safetensors.torch import save_file
from torch import nn

from finetune_trainer.base.hardware import available_memory

Settings = dict[str, Any]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
RANK = 16
_SHARD = 2 * 2**30
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - memory that is a folder


@dataclass(frozen=True)
class Workload:
    """One training, as ours and as a plain script."""

    name: str
    config: Any
    """Of transformers; the model has random weights."""
    length: int
    """Tokens in each sequence."""
    batch_size: int
    warm_up: int
    """Steps before the clock runs."""
    steps: int
    """Steps that are measured."""
    texts_per_sequence: int = 1
    goal: Goal | None = None
    by: str = "tokens/s"
    """The figure that the goal is for: tokens/s or MFU."""
    arguments: Settings = field(default_factory=dict)
    """For our trainer, besides those that all have."""

    @property
    def lora(self) -> bool:
        """A language model with an adapter; else a classifier that is trained whole."""
        return bool(self.config.model_type == "llama")

    @property
    def last_step(self) -> int:
        return self.warm_up + self.steps

    @property
    def rows(self) -> int:
        return self.last_step * self.batch_size * self.texts_per_sequence

    def seconds_to(self, seconds: float) -> dict[str, float]:
        """What the measured steps say of the speed."""
        rows = self.steps * self.batch_size
        return {"rows_per_second": rows / seconds, "tokens_per_second": rows * self.length / seconds}

    def operations(self) -> Operations:
        """Of the linear layers of its blocks and, of a language model, the output."""
        with torch.device("meta"):
            model = _empty(self.config)
        layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
        blocks = [m for n, m in layers.items() if ".layer" in f".{n}"]
        output = [m for n, m in layers.items() if n == "lm_head"]
        return Operations(
            weights=sum(layer.weight.numel() for layer in [*blocks, *output]),
            adapter=sum(RANK * sum(layer.weight.shape) for layer in blocks) if self.lora else 0,
            layers=self.config.num_hidden_layers,
            width=self.config.hidden_size,
            context=self.length // self.texts_per_sequence,
            causal=self.lora,
        )

    def settings(self, model: Path, data: Path, output: Path) -> Settings:
        """The run of ours, as a user writes it: one checkpoint, at its end."""
        task: Settings = {"task": "text-classification"}
        training: Settings = {}
        if self.lora:
            task, training = {"task": "causal-lm"}, {"lora": {"rank": RANK, "alpha": 2 * RANK}, "learningRate": 1e-4}
        return task | {
            "model": {"source": f"file://{model}"},
            "dataset": {"source": f"file://{data}", "train": {"split": "train"}},
            "preprocessing": {"maxLength": self.length},
            "training": {
                "batchSize": self.batch_size,
                "arguments": {"max_steps": self.last_step, **self.arguments},
                **training,
            },
            "checkpoints": {"strategy": "steps", "steps": self.last_step, "keep": 1},
            "output": {"uri": f"file://{output}"},
        }


def bert(gpu: bool, length: int, batch_size: int) -> Any:
    """BERT-base's shape, which is the default of transformers; without a GPU a tiny one."""
    if gpu:
        return transformers.BertConfig()
    return transformers.BertConfig(
        vocab_size=500, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128,
        max_position_embeddings=512,
    )  # fmt: skip


def llama(width: int, layers: int, inner: int, vocabulary: int, tied: bool, heads: int = 32, groups: int = 8) -> Any:
    """A Llama 3 of this shape."""
    return transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, intermediate_size=inner,
        num_attention_heads=heads, num_key_value_heads=groups, max_position_embeddings=8192, tie_word_embeddings=tied,
        bos_token_id=2, eos_token_id=3, pad_token_id=0, dtype="bfloat16",
    )  # fmt: skip


def classifiers(gpu: bool) -> list[Workload]:
    """Classification at two lengths."""
    sizes = ((128, 128, 20, 100, 0.30), (512, 32, 20, 100, 0.40)) if gpu else ((32, 8, 2, 6, 0.30), (64, 4, 2, 6, 0.40))
    return [
        Workload(
            f"bert-{length}", bert(gpu, length, batch), length, batch, warm_up, steps,
            goal=Goal(goal, f"MFU of {goal:.0%}"), by="mfu",
        )
        for length, batch, warm_up, steps, goal in sizes
    ]  # fmt: skip


def language_models(gpu: bool) -> dict[str, Workload]:
    """Adapters of language models, of Llama-3.2-1B's and Llama-3-8B's shape, on packed texts."""
    tokens = Goal(11_000, "11,000 tokens/s on an H100", card="H100")
    if gpu:
        small = Workload("lora-1b", llama(2048, 16, 8192, 128_256, True), 4096, 2, 3, 15, 4)
        large = Workload("lora-8b", llama(4096, 32, 14_336, 128_256, False), 4096, 1, 3, 12, 4)
    else:
        small = Workload("lora-1b", llama(64, 2, 128, 500, True, 4, 2), 128, 2, 1, 4, 4)
        large = Workload("lora-8b", llama(64, 3, 128, 500, False, 4, 2), 128, 1, 1, 4, 4)
    return {
        "lora-1b": replace(small, goal=Goal(0.5, "MFU of 50%"), by="mfu"),
        "lora-8b": replace(large, goal=tokens),
    }


def write_model(folder: Path, workload: Workload) -> Path:
    """The model as save_pretrained writes it, shard by shard, so that never more than one is in memory; and a tokenizer
    that makes one token of each word.
    """
    folder.mkdir(parents=True)
    with torch.device("meta"):
        model = _empty(workload.config)
    dtype = torch.bfloat16 if workload.lora else torch.float32
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    shards = list(_shards(model, workload.config.tie_word_embeddings, dtype))
    names: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file({n: _random(n, w, dtype, device) for n, w in shard.items()}, folder / file, metadata={"format": "pt"})
        names |= dict.fromkeys(shard, file)
    total = sum(weight.numel() for shard in shards for weight in shard.values()) * dtype.itemsize
    index = {"metadata": {"total_size": total}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    config = workload.config
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    write_tokenizer(folder, config.vocab_size, workload.lora)
    return folder


def write_tokenizer(folder: Path, size: int, generates: bool) -> None:
    """One token a word: `w4` is 4. Classifiers have [CLS] and [SEP] around a text, language models an end."""
    words = [*SPECIAL, *(f"w{number}" for number in range(len(SPECIAL), size))]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]")  # noqa: S106 - a word
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "bos_token": "[CLS]", "eos_token": "[SEP]"}
    if not generates:
        names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    fast: Any = transformers.PreTrainedTokenizerFast
    fast(tokenizer_object=tokenizer, **names).save_pretrained(folder)


def write_texts(folder: Path, workload: Workload, rows: int | None = None, evaluation_rows: int = 8) -> Path:
    """train.jsonl, of as many rows as are trained on unless told otherwise, and test.jsonl. Each text has exactly as many tokens as its sequence, or as its part of it, has."""
    folder.mkdir(parents=True)
    special = 1 if workload.lora else 2
    words = workload.length // workload.texts_per_sequence - special
    for name, count, seed in (("train", rows or workload.rows, 0), ("test", evaluation_rows, 1)):
        chance = random.Random(seed)  # noqa: S311 - words, no secrets
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for row in range(count):
                numbers = chance.choices(range(len(SPECIAL), workload.config.vocab_size), k=words)
                text = {"text": " ".join(f"w{number}" for number in numbers)}
                file.write(json.dumps(text if workload.lora else text | {"label": ["even", "odd"][row % 2]}) + "\n")
    return folder


def place_for(bytes_needed: int) -> Path:
    """A new folder: in shared memory where there is plenty, else among temporary files."""
    free = shutil.disk_usage(_SHARED_MEMORY).free if _SHARED_MEMORY.is_dir() else 0
    memory = available_memory() or 0
    # A model is read into memory besides, and what the training takes there has to fit too.
    roomy = free > 1.2 * bytes_needed and memory > 3 * bytes_needed + 8 * 2**30 and os.access(_SHARED_MEMORY, os.W_OK)
    return Path(tempfile.mkdtemp(prefix="bench-gpu-", dir=_SHARED_MEMORY if roomy else None))


def size_of(workload: Workload) -> int:
    """Bytes of the model's file."""
    with torch.device("meta"):
        model = _empty(workload.config)
    parameters: int = sum(weight.numel() for weight in model.parameters())
    return parameters * (2 if workload.lora else 4)


def _empty(config: Any) -> Any:
    if config.model_type == "llama":
        return transformers.LlamaForCausalLM(config)
    return transformers.BertModel(config)


def _shards(model: nn.Module, tied: bool, dtype: torch.dtype) -> Iterator[dict[str, torch.Tensor]]:
    shard: dict[str, torch.Tensor] = {}
    size = 0
    for name, weight in model.state_dict().items():
        if tied and name == "lm_head.weight":
            continue
        if shard and size + weight.numel() * dtype.itemsize > _SHARD:
            yield shard
            shard, size = {}, 0
        shard[name] = weight
        size += weight.numel() * dtype.itemsize
    yield shard


def _random(name: str, weight: torch.Tensor, dtype: torch.dtype, device: str) -> torch.Tensor:
    """As models begin: matrices of small normal numbers, norms of ones, biases of zeros. Zeros alone would be faster."""
    if weight.ndim < 2:
        return (
            torch.zeros(weight.shape, dtype=dtype) if name.endswith("bias") else torch.ones(weight.shape, dtype=dtype)
        )
    return torch.empty(weight.shape, dtype=dtype, device=device).normal_(std=0.02).cpu()
