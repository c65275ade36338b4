"""Chats as people write them (OpenAI, ShareGPT, Alpaca), brought into the one form that chat templates know."""

import json
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, time
from typing import Any, Final

import datasets

from finetune_trainer.base.text import did_you_mean, is_blank

Message = dict[str, Any]
ASSISTANT: Final = "assistant"
SYSTEM: Final = ("system", "developer")
_ROLES: Final = {
    **dict.fromkeys(("system", "developer", "user", "assistant", "tool"), ""),
    **dict.fromkeys(("human", "prompter"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "bot", "model", "ai", "chatbot"), ASSISTANT),
    **dict.fromkeys(("function", "observation", "function_response", "tool_response"), "tool"),
    **dict.fromkeys(("function_call", "tool_call"), "function_call"),
}
"""Names of roles, and what templates call them; empty where they call them so."""
SPEAKERS: Final = "system, user, assistant or tool"
_NOT_FOR_TEMPLATES: Final = ("weight", "train", "function_call", "from", "value", "refusal")
_TEXTS: Final = ("text", "input_text", "output_text", "refusal")
"""Types of parts that are text."""
_AS_CALL: Final = 'tool_calls of the turn: [{"type": "function", "function": {"name": …, "arguments": {…}}}]'
_AS_RESULT: Final = 'a turn of its own: {"role": "tool", "content": …}'
_REMEDIES: Final = {
    **dict.fromkeys(("tool_use", "functionCall", "function_call"), f"write the call of a function as {_AS_CALL}"),
    **dict.fromkeys(
        ("tool_result", "functionResponse", "function_response", "function_call_output"),
        f"write what a function gave as {_AS_RESULT}",
    ),
    "thinking": "write what was thought as reasoning_content of the turn",
    "redacted_thinking": "leave the part out: what was thought is not in it",
}
"""Of parts and turns by what they are called at Anthropic, Gemini, and in OpenAI's Responses: how they are written here."""
_FUNCTION: Final = ("function", "name", "arguments")
_FORM_OF_TOOLS: Final = (
    "write tools as a list of {type: function, function: {name, description, parameters}}, or such a list as JSON"
)
_ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.",
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a response "
    "that appropriately completes the request.",
)  # fmt: skip


class ChatError(Exception):
    """A chat that cannot be learnt, with the reason for people and a remedy."""

    def __init__(self, problem: str, hint: str, field: str = "messages") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
        self.field = field
        """Whose column holds it: `messages`, where that is one of several, `tools` or `completion`."""


@dataclass(frozen=True)
class Chat:
    """Turns, the functions that may be called, and which turns are learnt."""

    messages: list[Message]
    learnt: list[bool]
    """Of each turn. Whose are not the assistant's never are."""
    tools: list[dict[str, Any]] | None = None


def read_chat(value: Any, tools: Any = None, system: str | None = None) -> Chat:
    """A row's chat.

    Args:
        value: A list of {role, content} or {from, value}, or such a list as JSON.
        tools: Descriptions of functions, as a list or as JSON; None where there are none.
        system: Put first where the chat has no such turn of its own.

    Raises:
        ChatError: When it is no chat, or the assistant says nothing.
    """
    messages, learnt = _turns(value)
    if not any(message["role"] == ASSISTANT for message in messages):
        roles = ", ".join(dict.fromkeys(str(message["role"]) for message in messages))
        raise ChatError(
            f"the assistant says nothing in it: there are {f'only turns of {roles}' if roles else 'no turns'}",
            "drop the row; or, where one of them is the assistant by another name, call the roles user and assistant",
        )
    return with_system(Chat(messages, learnt, read_tools(tools)), system)


def with_system(chat: Chat, system: str | None) -> Chat:
    """With a first turn that says so, unless the chat has one or there is nothing to say."""
    if not system or is_blank(system) or has_system(chat):
        return chat
    return replace(chat, messages=[{"role": "system", "content": system}, *chat.messages], learnt=[False, *chat.learnt])


def has_system(chat: Chat) -> bool:
    return any(message["role"] in SYSTEM for message in chat.messages)


