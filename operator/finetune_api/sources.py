"""Where model and data come from, and how rows become tokens."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.pod import LocalReference
from finetune_api.rules import Rule
from finetune_api.text import Text

_DOT = r"([.]|%(25)*2[eE])"
_SEPARATOR = r"(/|\\|%(25)*(2[fF]|5[cC]))"
_UP = (
    # A segment of two dots, however its characters are encoded, once or more often.
    rf"(^|{_SEPARATOR}){_DOT}{_DOT}({_SEPARATOR}|[?#]|$)"
    # In a path on a volume or in a bucket also what may begin it anew or cut it: //, and encoded separators and control characters.
    r"|^(pvc|s3|gs|az)://(.*/)?/"
    r"|^(pvc|s3|gs|az|file)://.*(\\|%(25)*(2[fF]|5[cC]|[01][0-9a-fA-F]|7[fF]))"
)
"""What leads out of the place that a URI names."""
_HUB_ID = r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?"
_CLAIM = r"pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[^\s]*)?"
_BUCKET = r"(s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]*(/[^\s?#@]*)?"
_NO_OUTPUT = _UP + r"|^hf://(datasets|spaces)/"
_HUB_OUTPUT = r"hf://[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"

Source: TypeAlias = Annotated[
    str,
    Text(
        pattern=rf"^((hf://(datasets/)?)?{_HUB_ID}|file:///[^\s]+|{_CLAIM}|{_BUCKET}|https://[^\s@]+)$",
        message="must be a Hugging Face Hub id (org/name), file:///path/in/the/container, pvc://claim/path, "
        "s3://, gs:// or az://bucket/path, or https://host/file, without '..', '//' or an encoded slash",
        max_length=512,
        forbid=_UP,
    ),
]
OutputUri: TypeAlias = Annotated[
    str,
    Text(
        pattern=rf"^({_CLAIM}|{_BUCKET}|{_HUB_OUTPUT})$",
        message="must be pvc://claim/path, s3://, gs:// or az://bucket/path, or hf://org/name, without '..', '//' or an encoded slash; "
        "leave it out and the operator makes a volume for the job",
        max_length=512,
        forbid=_NO_OUTPUT,
    ),
]
_PLACEHOLDER = r"[{](namespace|name)[}]"
OutputTemplate: TypeAlias = Annotated[
    str,
    Text(
        pattern=rf"^(pvc://([a-z0-9]|{_PLACEHOLDER})([-a-z0-9.]|{_PLACEHOLDER})*(/([^\s{{}}]|{_PLACEHOLDER})*)?"
        rf"|(s3|gs|az)://([A-Za-z0-9]|{_PLACEHOLDER})([A-Za-z0-9._-]|{_PLACEHOLDER})*(/([^\s?#@{{}}]|{_PLACEHOLDER})*)?"
        rf"|hf://([A-Za-z0-9]|{_PLACEHOLDER})([A-Za-z0-9._-]|{_PLACEHOLDER})*/([A-Za-z0-9]|{_PLACEHOLDER})([A-Za-z0-9._-]|{_PLACEHOLDER})*)$",
        message="must be pvc://claim/path, s3://, gs:// or az://bucket/path, or hf://org/name, without '..', '//' or an encoded slash; "
        "{namespace} and {name} stand for those of the job",
        max_length=512,
        forbid=_NO_OUTPUT,
    ),
]
RunOutputUri: TypeAlias = Annotated[
    str,
    Text(
        pattern=rf"^(file:///[^\s]+|{_CLAIM}|{_BUCKET}|{_HUB_OUTPUT})$",
        message="must be file:///path, pvc://claim/path, s3://, gs:// or az://bucket/path, or hf://org/name, without '..', '//' or an encoded slash",
        # Longer than output.uri: a run that follows another has a folder below it.
        max_length=1056,
        forbid=_NO_OUTPUT,
    ),
]
Problem: TypeAlias = Literal["single_label_classification", "multi_label_classification", "regression"]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]
Seed: TypeAlias = Annotated[int, Field(ge=0, le=4_294_967_295)]


class SecretReference(LocalReference):
    """A Secret in the job's namespace. Its keys: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION and AWS_ENDPOINT_URL for s3://; GOOGLE_APPLICATION_CREDENTIALS_JSON for gs://; AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, for az://; HF_TOKEN for the Hub."""


class ModelSource(ApiModel):
    """The pretrained model to start from."""

    source: Source
    """A model's id on the Hugging Face Hub, or a folder as `save_pretrained` writes it: file:///path, pvc://claim/path, s3://, gs:// or az://bucket/path."""
    revision: Name = "main"
    """Branch, tag or commit on the Hub. Other sources have none."""
    secret_ref: SecretReference | None = None
    """Credentials to read it with."""
    problem_type: Problem | None = None
    """What text-classification predicts, as in transformers' configuration. If left out the label column decides: a list of labels is multi-label, a number with a fraction (float) is regression, all else is one class of several."""


