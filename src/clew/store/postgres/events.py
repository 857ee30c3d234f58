"""What happened in runs, kept so that a stream can be told again, in PostgreSQL."""

from __future__ import annotations

from clew.store.postgres.engine import Engine


class EventVerbs(Engine):
    """What happened in runs, kept so that a stream can be told again."""
