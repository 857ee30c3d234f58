"""Stored chat completions."""

from __future__ import annotations

from typing import Protocol


class CompletionVerbs(Protocol):
    """Stored chat completions."""
