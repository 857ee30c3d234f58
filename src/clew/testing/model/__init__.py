"""A store that is plain to see through: dicts of lists, each fork an independent copy.

It is the oracle that engines are compared with in tests, never an engine: nothing is durable, and
everything costs what it likes. What goes in and out is copied, so nobody shares a thing with it.
"""

from __future__ import annotations

from clew.testing.model.assistants import AssistantVerbs
from clew.testing.model.items import ItemVerbs
from clew.testing.model.runs import RunVerbs
from clew.testing.model.threads import ThreadVerbs

__all__ = ["ModelStore"]


class ModelStore(ThreadVerbs, ItemVerbs, RunVerbs, AssistantVerbs):
    """The `Store` verbs over dicts."""

    async def close(self) -> None:
        """There is nothing to finish and nothing to let go of."""