def read_answer(prompt: Any, completion: Any, whole: bool, tools: Any = None, system: str | None = None) -> Chat:
    """The chat of a prompt and a completion that are turns: of the assistant's turns those of the completion are learnt.

    Args:
        whole: Learn its turns in the prompt as well.

    Raises:
        ChatError: When it is no chat, or the completion is no turn of the assistant.
    """
    if not isinstance(prompt, list) or not isinstance(completion, list):
        raise ChatError("prompt and completion are not both lists of {role, content}", "write both as text or as turns")
    asked, before = _turns(prompt)
    if asked and asked[-1]["role"] == ASSISTANT:
        raise ChatError(
            "the prompt ends in a turn of the assistant", "put what it says there at the beginning of the completion"
        )
    try:
        answers, wanted = _turns(completion)
    except ChatError as error:
        raise ChatError(error.problem, error.hint, "completion") from error
    if not any(message["role"] == ASSISTANT for message in answers):
        raise ChatError("the assistant says nothing in the completion", "drop the row", "completion")
    learnt = [*(before if whole else [False] * len(asked)), *wanted]
    return with_system(Chat([*asked, *answers], learnt, read_tools(tools)), system)


def instruction_chat(instruction: str, given: str | None, output: str, system: str | None) -> Chat:
    """An instruction and its input, parted by an empty line, as what the user says."""
    asked = f"{instruction}\n\n{given}" if given and not is_blank(given) else instruction
    messages = [{"role": "user", "content": asked}, {"role": ASSISTANT, "content": output}]
    return with_system(Chat(messages, [False, True]), system)


def instruction_prompt(instruction: str, given: str | None, system: str | None) -> str:
    """The prompt that Stanford's Alpaca was trained with (github.com/tatsu-lab/stanford_alpaca); `system` in place of
    its first sentences."""
    filled = given is not None and not is_blank(given)
    intro = system if system and not is_blank(system) else _ALPACA[filled]
    between = f"\n\n### Input:\n{given}" if filled else ""
    return f"{intro}\n\n### Instruction:\n{instruction}{between}\n\n### Response:\n"


def is_written_chat(text: str | None) -> bool:
    """Whether a text is turns, as JSON: of speakers that are known, and with what they say. Other objects have roles, too."""
    turns = _from_json(text)
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        return False
    speak = all(str(turn.get("role", turn.get("from"))).strip().lower() in _ROLES for turn in turns)
    return speak and any({"content", "value"} & turn.keys() for turn in turns)


def without_nulls(value: Any) -> Any:
    """A value without what is null in objects, at every depth: Arrow has such nulls for keys that only other rows have,
    and files that were made of it have them too. In a string of JSON nulls are meant.

    Raises:
        ChatError: When it holds a time, which no template writes.
    """
    if isinstance(value, date | time):
        raise ChatError(f"it holds a time ({value}) and not its text", "write times as text")
    if isinstance(value, Mapping):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def loses_nulls(turns: Any, tools: Any) -> bool:
    """Whether the arguments of calls or the descriptions of functions have nulls that `without_nulls` takes out."""
    calls = [turn.get("tool_calls") for turn in turns if isinstance(turn, Mapping)] if isinstance(turns, list) else []
    return any(part != without_nulls(part) for part in (*calls, tools))


def is_kept_as_json(feature: Any) -> bool:
    """Whether a column or a part of it is kept as JSON, so that what is null in it is null in the file."""
    if isinstance(feature, dict):
        return any(is_kept_as_json(inner) for inner in feature.values())
    inner = getattr(feature, "feature", None)
    return isinstance(feature, datasets.Json) or (inner is not None and is_kept_as_json(inner))


