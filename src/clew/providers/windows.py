"""What all dialects do with a window before they put it in their own words. Pure.

What a dialect cannot say is refused by name, with exceptions that carry nothing another vendor's
model could read: `reasoning` (sealed for the model that wrote it) and `configuration_update` are
left out. A compaction of ours is a message that says what it is; one that an upstream sealed can
only go back to such an upstream, and leaving it out would lose the conversation it stands for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from clew.core.compactions import summary_of
from clew.core.items import CALLS, OUTPUTS, Item, message
from clew.providers.provider import ProviderError

SEALED = frozenset({"reasoning", "configuration_update"})
"""Items that only the model that wrote them can read."""

TEXT_PARTS = frozenset({"input_text", "output_text", "text", "summary_text"})

SUMMARY = "The conversation before this point, in summary:\n\n"

T = TypeVar("T")


class Dialect(msgspec.Struct, frozen=True):
    """How a way of speaking to models is called in refusals; `keeps` are sealed items it reads."""

    noun: str
    keeps: frozenset[str] = frozenset()

    def cannot_carry(self, what: str) -> ProviderError:
        return ProviderError("invalid_prompt", f"{self.noun} cannot carry {what}.")

    def readable(self, items: Iterable[Item]) -> list[Item]:
        """The window without what nobody but its writer can read."""
        return list(self._readable(items))

    def _readable(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            if item.kind == "compaction":
                yield self._summed_up(item)
            elif item.kind in self.keeps or item.kind not in SEALED:
                yield item

    def _summed_up(self, item: Item) -> Item:
        summary = summary_of(item)
        if summary is not None:
            return message(item.id, "user", SUMMARY + summary, item.created_at, item.run)
        if "compaction" in self.keeps:
            return item
        raise self.cannot_carry(f"a compaction that another vendor sealed ({item.id})")

    def joined(self, parts: Sequence[Mapping[str, Any]], where: str) -> str:
        """The texts of parts that are all text."""
        texts = []
        for part in parts:
            text = text_of(part)
            if text is None:
                raise self.cannot_carry(f"a part of type '{part['type']}' in {where}")
            texts.append(text)
        return "\n".join(texts)

    def refuse_strays(self, outputs: Mapping[str, deque[T]]) -> None:
        """Outputs that no call took."""
        for call_id, left in outputs.items():
            if left:
                what = f"an output of call '{call_id}', which the window does not contain"
                raise self.cannot_carry(what)


def text_of(part: Mapping[str, Any]) -> str | None:
    """The text of a part; None when it is of another kind."""
    if part["type"] in TEXT_PARTS:
        return str(part["text"])
    return str(part["refusal"]) if part["type"] == "refusal" else None


def named(part: Mapping[str, Any]) -> str:
    """What the part is and how it points at its content, since that is often what is wrong."""
    pointers = [name for name in ("file_id", "file_url") if part.get(name)]
    return f"a part of type '{part['type']}'" + "".join(f" by {name}" for name in pointers[:1])


def outputs_of(items: Iterable[Item], written: Callable[[Item], T]) -> dict[str, deque[T]]:
    """Call id -> its outputs as `written`, in order: servers do reuse call ids."""
    outputs: dict[str, deque[T]] = {}
    for item in items:
        if item.kind in OUTPUTS:
            outputs.setdefault(item.data()["call_id"], deque()).append(written(item))
    return outputs


def is_call(item: Item) -> bool:
    return item.kind in CALLS


def payload(data: Mapping[str, Any]) -> str:
    """What a call was for: the arguments of a function, the input of a custom tool."""
    return str(data.get("arguments") or data.get("input") or "")
