"""Compaction plans: when a window is compacted, and what a summary takes the place of. Pure.

One plain policy: once the prompt of a turn costs more than the threshold, everything is summarised
but what the turn is to answer and, before that, the newest items that cost no more than a quarter
of the threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clew.context.tokens import texts_of
from clew.context.windows import Cost
from clew.core.compactions import summary_of
from clew.core.items import ANSWERED, Item, pair_of

KEPT_SHARE = 4
"""The part of the threshold that stays as it was said is one in so many."""


def threshold_of(settings: Mapping[str, Any]) -> int | None:
    """The tokens from which on a run wants its window compacted; None for never."""
    for entry in settings.get("context_management") or ():
        if entry.get("type") == "compaction" and entry.get("compact_threshold"):
            return int(entry["compact_threshold"])
    return None


def plan(items: Sequence[Item], first_seq: int, cost: Cost, kept_max: int) -> int | None:
    """The seq up to which a window's items are to be summarised; None when nothing is to gain.

    What has `first_seq` or comes later is the turn's own input. Calls stay with their outputs and
    reasoning with what follows it, on either side of the cut.
    """
    own = next((place for place, item in enumerate(items) if item.seq >= first_seq), len(items))
    cuts = [cut for cut in _cuts(items) if cut <= own]
    if not cuts:
        return None
    chosen = cuts[-1]
    kept = sum(map(cost, items[chosen:]))
    for cut in reversed(cuts[:-1]):
        kept += sum(map(cost, items[cut:chosen]))
        if kept > kept_max:
            break
        chosen = cut
    return items[chosen - 1].seq


def _cuts(items: Sequence[Item]) -> Iterator[int]:
    """Places where a window may be cut in two so that nothing that belongs together is parted.

    A window that begins with a compaction is not cut right after it: that would only sum it up.
    """
    waiting: set[tuple[str, str]] = set()
    begin = 1 if items and items[0].kind == "compaction" else 0
    for place, item in enumerate(items[begin:], begin):
        pair = pair_of(item)
        if pair is not None:
            (waiting.add if item.kind in ANSWERED else waiting.discard)(pair)
        if not waiting and item.kind != "reasoning":
            yield place + 1


def transcript(items: Sequence[Item]) -> str:
    """A window as a text to be read through, one paragraph for each item."""
    return "\n\n".join(filter(None, map(_paragraph, items)))


def _paragraph(item: Item) -> str:
    if item.is_message:
        return f"{item.kind}: {item.text()}"
    summary = summary_of(item)
    if summary is not None:
        return f"summary of what came before: {summary}"
    if item.kind in ("reasoning", "compaction"):
        return ""
    return f"{item.kind}: {' '.join(texts_of(item.data()))}"
