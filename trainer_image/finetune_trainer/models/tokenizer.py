"""Loads the tokenizer.

transformers makes an empty tokenizer where the files of one are missing: each word is unknown then, and nothing fails.
"""

import logging
from pathlib import Path

from transformers import AutoTokenizer
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, model_error
from finetune_trainer.base.text import listed
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.models.tokenizer_files import check_names_no_files

logger = logging.getLogger(__name__)

_FILES = "tokenizer.json, or the vocabulary of its kind: vocab.txt; vocab.json and merges.txt; a sentencepiece .model"
_PARTS = ("tokenizer*", "vocab*", "merges.txt", "*.model", "*.spm", "tekken.json", "added_tokens.json")


def load_tokenizer(pretrained: Pretrained, source: str) -> Tokenizer:
    """The tokenizer, with a padding token: where there is none, the end of text pads, as is usual for language models.

    Args:
        source: What the settings name: the model, or an adapter of it.

    Raises:
        TrainerError: MODEL when there is none, it knows no words, or its files name other files; besides what transformers raises.
    """
    place, arguments = pretrained.tokenizer
    try:
        check_names_no_files(place, arguments, source)
        tokenizer: Tokenizer = AutoTokenizer.from_pretrained(place, **arguments)
    except ValueError as error:
        if "trust_remote_code" in str(error):
            raise
        raise _no_tokenizer(pretrained, source, str(error).splitlines()[0]) from error
    if not _knows_words(tokenizer):
        raise _no_tokenizer(pretrained, source, "it knows no word")
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise model_error(
                Reason.NO_PADDING_TOKEN,
                f"the tokenizer of {source} has neither a padding token nor an end-of-text token",
                "save it with one: tokenizer.add_special_tokens({'pad_token': '[PAD]'}), and resize the embeddings",
            )
        logger.info("%s has no padding token; its end-of-text token %r pads", source, tokenizer.eos_token)
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _knows_words(tokenizer: Tokenizer) -> bool:
    """Whether its vocabulary holds more than what was added to it. Of no file at all, some kinds make a space of their own.
    Tokenizers of bytes or characters need no file."""
    if not tokenizer.vocab_files_names:
        return True
    added = set(tokenizer.added_tokens_encoder)
    return len(set(tokenizer.get_vocab()) - added - {"▁"}) > 0


def _no_tokenizer(pretrained: Pretrained, source: str, why: str) -> TrainerError:
    folder = Path(pretrained.tokenizer[0])
    there = sorted({path.name for part in _PARTS for path in folder.glob(part)}) if folder.is_dir() else []
    found = f"of its files there are {listed(there)}" if there else "tokenizer.json and the like are not there"
    return model_error(
        Reason.TOKENIZER_MISSING,
        f"{source} has no tokenizer that can be used: {found} ({why:.200})",
        f"put it beside config.json, by tokenizer.save_pretrained: {_FILES}",
    )
