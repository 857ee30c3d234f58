"""Idempotency keys: an answer recorded with the change it tells of, and said again on a retry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from clew.core.errors import ClewError, Replayed


class Once(msgspec.Struct):
    """An `Idempotency-Key`: the answer is recorded with the change and said again on a retry.

    `fingerprint` tells a retry from another request with the same key. `encode` turns what the
    verb returns into the answer, never an empty one, inside the transaction. A key is known by the
    thread it came for, and by the whole project where it came for none, or `project_wide` says so;
    it is kept for a day, or until the thread its answer is about is erased. An answer that shows
    an item goes with the item; its key stays used (ClewError("not_found")).
    """

    key: str
    fingerprint: str
    now_ms: int
    encode: Callable[[Any], bytes]
    project_wide: bool = False


ANSWERS_KEPT_MS = 86_400_000


def said(answer: bytes) -> Exception:
    """What to raise for a key that was used: its answer, or that what it showed was erased."""
    if answer:
        return Replayed(answer)
    message = "What was answered to this Idempotency-Key has been erased since."
    return ClewError("not_found", message, "Idempotency-Key", "erased")
