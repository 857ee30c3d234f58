"""Files and uploads: bytes that people keep here, in pieces, in PostgreSQL."""

from __future__ import annotations

from clew.store.postgres.engine import Engine


class FileVerbs(Engine):
    """Files and uploads: bytes that people keep here, in pieces."""
