"""What happened in runs, kept so that a stream can be told again, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clew.store.events import News
from clew.store.postgres.engine import Engine, Transaction

PRUNED_AT_ONCE = 500
"""Old rows that go with one append: more than it adds, unless it adds for more runs than that."""


class EventVerbs(Engine):
    async def append_events(self, news: Sequence[News], now_ms: int) -> None:
        columns: dict[str, Any] = {
            "threads": [one.thread for one in news],
            "projects": [one.project for one in news],
            "runs": [one.run for one in news],
            "turns": [one.turn for one in news],
            "firsts": [one.first for one in news],
            "untils": [one.until for one in news],
            "events": [one.events for one in news],
            "attempts": [one.attempt for one in news],
        }

        async def act(tx: Transaction) -> None:
            await tx.run("append_events", **columns)
            await tx.run("delete_old_events", now=now_ms, limit=PRUNED_AT_ONCE)

        await self.write(act)

    async def list_events(
        self, project: str, thread: str, run: str, turn: int, *, first: int = 0
    ) -> list[tuple[int, bytes]]:
        asked = {"project": project, "thread": thread, "run": run}
        rows = await self.read("list_events", **asked, turn=turn, first=first)
        return [(number, events) for number, events in rows]


async def forget(tx: Transaction, thread: str, run: str | None) -> None:
    """Delete the events of a run of which an item is erased; what comes later is not kept."""
    if run is not None:
        await tx.run("forget_run", thread=thread, run=run)
        await tx.run("delete_run_events", thread=thread, run=run)
