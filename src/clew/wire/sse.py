"""Server-sent events as bytes."""

from __future__ import annotations

from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


def sse(event: str, data: Any) -> bytes:
    """One event; `data` is an object, or JSON already encoded."""
    encoded = data if isinstance(data, bytes) else _encode(data)
    return b"event: %b\ndata: %b\n\n" % (event.encode(), encoded)


def sse_template(event: str, start: bytes, end: bytes) -> bytes:
    """An event that is said often: `template % json` puts `json` between `start` and `end`.

    Both are parts of a JSON object, without a percent sign but for other `%b` and `%d`.
    """
    return b"event: %b\ndata: %b%%b%b\n\n" % (event.encode(), start, end)
