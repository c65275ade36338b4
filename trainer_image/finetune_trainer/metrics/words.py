"""Words of a text in whatever script, and which tokenizer of sacrebleu fits it."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec

import regex

from finetune_trainer.base.hidden_packages import hidden

with hidden("scipy", "sklearn"):  # for parts of nltk that nobody asks for here
    from nltk.stem.porter import PorterStemmer
    from rouge_score.tokenizers import Tokenizer

_UNSPACED = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Yi}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}\p{Javanese}\p{Balinese}"
)
"""Scripts that put no space between words."""
_LETTERS = rf"(?:(?![{_UNSPACED}])[\p{{L}}\p{{M}}\p{{N}}])+"
# Persian and Indic words have joiners in them, which are no letters.
_WORD = regex.compile(rf"[{_UNSPACED}]\p{{M}}*|{_LETTERS}(?:[\u200c\u200d]{_LETTERS})*")
_SYMBOL = regex.compile(r"(?!\s)\X")
_STEMMED = regex.compile(r"[a-z0-9]{4,}")
_SCRIPTS = {
    "Han": regex.compile(r"\p{Han}"),
    "kana": regex.compile(r"[\p{Hiragana}\p{Katakana}]"),
    "Hangul": regex.compile(r"\p{Hangul}"),
    "unspaced": regex.compile(rf"[{_UNSPACED}]"),
    "spaced": regex.compile(""),
}


def words(text: str) -> list[str]:
    """Runs of letters, marks and numbers, in lower case; single characters where a script has no spaces.

    Of a text without any, such as `!?`, its symbols. Those of English texts are the ones of rouge_score.
    """
    lower = unicodedata.normalize("NFC", text.lower())
    found: list[str] = _WORD.findall(lower) or _SYMBOL.findall(lower)
    return found


class WordStems(Tokenizer):  # type: ignore[misc]
    """`words` for rouge_score. Endings of English words are cut off as by its own tokenizer with `use_stemmer`."""

    def __init__(self) -> None:
        self._stemmer = PorterStemmer()

    def tokenize(self, text: str) -> list[str]:
        return [self._stemmer.stem(word) if _STEMMED.fullmatch(word) else word for word in words(text)]


def bleu_tokenizer(references: Iterable[str]) -> str:
    """The name of sacrebleu's tokenizer for the script of most words of these texts.

    Its default, 13a, splits at spaces and punctuation. For Chinese, and for Japanese and Korean where MeCab is
    installed, it has others. What else has no spaces is split into characters.
    """
    counts = Counter(_script(word) for text in references for word in words(text))
    unspaced = counts["Han"] + counts["kana"] + counts["unspaced"]
    if counts["Hangul"] * 2 > counts.total() and find_spec("mecab_ko"):
        return "ko-mecab"
    if unspaced * 2 <= counts.total():
        return "13a"
    if counts["kana"] * 10 > unspaced:  # in Chinese there is none, in Japanese it is about half
        return "ja-mecab" if find_spec("MeCab") and find_spec("ipadic") else "char"
    return "zh" if counts["Han"] * 2 > unspaced else "char"


def _script(word: str) -> str:
    return next(name for name, script in _SCRIPTS.items() if script.match(word))
