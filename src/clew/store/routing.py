"""The routing rules of a project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from clew.core.routing import Routing, Rule
from clew.store.once import Once


class RoutingVerbs(Protocol):
    """Which assistant answers a run that names none: an ordered list, replaced as a whole."""

    async def get_routing(self, project: str) -> Routing:
        """The rules as they stand; none, at revision 0, where none were ever put."""
        ...

    async def put_routing(
        self,
        project: str,
        rules: Sequence[Rule],
        now_ms: int,
        *,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Routing:
        """Replace all rules, at the next revision; ClewError("stale") for another `if_revision`.

        NotFound("assistant") when a rule names one that the project does not have.
        """
        ...
