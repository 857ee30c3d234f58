"""Windows and forks on the wire: Clew's own additions."""

from __future__ import annotations

from typing import Any

import msgspec

from clew.core.threads import Thread
from clew.wire.checks import Id, Integer, Nullable, Record, Text
from clew.wire.fields import METADATA
from clew.wire.items import EVERYTHING, encode_item

FORK = Record({"at": Nullable(Id()), "metadata": METADATA})
"""`at` is the newest item the fork shares; without it, all are shared."""

GET = Record({"last_messages": Integer(1), "max_tokens": Integer(1), "model": Text(256, 1)})
"""`model` is whose tokens are counted; without it, those of OpenAI's newest models."""


def encode_window(window: Any, thread: Thread, tokens: int, exact: bool) -> dict[str, Any]:
    """The window object; `window` is a `clew.context.windows.Window`, `tokens` what it costs.

    `compacted_through` is the seq up to which a compaction stands for the log.
    """
    return {
        "object": "thread.window",
        "thread_id": f"thread_{thread.key}",
        "revision": thread.revision,
        "first_seq": window.first_seq,
        "last_seq": window.last_seq,
        "left_out": window.left_out,
        "cut": window.cut,
        "compacted_through": window.compacted or None,
        "tokens": tokens,
        "tokens_exact": exact,
        "data": [msgspec.Raw(encode_item(item, EVERYTHING)) for item in window.items],
    }
