"""What happened in runs, kept so that a stream can be told again, in SQLite."""

from __future__ import annotations

from clew.store.sqlite.engine import Engine


class EventVerbs(Engine):
    """What happened in runs, kept so that a stream can be told again."""
