"""What the scripted model does without a rule: it answers from the thread itself. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from clew.core.items import Item
from clew.providers.provider import ModelRequest, ProviderError
from clew.providers.recall import recall
from clew.providers.schema_examples import example
from clew.providers.script import Answer, ScriptedCall
from clew.providers.turn import Output, Turn

WHAT_I_AM = "I am Clew's scripted stand-in, not a language model."

QUOTE_MAX = 1000
"""Characters of a message that are said again."""


def stand_in(request: ModelRequest, turn: Turn) -> Answer:
    """State the outputs that came in, else make the call asked for, else answer in words."""
    if turn.outputs:
        return Answer(" ".join([WHAT_I_AM, *map(_stated, turn.outputs)]))
    call = _call_asked_for(request)
    if call is not None:
        return Answer(calls=[call])
    return Answer(f"{WHAT_I_AM} {_looked_up(request, turn) or _repeated(request.items, turn)}")


def _stated(output: Output) -> str:
    return f"The function {output.name or '(unknown)'} gave back: {_quoted(output.text)}"


def _call_asked_for(request: ModelRequest) -> ScriptedCall | None:
    """The call that `tool_choice` insists on, with the least its schema allows."""
    choice = request.tool_choice
    functions = {tool["name"]: tool for tool in request.tools if tool.get("type") == "function"}
    if choice in (None, "auto", "none") or not functions:
        return None
    name = choice["name"] if isinstance(choice, dict) else next(iter(functions))
    if name not in functions:
        raise ProviderError("invalid_prompt", f"tool_choice names '{name}', which is no tool here.")
    arguments = example(functions[name].get("parameters") or {"type": "object"})
    return ScriptedCall(name, arguments if isinstance(arguments, dict) else {})


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
