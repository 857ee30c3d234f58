"""What happened in runs, kept so that a stream can be told again."""

from __future__ import annotations

from typing import Protocol


class EventVerbs(Protocol):
    """What happened in runs, kept so that a stream can be told again."""
