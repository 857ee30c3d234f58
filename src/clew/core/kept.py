"""Events as they are kept: those of a run that came together, in a few bytes.

Deltas that follow each other in one place are kept as one entry that still knows where each began,
and what cannot change in a run is left to the run itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from clew.core.events import (
    AnnotationAdded,
    ArgumentsAdded,
    Event,
    ItemBegan,
    ItemEnded,
    ItemProgressed,
    RunChanged,
    TextAdded,
    TextKind,
)
from clew.core.runs import Run


class _Texts(msgspec.Struct, tag="Texts"):
    """A number of TextAdded."""

    index: int
    id: str
    kind: TextKind
    part: int
    texts: list[str]


class _Arguments(msgspec.Struct, tag="Arguments"):
    """A number of ArgumentsAdded."""

    index: int
    id: str
    pieces: list[str]


_Entry = (
    RunChanged
    | ItemBegan
    | _Texts
    | AnnotationAdded
    | _Arguments
    | ItemProgressed
    | ItemEnded
)  # fmt: skip

_KNOWN: dict[str, Any] = {"instructions": None, "tools": [], "settings": {}, "metadata": {}}
"""What no event changes in a run, and what is kept in its place."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Entry]).decode


def pack(events: Iterable[Event]) -> bytes:
    return _encode(_entries(events))


def unpack(packed: bytes, run: Run) -> list[Event]:
    """The events of this run, with what the run itself knows of it."""
    events: list[Event] = []
    for entry in _decode(packed):
        events += _events(entry, run)
    return events


def _entries(events: Iterable[Event]) -> list[_Entry]:
    entries: list[_Entry] = []
    for event in events:
        last = entries[-1] if entries else None
        if isinstance(event, TextAdded):
            place = event.index, event.id, event.kind, event.part
            if isinstance(last, _Texts) and place == (last.index, last.id, last.kind, last.part):
                last.texts.append(event.text)
            else:
                entries.append(_Texts(*place, [event.text]))
        elif isinstance(event, ArgumentsAdded):
            if isinstance(last, _Arguments) and (last.index, last.id) == (event.index, event.id):
                last.pieces.append(event.arguments)
            else:
                entries.append(_Arguments(event.index, event.id, [event.arguments]))
        elif isinstance(event, RunChanged):
            entries.append(RunChanged(replace(event.run, **_KNOWN)))
        else:
            entries.append(event)
    return entries


def _events(entry: _Entry, run: Run) -> Iterator[Event]:
    match entry:
        case _Texts():
            for text in entry.texts:
                yield TextAdded(entry.index, entry.id, text, entry.kind, entry.part)
        case _Arguments():
            for piece in entry.pieces:
                yield ArgumentsAdded(entry.index, entry.id, piece)
        case RunChanged():
            known = {name: getattr(run, name) for name in _KNOWN}
            yield RunChanged(replace(entry.run, **known))
        case _:
            yield entry
