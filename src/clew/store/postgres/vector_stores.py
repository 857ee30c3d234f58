"""Vector stores: files cut into chunks that can be searched, in PostgreSQL."""

from __future__ import annotations

from clew.store.postgres.engine import Engine


class VectorStoreVerbs(Engine):
    """Vector stores: files cut into chunks that can be searched."""
