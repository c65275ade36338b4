"""Whether chats can be learnt by a model's template: it writes them, and ends the assistant's turns by a token, at which generation
stops."""

import re
from itertools import takewhile

from jinja2.exceptions import TemplateError

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError, model_error
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.data.chats.conversations import ChatError
from finetune_trainer.data.chats.template import ASKED, MARK, PROBES, REFUSALS, ChatTemplate, answered, unfit

_BEGUN_MARK = re.compile(r"[<\[][^<>\[\]\s]*$")


def check_template(template: ChatTemplate, source: str, answers_only: bool) -> None:
    """Refuse a template that writes no chat at all, or not what is said, or asks for one more answer at the end of each, or marks
    as the assistant's what others say.

    Args:
        source: Of the model.
        answers_only: Whether nothing but what the assistant says is learnt.

    Raises:
        TrainerError: MODEL.
    """
    try:
        written = {template.text_of(ASKED, answered(word)) for word in PROBES}
    except REFUSALS as error:
        # What a template itself raises, by raise_exception, is about the turns, and its rows are refused one by one.
        if type(error) is TemplateError:
            return
        raise unfit(source, f"writes no chat: {error}") from error
    if len(written) == 1:
        raise unfit(source, "does not write what the assistant says")
    if answers_only and template.marked and not _marks_answers(template):
        raise unfit(source, "marks by {% generation %} something else than what the assistant says")
    if _always_asks(template):
        raise unfit(
            source,
            "asks for one more answer at the end of each chat, which would be learnt, whatever add_generation_prompt is",
        )


def check_end_of_turn(template: ChatTemplate, source: str, answers_only: bool) -> None:
    """Refuse a template whose end of turn is meant as a token that the tokenizer does not have; warn where turns end by words,
    or by nothing.

    Args:
        source: Of the model.
        answers_only: Whether nothing is learnt beyond the end of a turn, such as an end of text after the last one.

    Raises:
        TrainerError: MODEL.
    """
    if template.stop_token is not None or template.ends_text(everywhere=answers_only):
        return
    written = _written_end(template)
    *_, mark = ["", *MARK.findall(written)]
    if mark and written.endswith(mark) and (template.end_of_turn is not None or not template.marked):
        raise _no_token(mark, source, template.tokenizer.eos_token)
    if template.end_of_turn is not None:
        warn(
            Reason.TURNS_HAVE_NO_END,
            f"the model's chat template ends turns of the assistant by {written!r}, which is no token: the model learns to write "
            "it, and generation goes on after it. Name it in what serves the model (stop_strings, stop), or use a template that "
            "ends turns by a special token",
        )
    elif answers_only:
        warn(
            Reason.TURNS_HAVE_NO_END,
            "the model's chat template ends no turn of the assistant: the model will not learn to stop",
        )


def _no_token(mark: str, source: str, end: str | None) -> TrainerError:
    other = f"; or end turns by its end of text {end!r} in chat_template" if end else ""
    return model_error(
        Reason.TURN_END_IS_NO_TOKEN,
        f"the chat template of {source} ends turns by {mark!r}, which is no token of its tokenizer: generation would never stop "
        "there",
        "use the model that the template belongs to, such as the chat or instruct version; or add the token and save both: "
        f"tokenizer.add_special_tokens({{'additional_special_tokens': [{mark!r}]}}), model.resize_token_embeddings(len(tokenizer))"
        f"{other}",
    )


def _marks_answers(template: ChatTemplate) -> bool:
    asked, answer = str(ASKED["content"]), PROBES[0]
    try:
        tokens, marks = template.render_marked(template.probe(ASKED, answered(answer)))
    except ChatError:
        return True
    learnt = [token for token, mark in zip(tokens, marks, strict=True) if mark]
    whole, marked = (str(template.tokenizer.decode(part)).casefold() for part in (tokens, learnt))
    # Of a tokenizer that does not know these words, or writes them apart, it cannot be said.
    return answer not in whole or (answer in marked and asked not in marked)


def _always_asks(template: ChatTemplate) -> bool:
    """Whether what stands between a question and its answer stands behind the last answer, too, and not between turns alone."""
    asked, answer = str(ASKED["content"]), PROBES[0]
    chat = (ASKED, answered(answer))
    try:
        before, _, behind = template.text_of(*chat).rpartition(answer)
        following = template.text_of(*chat, ASKED).rpartition(asked)[0].rpartition(answer)[2]
    except REFUSALS:
        return False
    behind = behind.rstrip()
    return (
        behind not in ("", template.tokenizer.eos_token)
        and behind == before.rpartition(asked)[2].rstrip()
        and not following.startswith(behind)
    )


def _written_end(template: ChatTemplate) -> str:
    """What is written after an answer whether or not a question follows, without blanks around it."""
    try:
        chats = ((ASKED, answered(word)) for word in PROBES)
        first, second = ((template.text_of(*chat), template.text_of(*chat, ASKED)) for chat in chats)
    except REFUSALS:
        return ""
    last, followed = (_shared(one[::-1], other[::-1])[::-1] for one, other in zip(first, second, strict=True))
    return _BEGUN_MARK.sub("", _shared(last, followed)).strip()


def _shared(first: str, second: str) -> str:
    """What two texts begin with."""
    return "".join(letter for letter, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
