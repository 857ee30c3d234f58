"""Vector stores: files cut into chunks that can be searched."""

from __future__ import annotations

from typing import Protocol


class VectorStoreVerbs(Protocol):
    """Vector stores: files cut into chunks that can be searched."""