class Split(ApiModel):
    """Which rows of the data set to take."""

    split: Name
    """Name of the split, with a slice if wanted: `train`, `train[:80%]`, `test[100:200]`. A single file has the split `train`."""
    samples: Annotated[int, Field(ge=1, le=2_147_483_647)] | None = None
    """How many rows, drawn after shuffling with `seed`. All of them, in their own order, if left out."""
    seed: Seed = 42
    """Seed of the shuffling."""


class Columns(ApiModel):
    """Which columns of the data set hold what. A task reads its own and no others. A field of a column is named as column.field, such as translation.en."""

    text: Name = "text"
    """text-classification: the text, or the first of a pair. causal-lm: plain text to learn. seq2seq: what is read."""
    text_pair: Name | None = None
    """text-classification: the second text, for tasks on pairs such as entailment."""
    label: Name = "label"
    """text-classification: the class (ClassLabel, integer or string), a list of classes (multi-label) or a number (regression)."""
    tokens: Name = "tokens"
    """token-classification: a list of words."""
    tags: Name = "tags"
    """token-classification: a list of as many tags (ClassLabel, integers or strings, such as B-PER)."""
    target: Name = "target"
    """seq2seq: what is to be written."""
    messages: Name | None = None
    """causal-lm: a chat, a list of {role, content} or {from, value}; the model's own template makes text of it. If left out, a column `messages` is taken where there is one, else `conversations`."""
    prompt: Name | None = None
    """causal-lm: what is asked. If left out, columns `prompt` and `completion` are taken where there are both. Of format alpaca it names the instruction."""
    completion: Name | None = None
    """causal-lm: what the model shall answer. It follows the prompt directly: let it begin with the space or line break that parts them."""


Format: TypeAlias = Literal["auto", "text", "prompt-completion", "messages", "sharegpt", "alpaca"]


class Dataset(ApiModel):
    """The data to train and evaluate on."""

    source: Source
    """A data set's id on the Hub; or a csv, json, jsonl or parquet file, a folder of them, or a `save_to_disk` folder: file:///path, pvc://claim/path, s3://, gs:// or az://bucket/path. A single file may be at https://."""
    name: Name | None = None
    """The configuration of a data set on the Hub, such as `mrpc` of `nyu-mll/glue`."""
    revision: Name = "main"
    """Branch, tag or commit on the Hub. Other sources have none."""
    secret_ref: SecretReference | None = None
    """Credentials to read it with."""
    train: Split
    """Rows to train on."""
    evaluation: Split | None = None
    """Rows to evaluate on. Without it nothing is evaluated."""
    format: Format = "auto"
    """causal-lm: how rows are written. `text`: plain text. `prompt-completion`: a question and its answer. `messages`: a chat as OpenAI writes it, with `tools` and `system` beside it. `sharegpt`: a chat of {from, value} in `conversations`. `alpaca`: `instruction`, `input` and `output`. `auto` decides by `columns` and by the columns that are there; the log names the format that was taken."""
    columns: Columns = Columns()


_PADDING: Rule["Preprocessing"] = Rule(
    cel="self.padding != 'max_length' || has(self.maxLength)",
    holds=lambda self: self.padding != "max_length" or self.max_length is not None,
    message="padding 'max_length' needs preprocessing.maxLength",
    field=".maxLength",
)


class Preprocessing(ApiModel):
    """How text becomes tokens."""

    rules = (_PADDING,)

    max_length: Annotated[int, Field(ge=1, le=1_048_576)] | None = None
    """Longest sequence, in tokens. The model's own limit if left out (at most 1024 for causal-lm)."""
    truncation: bool = True
    """Cut longer texts. If false, a longer text is an error."""
    padding: Literal["longest", "max_length"] = "longest"
    """Pad each batch to its longest text, or every batch to `maxLength`."""
    max_target_length: Annotated[int, Field(ge=1, le=1_048_576)] = 128
    """seq2seq: longest target, in tokens, both to learn and to generate."""
    source_prefix: Annotated[str, Field(max_length=1024)] | None = None
    """seq2seq: put before each text, such as "summarize: " for T5."""
    packing: bool | None = None
    """causal-lm: put several texts into one sequence of `maxLength` tokens, none of which sees another. If left out it is done where the model can keep them apart."""
    completion_only_loss: bool = True
    """causal-lm: learn the answers only: the completion, or what the assistant says in a chat. If false, prompts are learned too."""
