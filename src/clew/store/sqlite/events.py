"""What happened in runs, kept so that a stream can be told again, in SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from clew.store.events import News
from clew.store.sqlite.engine import SQL, Engine
from clew.store.sqlite.failures import reads
from clew.store.sqlite.locks import Lock

PRUNED_AT_ONCE = 500
"""Old rows that go with one append: more than it adds, unless it adds for more runs than that."""


class EventVerbs(Engine):
    async def append_events(self, news: Sequence[News], now_ms: int) -> None:
        rows = [msgspec.structs.asdict(one) for one in news]
        old = {"now": now_ms, "limit": PRUNED_AT_ONCE}

        def act() -> None:
            self.db.executemany(SQL["append_events"], rows)
            self.db.execute(SQL["delete_old_events"], old)

        await self.write(act)

    @reads
    async def list_events(
        self, project: str, thread: str, run: str, turn: int, *, first: int = 0
    ) -> list[tuple[int, bytes]]:
        asked = {"project": project, "thread": thread, "run": run, "turn": turn, "first": first}
        rows: list[Any] = self.snapshot().execute(SQL["list_events"], asked).fetchall()
        return rows


def forget(db: apsw.Connection, found: Lock, run: str | None) -> None:
    """Delete the events of a run of which an item is erased; what comes later is not kept."""
    if run is not None:
        db.execute(SQL["forget_run"], {"no": found.no, "run": run})
        db.execute(SQL["delete_run_events"], {"no": found.no, "run": run})
