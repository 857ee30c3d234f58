"""Files and uploads: bytes that people keep here, in pieces."""

from __future__ import annotations

from typing import Protocol


class FileVerbs(Protocol):
    """Files and uploads: bytes that people keep here, in pieces."""
