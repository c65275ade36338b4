"""What a causal language model reads and learns of rows, and rows in the forms that people write."""

from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from tests.trainer.test_language_labels import inputs
from tests.trainer.tiny_language import CHATML, byte_tokenizer, save_byte_llama

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.run_warnings import collected
from finetune_trainer.tasks import causal_lm
from finetune_trainer.tasks.task import prepare

TURNS = ("<|im_start|>", "<|im_end|>")
TOOLS_CHATML = (
    "{% if tools %}<|im_start|>tools\n{% for t in tools %}{{ t | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls %}"
    "<call>{{ c.function | tojson }}</call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
Told = list[tuple[str, str]]


def user(text: str) -> str:
    return f"<|im_start|>user\n{text}<|im_end|>\n"


def assistant(text: str) -> str:
    return f"<|im_start|>assistant\n{text}<|im_end|>\n"


def taught(
    folder: Path, rows: Any, template: str | None = CHATML, begins: bool = False, **settings: Any
) -> tuple[list[tuple[str, str]], Told]:
    """Of each row its text and what of it is learnt, with `|` between what is not together; and what was warned of."""
    tokenizer = byte_tokenizer(template, TURNS, begins)
    model = save_byte_llama(folder / "model", tokenizer)
    told: Told = []
    with collected(lambda reason, message: told.append((reason, message))):
        data = prepare(causal_lm, inputs(folder, "causal-lm", model, rows, packing=False, **settings))
    # The rows are evaluated on as well, so that all is said twice.
    return [
        (tokenizer.decode(row["input_ids"]), _learnt(tokenizer, row["labels"])) for row in data.train.dataset
    ], list(dict.fromkeys(told))


def _learnt(tokenizer: Any, labels: list[int]) -> str:
    parts: list[list[int]] = [[]]
    for label in labels:
        if label == -100:
            parts.append([])
        else:
            parts[-1].append(label)
    return "|".join(tokenizer.decode(part) for part in parts if part)


def refused(folder: Path, rows: Any, **settings: Any) -> TrainerError:
    with pytest.raises(TrainerError) as error:
        taught(folder, rows, **settings)
    return error.value


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def chat(*turns: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns], **fields}


ASKED, ANSWERED = ("user", "why?"), ("assistant", "so.")
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"city": "berlin", "day": null}'}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"city": {}}}}}
CALLS = [
    {"role": "user", "content": "x"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "name": "f", "content": "warm"},
    {"role": "assistant", "content": "It is warm."},
]
CALLED = '<call>{"name": "f", "arguments": {"city": "berlin", "day": null}}</call><|im_end|>|It is warm.<|im_end|>'


ALPACA = [
    {"instruction": "translate", "input": "hello", "output": "bonjour"},
    {"instruction": "say 1", "input": "", "output": "1"},
    {"instruction": "say 2", "input": None, "output": "2"},
]
STANFORD = (
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a response "
    "that appropriately completes the request.\n\n### Instruction:\ntranslate\n\n### Input:\nhello\n\n### Response:\n",
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nsay 1\n\n### Response:\n",
)  # fmt: skip
