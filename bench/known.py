"""Figures of peers that a run did not measure itself.

Measured on 2026-11-23 on Debian 12 with 2 cores and a virtual disk, each with its own default
durability. Absolute figures move by a third from one machine to the next: rows that use one say so.
"""

from __future__ import annotations

import msgspec


class Known(msgspec.Struct, frozen=True):
    figure: float
    of: str

    @property
    def name(self) -> str:
        return f"{self.of}, figure of 2026-11-23"


OGX_APPEND = Known(118, "OGX 1.5 Conversations")
"""Appends per second over 32 connections."""

OGX_START = Known(4.8, "OGX 1.5")
"""Seconds."""

OGX_MEMORY = Known(142, "OGX 1.5")
"""MB resident after start."""

AGENTS_8_WRITERS = Known(2_700, "openai-agents SQLiteSession")
"""Appends per second over 100 threads, WAL and synchronous=FULL."""

AGENTS_1_WRITER = Known(1000 / 0.29, "openai-agents SQLiteSession")
"""Appends per second on a thread of 1,000 messages (p50 0.29 ms)."""

LANGGRAPH_AT_1000 = Known(1000 / 15, "LangGraph SqliteSaver")
"""Appends per second on a thread of 1,000 messages (p50 15 ms)."""
