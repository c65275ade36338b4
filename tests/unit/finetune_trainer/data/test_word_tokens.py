"""Words become the tokens that they are in a sentence, whatever kind of tokenizer, and their first one has the tag."""

from collections.abc import Callable
from functools import cache

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from finetune_trainer.tasks.token_classification import encode_words, first_tokens

CORPUS = [
    "the film was a lovely film",
    "a dull day and then the book",
    "Zürich, 東京 and the café",
    "ab abc abcd b bc c",
] * 4
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
NO_CUT = {"truncation": False}
SPLIT = Regex(r"'s|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+")


def byte_level(add_prefix_space: bool = False, trim: bool = True) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 3), ("<s>", 2), trim, add_prefix_space)
    return tokenizer


def split_and_byte_level() -> Tokenizer:
    """As of Llama 3 and Qwen."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(SPLIT, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 2)])]
    )
    return tokenizer


def metaspace(scheme: str, split_first: bool = False) -> Tokenizer:
    """As of T5 and XLM-R, which split at spaces first, and of newer Llamas."""
    tokenizer = Tokenizer(models.Unigram())
    mark = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), mark]) if split_first else mark
    tokenizer.train_from_iterator(
        CORPUS, trainers.UnigramTrainer(vocab_size=80, special_tokens=SPECIAL, unk_token="<unk>")
    )
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 3)])
    return tokenizer


def normalized(prepend: bool) -> Tokenizer:
    """As of older Llamas, which put a mark before the text, and of Gemma, which does not: neither splits a text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    mark = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), mark]) if prepend else mark
    bytes_ = [f"<0x{number:02X}>" for number in range(256)]
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=[*SPECIAL, *bytes_]))
    tokenizer.pre_tokenizer = None
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 2)])
    return tokenizer


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=120, special_tokens=SPECIAL))
    tokenizer.post_processor = processors.BertProcessing(("</s>", 3), ("<s>", 2))
    return tokenizer


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "WordPiece": word_piece,
    "ByteLevel": byte_level,
    "ByteLevel with its offsets as they are": lambda: byte_level(trim=False),
    "ByteLevel with a space before": lambda: byte_level(add_prefix_space=True),
    "Split and ByteLevel": split_and_byte_level,
    "Metaspace always": lambda: metaspace("always"),
    "Metaspace first": lambda: metaspace("first"),
    "Metaspace never": lambda: metaspace("never"),
    "WhitespaceSplit and Metaspace": lambda: metaspace("always", split_first=True),
    "normalizer that prepends": lambda: normalized(prepend=True),
    "normalizer that replaces": lambda: normalized(prepend=False),
}


@cache
def tokenizer_of(kind: str) -> transformers.PreTrainedTokenizerFast:
    return transformers.PreTrainedTokenizerFast(tokenizer_object=KINDS[kind](), pad_token="<pad>", unk_token="<unk>")


some_words = st.lists(
    st.text("abcdefilmtyZ", min_size=1, max_size=6)
    | st.sampled_from(["the", "film", "東京", "café", ",", "Zürich", "😀", "12"]),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(sentences=st.lists(some_words, min_size=1, max_size=3))
def test_words_are_the_tokens_of_their_sentence_and_each_is_tagged_once(kind: str, sentences: list[list[str]]) -> None:
    tokenizer = tokenizer_of(kind)

    encoded, found = encode_words(tokenizer, sentences, NO_CUT)

    assert encoded["input_ids"] == tokenizer([" ".join(words) for words in sentences])["input_ids"]
    for words, row in zip(sentences, found, strict=True):
        assert [tag for tag in first_tokens(row, range(len(words))) if tag >= 0] == list(range(len(words)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_token_that_has_the_tag_begins_its_word(kind: str) -> None:
    tokenizer, words = tokenizer_of(kind), ["the", "film", "abcdab", "a", "lovely", "day"]

    encoded, found = encode_words(tokenizer, [words], NO_CUT)

    tags = first_tokens(found[0], range(len(words)))
    tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"][0])
    starts = [token.strip("Ġ▁") for token, tag in zip(tokens, tags, strict=True) if tag >= 0]
    assert all(word.startswith(start) for word, start in zip(words, starts, strict=True))
    behind = [token for token, tag in zip(tokens, tags, strict=True) if tag < 0 and token not in SPECIAL]
    assert all(token[0] not in "Ġ▁" for token in behind)


def test_what_is_cut_away_has_no_tag() -> None:
    tokenizer = tokenizer_of("ByteLevel")

    encoded, found = encode_words(tokenizer, [["the", "film", "was"]], {"truncation": True, "max_length": 4})

    assert len(encoded["input_ids"][0]) == 4
    assert found == [[None, 0, 1, None]]
