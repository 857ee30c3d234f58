"""Compactions: one item that stands, in a window, for what came before it. The log stays whole.

Our own holds a summary in plain sight: `encrypted_content` is `clew:summary:` and the base64url of
its UTF-8. One that an upstream made is opaque and goes back to that upstream as it is.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from clew.core.items import Item

SEAL = "clew:summary:"


def compaction(summary: str, through: int | None = None) -> dict[str, Any]:
    """The canonical item; `through` is the seq up to which it stands for its thread's items."""
    data = {"type": "compaction", "encrypted_content": seal(summary)}
    return data if through is None else data | {"through": through}


def seal(text: str) -> str:
    return SEAL + base64.urlsafe_b64encode(text.encode()).decode("ascii")


def summary_of(item: Item) -> str | None:
    """The summary in a compaction of ours; None for what is none, or is another's."""
    content = item.data().get("encrypted_content") if item.kind == "compaction" else None
    if not isinstance(content, str) or not content.startswith(SEAL):
        return None
    try:
        return base64.b64decode(content.removeprefix(SEAL), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def through(item: Item) -> int:
    """The seq up to which a compaction stands for the log it is in.

    Only a run knows the seqs of its own log: one that a client sent, or an upstream made, stands
    for everything before it.
    """
    given = item.data().get("through") if item.run is not None else None
    return given if isinstance(given, int) and 0 <= given < item.seq else item.seq - 1
