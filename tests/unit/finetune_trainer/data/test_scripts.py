"""Scores of texts in every script: what is written exactly is scored as such, and English as rouge_score and sacrebleu do."""

import string
from typing import Any

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from finetune_trainer.metrics.scores import load_metric
from finetune_trainer.metrics.words import WordStems, bleu_tokenizer, words

ROUGE = ["rouge1", "rouge2", "rougeL"]
ALPHABETS = {
    "Latin": string.ascii_letters, "Latin with marks": "àéîõüßşğıİøłŁ\u0301", "Cyrillic": "абвгдежзиЖЩЮёїґ", "Greek": "αβγδεςσΩ",
    "Arabic": "ابتثجحخدذ\u064e\u0651", "Hebrew": "אבגדהוזחט\u05b8", "Devanagari": "कखगघचछाि्ं", "Tamil": "கஙசஞடண\u0bbe",
    "Han": "今天气很好我们的世界", "Han of the second plane": "\U00020000\U00020001\U0002a6d6", "kana": "あいうえおカキクケーッ",
    "Hangul": "가나다라마바사아", "Thai": "กขคงจฉาิ่์", "Lao": "ກຂຄງຈາິ່", "Khmer": "កខគឃង្ា", "Myanmar": "ကခဂဃငာ့",
    "Tibetan": "ཀཁག་", "Georgian": "აბგდ", "Armenian": "աբգդ", "Ethiopic": "ሀለሐመ", "digits": string.digits + "०१٣४",
    "punctuation": "!?.,;:-…、。！？«»।", "emoji": "😀👍🏽\u200d👩🇩🇪❤\ufe0f", "joined": "می\u200cخو", "symbols": "∑∫€+=^~|",
}  # fmt: skip
some_texts = st.lists(
    st.one_of(
        *(st.text(alphabet + " ", min_size=1, max_size=12) for alphabet in ALPHABETS.values()), st.text(max_size=8)
    )
    .map(str.strip)
    .filter(bool),
    min_size=1,
    max_size=4,
)
english = st.lists(
    st.text(string.ascii_letters + string.digits + "  '’.,-_", min_size=1, max_size=40), min_size=1, max_size=4
)


def scored(predictions: list[str], references: list[str], **options: Any) -> dict[str, float]:
    computed: dict[str, float] = {}
    for name, arguments in (("rouge", {"rouge_types": ROUGE}), ("sacrebleu", options), ("chrf", {})):
        computed |= load_metric(name).compute(predictions=predictions, references=references, **arguments)
    return computed


EXACT = {"rouge1": 1, "rouge2": 1, "rougeL": 1, "sacrebleu": 100, "chrf": 100}


@pytest.mark.parametrize("script", ALPHABETS)
def test_texts_of_a_script_that_are_written_exactly_have_the_full_score(script: str) -> None:
    letters = ALPHABETS[script]
    texts = [letters, f"{letters[:3]} {letters[2:6]}", letters[0]]

    assert scored(texts, texts) == pytest.approx(EXACT)
    assert scored(texts[-1:], texts[-1:]) == pytest.approx(EXACT)


@settings(max_examples=60)
@given(some_texts)
def test_equal_texts_have_the_full_score_whatever_stands_in_them(texts: list[str]) -> None:
    assert scored(texts, texts) == pytest.approx(EXACT)


@settings(max_examples=60)
@given(st.lists(st.tuples(english, english), min_size=1, max_size=3))
def test_english_is_scored_by_rouge_as_rouge_score_does(pairs: list[tuple[list[str], list[str]]]) -> None:
    wanted, written = ([" ".join(["ran", "away", *pair[side]]) for pair in pairs] for side in (0, 1))

    found = load_metric("rouge").compute(predictions=written, references=wanted, rouge_types=ROUGE)

    scorer = RougeScorer(ROUGE, use_stemmer=True)
    each = [scorer.score(reference, text) for reference, text in zip(wanted, written, strict=True)]
    assert found == {kind: float(np.mean([score[kind].fmeasure for score in each])) for kind in ROUGE}


@settings(max_examples=60)
@given(english, english)
def test_what_has_spaces_is_scored_by_sacrebleu_s_default(wanted: list[str], written: list[str]) -> None:
    wanted, written = ["to be or not", *wanted], ["to be or what", *written]
    written = (written * len(wanted))[: len(wanted)]

    found = load_metric("sacrebleu").compute(predictions=written, references=wanted)

    assert found == {"sacrebleu": sacrebleu.corpus_bleu(written, [wanted]).score}


def test_the_words_of_a_text_are_those_that_people_see() -> None:
    assert words("Привет, мир!") == ["привет", "мир"]
    assert words("नमस्ते दुनिया") == ["नमस्ते", "दुनिया"]
    assert words("今天 GPU 很好") == ["今", "天", "gpu", "很", "好"]
    assert words("กิน") == ["กิ", "น"]
    assert words("cafe\u0301 don’t snake_case") == ["café", "don", "t", "snake", "case"]
    assert words("?! 👍🏽") == ["?", "!", "👍🏽"]
    assert WordStems().tokenize("Running кошками running") == ["run", "кошками", "run"]


@pytest.mark.parametrize(
    ("texts", "tokenizer"),
    [
        (["the cat sat"], "13a"),
        (["кошка сидит", "قطة جالسة"], "13a"),
        (["오늘 날씨가 좋네요"], "13a"),
        (["今天天气很好"], "zh"),
        (["用 Python 写一个函数"], "zh"),
        (["the Chinese word for the cat is 猫"], "13a"),
        (["今日はいい天気ですね", "東京特許許可局"], "char"),
        (["วันนี้อากาศดี"], "char"),
        (["今天", "วันนี้อากาศดี"], "char"),
        (["?!"], "13a"),
    ],
)
def test_sacrebleu_s_tokenizer_goes_by_the_script_of_most_words(texts: list[str], tokenizer: str) -> None:
    assert bleu_tokenizer(texts) == tokenizer


@pytest.mark.parametrize(
    ("wanted", "written", "share"),
    [
        ("one two three four", "one two ten nine", 1 / 2),
        ("раз два три", "раз два пять", 2 / 3),
        ("今天天气", "今天很好", 1 / 2),
        ("ก ข ค", "ก ง ค", 2 / 3),
        ("?!", "?.", 1 / 2),
    ],
)
def test_a_text_that_is_partly_right_has_that_share_of_the_score(wanted: str, written: str, share: float) -> None:
    found = scored([written], [wanted])

    assert (found["rouge1"], found["rougeL"]) == pytest.approx((share, share))
    assert 0 < found["chrf"] < 100


def test_texts_of_one_word_have_no_pairs_so_their_words_count() -> None:
    assert scored(["да", "нет"], ["да", "да"])["rouge2"] == 0.5
    assert scored(["yes it is"], ["yes"])["rouge2"] == 0
