"""What an exported model writes by: the settings of `generate`, and where an answer ends."""

import re
from typing import Any

from jinja2.exceptions import TemplateError
from transformers import GenerationConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

_ANSWER = "finetune"
"""Stands for what an assistant says, to see what a template puts after it."""


def mend_generation(model: PreTrainedModel) -> None:
    """Leave out what has no effect, or transformers would refuse to save the model once it was changed otherwise.

    Some models on the Hub give a temperature and do not say whether they sample: they do.
    """
    settings = model.generation_config if model.can_generate() else None
    if settings is None:
        return
    without_effect = _without_effect(settings)
    if settings.do_sample is None:
        settings.do_sample = True
        if _without_effect(settings) == without_effect:
            settings.do_sample = None
    for name in _without_effect(settings):
        setattr(settings, name, None)


def _without_effect(settings: GenerationConfig) -> set[str]:
    """Settings that others make void, such as a length penalty without beams. transformers tells them in a text alone."""
    try:
        settings.validate(strict=True)
    except ValueError as error:
        return set(re.findall(r"^- `(\w+)`:", str(error), re.MULTILINE))
    return set()


def turn_end(tokenizer: Tokenizer, template: str | None = None) -> int | None:
    """The token that ends the assistant's turn: the first added or special one that the template puts after its words.

    None where it puts none there, as templates of plain text do, or where it refuses a simple chat.

    Args:
        template: Jinja, where it is not the tokenizer's own.
    """
    chat: list[dict[str, Any]] = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _ANSWER}]
    try:
        text = str(tokenizer.apply_chat_template(chat, chat_template=template, tokenize=False))
    except (TemplateError, TypeError, ValueError, KeyError):
        return None
    _, found, after = text.rpartition(_ANSWER)
    if not found:
        return None
    tokens: list[int] = tokenizer(after, add_special_tokens=False)["input_ids"]
    marks = {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
    return next((token for token in tokens if token in marks and token != tokenizer.unk_token_id), None)


def stop_at(model: PreTrainedModel, token: int) -> None:
    """Have `generate` end at `token` too: one of several, where the model knows another end."""
    settings = model.generation_config
    if settings is None:
        return
    known = settings.eos_token_id
    known = known if isinstance(known, list) else [] if known is None else [known]
    if token not in known:
        settings.eos_token_id = [*known, token] if known else token
