"""What a window asks of the model: the user's last words, or the outputs of its calls. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from clew.core.items import CALLS, OUTPUTS, Item
from clew.providers.provider import ModelRequest


class Output(msgspec.Struct, frozen=True):
    """What a function gave back; `name` is "" when its call is not in the window."""

    name: str
    text: str


class Turn(msgspec.Struct, frozen=True):
    """The end of a window. `outputs` are there when the newest items are outputs of calls."""

    model: str
    text: str
    earlier: Sequence[Item]
    outputs: Sequence[Output]

    @property
    def tool(self) -> str | None:
        """The function whose output is the newest item; None when the newest is no output."""
        return self.outputs[-1].name if self.outputs else None

    @property
    def output(self) -> str:
        return self.outputs[-1].text if self.outputs else ""


def turn_of(request: ModelRequest) -> Turn:
    """The turn a request asks for; `earlier` are the items before the user's last message."""
    items = request.items
    last = max((at for at, item in enumerate(items) if item.kind == "user"), default=None)
    if last is None:
        return Turn(request.model, "", (), newest_outputs(items))
    return Turn(request.model, items[last].text(), items[:last], newest_outputs(items))


def newest_outputs(items: Sequence[Item]) -> list[Output]:
    """The outputs at the end of the window, in order."""
    begin = len(items)
    while begin and items[begin - 1].kind in OUTPUTS:
        begin -= 1
    if begin == len(items):
        return []
    calls = [item.data() for item in items[:begin] if item.kind in CALLS]
    names = {call["call_id"]: call["name"] for call in calls}
    outputs = [item.data() for item in items[begin:]]
    return [Output(names.get(out["call_id"], ""), output_text(out["output"])) for out in outputs]


def output_text(output: str | Sequence[dict[str, Any]]) -> str:
    """The text of a function's output, which may come in parts."""
    if isinstance(output, str):
        return output
    return "\n".join(part["text"] for part in output if part.get("text"))
