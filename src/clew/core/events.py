"""What happens while a run goes on. Wire faces turn these into their own stream events.

The events of a run are numbered from 0 and kept, so that a stream can be told again from any of
them on.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from clew.core.items import Item
from clew.core.runs import Run

TextKind = Literal["output_text", "refusal", "reasoning_text", "summary_text"]


class RunChanged(msgspec.Struct, tag=True):
    """The run has a new status, already on disk."""

    run: Run


class ItemBegan(msgspec.Struct, tag=True):
    """The model began an output item.

    `call_id` and `name` are those of a function or custom tool call; `data` is the whole item as
    it began, where the upstream itself works on it (a web search, an MCP call, …).
    """

    index: int
    id: str
    kind: str
    created_at: int
    call_id: str | None = None
    name: str | None = None
    data: dict[str, Any] | None = None


class TextAdded(msgspec.Struct, tag=True):
    """More text in a part of the message, or of the reasoning, at `index`."""

    index: int
    id: str
    text: str
    kind: TextKind = "output_text"
    part: int = 0


class AnnotationAdded(msgspec.Struct, tag=True):
    """A citation in a part of the message at `index`."""

    index: int
    id: str
    annotation: dict[str, Any]
    part: int = 0


class ArgumentsAdded(msgspec.Struct, tag=True):
    """More arguments of the function call, or input of the custom tool call, at `index`."""

    index: int
    id: str
    arguments: str


class ItemProgressed(msgspec.Struct, tag=True):
    """The item at `index`, of type `kind`, came to a `stage` ("searching", "code.delta", …)."""

    index: int
    id: str
    kind: str
    stage: str
    data: dict[str, Any] = {}


class ItemEnded(msgspec.Struct, tag=True):
    """The item at `index` as it goes into the log (with the run's next change)."""

    index: int
    item: Item


Event = (
    RunChanged
    | ItemBegan
    | TextAdded
    | AnnotationAdded
    | ArgumentsAdded
    | ItemProgressed
    | ItemEnded
)