def read_tools(value: Any) -> list[dict[str, Any]] | None:
    """Descriptions of functions as templates expect them: {type: function, function: {name, description, parameters}}.

    Raises:
        ChatError: When they are no list of objects.
    """
    tools = _given(value)
    if tools is None:
        return None
    read = [_from_json(tool) for tool in tools] if isinstance(tools, list) else [tools]
    if not all(isinstance(tool, dict) for tool in read):
        raise ChatError(f"its tools are no list of descriptions of functions: {value!r:.80}", _FORM_OF_TOOLS, "tools")
    return [_tool(tool) for tool in read] or None


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A function in OpenAI's form; what that has beside functions, such as {type: web_search}, as it is."""
    if "function" not in tool and tool.get("type", "function") != "function":
        return tool
    function = _from_json(tool.get("function", {key: value for key, value in tool.items() if key != "type"}))
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or is_blank(name):
        raise ChatError(f"its tools have a function without a name: {tool!r:.80}", _FORM_OF_TOOLS, "tools")
    parameters = _given(function.get("parameters"))
    if not isinstance(parameters, Mapping | None):
        raise ChatError(
            f"its tools have parameters of {name} that are no object: {parameters!r:.80}",
            _FORM_OF_TOOLS,
            "tools",
        )
    own = {**function, **({"parameters": parameters} if "parameters" in function else {})}
    return {**(tool if "function" in tool else {"type": "function"}), "function": own}


def _turns(value: Any) -> tuple[list[Message], list[bool]]:
    """The turns of a list, and which of them are learnt."""
    entries = _from_json(value)
    if isinstance(entries, Mapping) and all(isinstance(column, list) for column in entries.values()):
        # Older versions of datasets keep a list of structures as a structure of lists.
        entries = [dict(zip(entries, turn, strict=True)) for turn in zip(*entries.values(), strict=True)]
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise _no_list(entries)
    messages = [_turn(number, entry) for number, entry in enumerate(entries, start=1)]
    learnt = [
        _is_learnt(number, message["role"], entry)
        for number, (message, entry) in enumerate(zip(messages, entries, strict=True), start=1)
    ]
    return messages, learnt


def _turn(number: int, entry: Mapping[str, Any]) -> Message:
    """A turn with `role`, and `content` or `tool_calls`, without fields that are empty or not for templates."""
    filled = {key: value for key, value in entry.items() if value is not None}
    role = _role(number, filled)
    content = next((filled[key] for key in ("content", "value", "refusal") if key in filled), None)
    turn = {key: value for key, value in filled.items() if key not in (*_NOT_FOR_TEMPLATES, "content", "tool_calls")}
    turn["role"] = role
    calls = _from_json(filled.get("tool_calls"))
    if role == "function_call":
        turn["role"], calls, content = ASSISTANT, _from_json(content), None
    elif not calls and filled.get("function_call"):
        calls = [filled["function_call"]]
    if calls:
        turn["tool_calls"] = [_call(number, call) for call in (calls if isinstance(calls, list) else [calls])]
    text = _text(number, turn["role"], content)
    if text is None and not calls:
        raise _no_text(f"message {number} ({turn['role']})", content, entry)
    # Not empty beside calls: templates ask whether there is any.
    return {"role": turn.pop("role"), **({} if text is None else {"content": text}), **turn}


def _no_list(entries: Any) -> ChatError:
    if isinstance(entries, str) and entries.strip()[:1] in ("{", "["):
        return ChatError(
            "it is text that is no JSON, and not a list of {role, content}",
            "write the chat as JSON, by json.dumps, or the rows as jsonl or parquet: Python's own form, in which pandas writes "
            "lists into csv files, is no JSON",
        )
    return ChatError(
        "it is not a list of {role, content}",
        'write each chat as [{"role": "user", "content": …}, {"role": "assistant", "content": …}]',
    )


def _no_text(message: str, content: Any, entry: Mapping[str, Any]) -> ChatError:
    if content is not None:
        return ChatError(
            f"{message} has the content {content!r:.80}, which is no text", "write it as text, or drop the row"
        )
    if not {"content", "value"} & entry.keys() and len(entry) > 1:
        keys = [key for key, inner in entry.items() if inner is not None]
        others = {*keys} - {"role", "name", *_NOT_FOR_TEMPLATES}
        hint = "rename what is said to content" if others else "fill it in or drop the row"
        return ChatError(f"{message} has no content, only {', '.join(keys)}", hint)
    return ChatError(f"{message} has no content that is text", "fill it in or drop the row")


