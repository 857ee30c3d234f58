"""Server-sent events as bytes."""

from __future__ import annotations

from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


def sse(event: str, data: Any, id: bytes) -> bytes:
    """One event; `data` is an object, or JSON already encoded. Who comes back to a stream names the
    `id` of the last event it got."""
    encoded = data if isinstance(data, bytes) else _encode(data)
    return b"event: %b\nid: %b\ndata: %b\n\n" % (event.encode(), id, encoded)


def sse_template(event: str, start: bytes, end: bytes, id: bytes = b"%d") -> bytes:
    """An event that is said often: `template % (number, json)` puts the number into the `id`, and
    `json` between `start` and `end`.

    Both are parts of a JSON object, without a percent sign but for other `%b` and `%d`.
    """
    return b"event: %b\nid: %b\ndata: %b%%b%b\n\n" % (event.encode(), id, start, end)
