"""Stored chat completions, in SQLite."""

from __future__ import annotations

from clew.store.sqlite.engine import Engine


class CompletionVerbs(Engine):
    """Stored chat completions."""
