"""Clew: a conversation-thread store and server that you own."""

from __future__ import annotations

from clew.embedded import Clew, open

__all__ = ["Clew", "__version__", "open"]
__version__ = "0.1.0"
