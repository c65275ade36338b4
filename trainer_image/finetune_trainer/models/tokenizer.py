"""Loads the tokenizer.

transformers makes an empty tokenizer where the files of one are missing: each word is unknown then, and nothing fails.
"""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from transformers import AutoTokenizer
from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import model_error
from finetune_trainer.base.time_limit import ended_after
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.models.tokenizer_files import check_names_no_files, no_tokenizer

logger = logging.getLogger(__name__)

MOST_SECONDS: Final = 1800.0
"""For a thousand texts at once, for a chat, or for all files of a tokenizer."""


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
    except Exception as error:  # the library that tokenizes has no class of its own for its errors
        is_of_files = (
            isinstance(error, ValueError | TypeError | AttributeError | LookupError) or type(error) is Exception
        )
        if not is_of_files or "trust_remote_code" in str(error):
            raise
        raise no_tokenizer(place, source, (str(error).splitlines() or [type(error).__name__])[0]) from error
    if not _knows_words(tokenizer):
        raise no_tokenizer(place, source, "it knows no word")
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise model_error(
                Reason.NO_PADDING_TOKEN,
                f"the tokenizer of {source} has neither a padding token nor an end-of-text token",
                "save it with the end of text that the model was trained with, which pads too, and by which language models learn "
                "to stop: tokenizer.eos_token = '</s>'; or, for other tasks, with a padding token: "
                "tokenizer.add_special_tokens({'pad_token': '[PAD]'}), and resize the embeddings",
            )
        logger.info("%s has no padding token; its end-of-text token %r pads", source, tokenizer.eos_token)
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def tokenizer_limit(late: str) -> AbstractContextManager[None]:
    """End the process where a tokenizer or chat template comes to no end. `late` says what is not done then."""
    return ended_after(
        MOST_SECONDS,
        model_error(
            Reason.MODEL_UNREADABLE,
            f"the model's tokenizer or chat template comes to no end: after {MOST_SECONDS / 60:.0f} min {late}",
            "check where its tokenizer.json and chat template are from; cut texts of hundreds of MB",
        ),
    )


@contextmanager
def tokenizer_panics(source: str) -> Iterator[None]:
    """Raise a panic of the library that tokenizes as a failure of the model: of Python's exceptions it is none.

    Regular expressions of a tokenizer that try forever end so.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise model_error(
            Reason.MODEL_UNREADABLE,
            f"the tokenizer of {source} fails: {error!s:.300}",
            "check where its tokenizer.json is from: an expression or rule in it cannot be followed to its end",
        ) from None


def _knows_words(tokenizer: Tokenizer) -> bool:
    """Whether its vocabulary holds more than what was added to it. Of no file at all, some kinds make a space of their own.
    Tokenizers of bytes or characters need no file."""
    if not tokenizer.vocab_files_names:
        return True
    added = set(tokenizer.added_tokens_encoder)
    return len(set(tokenizer.get_vocab()) - added - {"▁"}) > 0
