"""Tiny language models, made on the spot, and what they are to learn: which colour a thing has."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
import transformers

COLOUR_OF = {"sky": "blue", "leaf": "green", "rose": "red", "snow": "white", "sea": "blue", "grass": "green"}
SPECIAL = ["[PAD]", "[UNK]", "</s>", "<user>", "<assistant>", "<system>"]
WORDS = ["what", "colour", "is", "the", "?", "and", "thanks", *COLOUR_OF, "red", "blue", "green", "white"]
VOCABULARY = [*SPECIAL, *WORDS]
LONGEST = 64

CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m.role not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('roles are system, user and assistant') }}{% endif %}"
    "<{{ m.role }}> {{ m.content }} </s> {% endfor %}{% if add_generation_prompt %}<assistant> {% endif %}"
)
MARKED_CHAT_TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}> {% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }} </s>{% endgeneration %} {% else %}{{ m.content }} </s> {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def word_tokenizer(
    chat_template: str | None = None, ends: bool = False, longest: int = LONGEST
) -> transformers.PreTrainedTokenizerFast:
    """One token a word. With `ends` it puts `</s>` at the end itself, as encoder-decoders have it."""
    model = tokenizers.models.WordLevel({word: number for number, word in enumerate(VOCABULARY)}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    if ends:
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", VOCABULARY.index("</s>"))]
        )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=longest, pad_token="[PAD]", unk_token="[UNK]", eos_token="</s>",
        additional_special_tokens=SPECIAL[3:],
    )  # fmt: skip
    fast.chat_template = chat_template
    return fast


def ids(text: str) -> list[int]:
    return [VOCABULARY.index(word) for word in text.split()]


def save_llama(folder: Path, chat_template: str | None = None, longest: int = LONGEST, width: int = 32) -> Path:
    """A Llama of 20,000 weights, unless it is wider."""
    transformers.set_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(VOCABULARY), hidden_size=width, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=longest, pad_token_id=0, bos_token_id=None, eos_token_id=2, initializer_range=0.1,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    word_tokenizer(chat_template, longest=longest).save_pretrained(folder)
    return folder


def save_t5(folder: Path) -> Path:
    """A T5 of 40,000 weights."""
    transformers.set_seed(0)
    config = transformers.T5Config(
        vocab_size=len(VOCABULARY), d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, dropout_rate=0.0,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=2,
    )  # fmt: skip
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    word_tokenizer(ends=True).save_pretrained(folder)
    return folder


def byte_tokenizer(chat_template: str | None = None, special: Sequence[str] = (), begins: bool = False) -> Any:
    """A token for each byte and for each special text, so that any template can be read back. With `begins` it puts
    `<bos>` at the beginning itself."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({byte: number for number, byte in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(["<bos>", "<eos>", *special])
    if begins:
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", tokenizer.token_to_id("<bos>"))]
        )
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", bos_token="<bos>")
    fast.chat_template = chat_template
    return fast


def save_byte_llama(folder: Path, tokenizer: Any) -> Path:
    """A Llama for a tokenizer of bytes."""
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=2048, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sentences() -> list[dict[str, str]]:
    return [{"text": f"the {thing} is {colour}"} for thing, colour in COLOUR_OF.items()]


def questions() -> list[dict[str, str]]:
    return [
        {"prompt": f"what colour is the {thing} ?", "completion": f" {colour}"} for thing, colour in COLOUR_OF.items()
    ]


def chats() -> list[dict[str, Any]]:
    """Two questions and two answers each."""
    things = list(COLOUR_OF)
    return [
        {
            "messages": [
                {"role": "user", "content": f"what colour is the {first} ?"},
                {"role": "assistant", "content": COLOUR_OF[first]},
                {"role": "user", "content": f"and the {second} ?"},
                {"role": "assistant", "content": COLOUR_OF[second]},
            ]
        }
        for first, second in zip(things, [*things[1:], things[0]], strict=True)
    ]
