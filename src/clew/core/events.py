"""What happens while a run goes on. Wire faces turn these into their own stream events."""

from __future__ import annotations

import msgspec

from clew.core.items import Item
from clew.core.runs import Run


class RunChanged(msgspec.Struct):
    """The run has a new status, already on disk."""

    run: Run


class ItemBegan(msgspec.Struct):
    """The model began an output item: a message, or a function call with its name."""

    index: int
    id: str
    kind: str
    created_at: int
    call_id: str | None = None
    name: str | None = None


class TextAdded(msgspec.Struct):
    """More text of the message at `index`."""

    index: int
    id: str
    text: str


class ArgumentsAdded(msgspec.Struct):
    """More arguments of the function call at `index`."""

    index: int
    id: str
    arguments: str


class ItemEnded(msgspec.Struct):
    """The item at `index` as it goes into the log (with the run's next change)."""

    index: int
    item: Item


Event = RunChanged | ItemBegan | TextAdded | ArgumentsAdded | ItemEnded