def _role(number: int, entry: Mapping[str, Any]) -> str:
    written = entry.get("role", entry.get("from"))
    if written is None:
        raise ChatError(
            f"message {number} has no role, only {', '.join(entry)}",
            _REMEDIES.get(str(_kind(entry)), "rename them to role (user, assistant, …) and content"),
        )
    if not isinstance(written, str) or is_blank(written):
        raise ChatError(f"message {number} has the role {written!r:.40}", f"write who speaks: {SPEAKERS}")
    shown = "".join(letter for letter in written if unicodedata.category(letter) != "Cf")
    written = " ".join(shown.replace(":", " ").split())
    known = _ROLES.get(written.lower())
    if known is None and "role" not in entry:
        raise ChatError(
            f"message {number} is from '{written}', which is none of {', '.join(_ROLES)}", "rename it to one of them"
        )
    return written if known is None else known or written.lower()


def unknown_roles(chat: Chat) -> set[str]:
    """Roles that are not among those that templates usually know."""
    return {turn["role"] for turn in chat.messages} - _ROLES.keys()


def role_meant(role: str) -> str:
    """`; did you mean …?`, or nothing."""
    return did_you_mean(role, (name for name, other in _ROLES.items() if not other))


def _is_learnt(number: int, role: str, entry: Mapping[str, Any]) -> bool:
    """By OpenAI's `weight`, which is 0 or 1, and by `train`, where the assistant speaks."""
    if role != ASSISTANT:
        return False
    for key in ("weight", "train"):
        value = entry.get(key)
        if value is None or (isinstance(value, float) and math.isnan(value)):  # as pandas writes what is missing
            continue
        if value not in (0, 1):
            raise ChatError(
                f"message {number} has {key} {value!r}, which is neither 0 nor 1",
                f"set {key} to 1, or to 0 for a turn that is not to be learnt",
            )
        if not value:
            return False
    return True


def _text(number: int, role: str, content: Any) -> str | None:
    """Content as text: a string, the texts of a list of parts, or what a function gave, as JSON."""
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, str) or _kind(part) for part in content):
        return "".join(_part(number, role, part) for part in content)
    return json.dumps(content, ensure_ascii=False) if role == "tool" else None


def _kind(part: Any) -> str | None:
    if not isinstance(part, Mapping):
        return None
    return part.get("type") or next((key for key in ("text", *_REMEDIES) if key in part), None)


def _part(number: int, role: str, part: Any) -> str:
    if isinstance(part, str):
        return part
    if _kind(part) not in _TEXTS:
        raise ChatError(
            f"message {number} ({role}) has a part of type {_kind(part)}, and only text can be learnt",
            _REMEDIES.get(str(_kind(part)), "drop the row"),
        )
    text = part.get("refusal" if _kind(part) == "refusal" else "text")
    if not isinstance(text, str):
        raise ChatError(
            f"message {number} ({role}) has a part without a text: {part!r:.80}", "write {type: text, text: …}"
        )
    return text


def _call(number: int, call: Any) -> dict[str, Any]:
    """A call of a function whose arguments are an object, as templates want them."""
    call = _from_json(call)
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ChatError(
            f"message {number} has a call without the name of a function: {call!r:.80}",
            "write calls as {type: function, function: {name, arguments}}",
        )
    arguments = _given(function.get("arguments")) or {}
    if not isinstance(arguments, Mapping):
        raise ChatError(
            f"message {number}: the arguments of {function['name']} are no JSON object: {arguments!r:.80}",
            "correct them or drop the row",
        )
    outer = {key: value for key, value in call.items() if value is not None and key not in _FUNCTION}
    return {"type": "function", **outer, "function": {"name": function["name"], "arguments": dict(arguments)}}


def _given(value: Any) -> Any:
    """What JSON holds; None for nothing, of which json.dumps makes null."""
    return None if isinstance(value, str) and value.strip() in ("", "null") else _from_json(value)


def _from_json(value: Any) -> Any:
    """What a JSON string holds, where it is one of an object or a list."""
    if not isinstance(value, str) or value.strip()[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
