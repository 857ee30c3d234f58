"""What the scripted model does without a rule: it answers from the thread itself. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from clew.core.items import Item
from clew.providers.provider import ModelRequest, ProviderError
from clew.providers.recall import recall
from clew.providers.schema_examples import example
from clew.providers.script import Answer, ScriptedCall
from clew.providers.turn import Output, Turn

WHAT_I_AM = "I am Clew's scripted stand-in, not a language model."

CALLED = frozenset({"function", "custom"})
"""Types of tools that are called by name."""

_FENCED = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)

QUOTE_MAX = 1000
"""Characters of a message that are said again."""


def stand_in(request: ModelRequest, turn: Turn) -> Answer:
    """State the outputs that came in, else make the call asked for, else answer in words; the
    words in the format asked for."""
    if turn.outputs:
        return Answer(_formatted(request, " ".join([WHAT_I_AM, *map(_stated, turn.outputs)])))
    call = _call_asked_for(request, turn)
    if call is not None:
        return Answer(calls=[call])
    said = _looked_up(request, turn) or _repeated(request.items, turn)
    return Answer(_formatted(request, f"{WHAT_I_AM} {said}"))


def _formatted(request: ModelRequest, text: str) -> str:
    """The text as it is, as a JSON object that holds it, or the least that a schema allows."""
    wanted = request.text_format or {"type": "text"}
    if wanted["type"] == "text":
        return text
    schema = wanted.get("schema") or {"type": "object"}
    held = {"answer": text} if wanted["type"] == "json_object" else example(schema)
    return msgspec.json.encode(held).decode()


def _stated(output: Output) -> str:
    return f"The function {output.name or '(unknown)'} gave back: {_quoted(output.text)}"


def _call_asked_for(request: ModelRequest, turn: Turn) -> ScriptedCall | None:
    """The call that `tool_choice` insists on, with the least its schema allows; a search is for the
    user's last words, and code is what they hold."""
    choice = request.tool_choice
    tools = {tool["name"]: tool for tool in request.tools if tool.get("type") in CALLED}
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        allowed = {tool.get("name") for tool in choice["tools"]}
        tools = {name: tool for name, tool in tools.items() if name in allowed}
        choice = choice["mode"]
    if choice in (None, "auto", "none") or not tools:
        return None
    name = choice["name"] if isinstance(choice, dict) else next(iter(tools))
    if name not in tools:
        raise ProviderError("invalid_prompt", f"tool_choice names '{name}', which is no tool here.")
    if tools[name]["type"] == "custom":
        return ScriptedCall(name, input="?")
    arguments = example(tools[name].get("parameters") or {"type": "object"})
    if not isinstance(arguments, dict):
        return ScriptedCall(name)
    return ScriptedCall(name, arguments | _meant(name, arguments, turn.text))


def _meant(function: str, arguments: dict[str, Any], text: str) -> dict[str, Any]:
    """What the user's words are to one of Clew's own tools."""
    if function == "file_search" and "queries" in arguments:
        return {"queries": [text]}
    if function == "code_interpreter" and "code" in arguments:
        fenced = _FENCED.search(text)
        return {"code": fenced[1] if fenced else text}
    return {}


def _looked_up(request: ModelRequest, turn: Turn) -> str | None:
    fact = recall(turn.text, turn.earlier)
    if fact is None:
        return None
    place = fact.item.seq or request.items.index(fact.item) + 1
    return (
        f"From what you wrote earlier: {fact.value}. You said it in item {place} of this thread: "
        f'"{_quoted(fact.sentence)}" I know nothing beyond this thread.'
    )


def _repeated(items: Sequence[Item], turn: Turn) -> str:
    count = sum(item.is_message for item in items)
    seen = f"I see {count} message{'' if count == 1 else 's'} of this thread."
    return f'{seen} Your last one says: "{_quoted(turn.text)}"' if turn.text else seen


def _quoted(text: str) -> str:
    return text if len(text) <= QUOTE_MAX else text[:QUOTE_MAX] + "…"
