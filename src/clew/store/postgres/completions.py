"""Stored chat completions, in PostgreSQL."""

from __future__ import annotations

from clew.store.postgres.engine import Engine


class CompletionVerbs(Engine):
    """Stored chat completions."""
