"""Files and uploads: bytes that people keep here, in pieces, in SQLite."""

from __future__ import annotations

from clew.store.sqlite.engine import Engine


class FileVerbs(Engine):
    """Files and uploads: bytes that people keep here, in pieces."""
