"""Vector stores: files cut into chunks that can be searched, in SQLite."""

from __future__ import annotations

from clew.store.sqlite.engine import Engine


class VectorStoreVerbs(Engine):
    """Vector stores: files cut into chunks that can be searched."""
