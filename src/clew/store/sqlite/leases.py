"""Who works on which run, in SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from clew.core.runs import Call, Lease, Run
from clew.store.runs import Due
from clew.store.sqlite.engine import SQL, Engine, text
from clew.store.sqlite.failures import reads
from clew.store.sqlite.locks import lock
from clew.store.sqlite.run_rows import read_run, to_run


class LeaseVerbs(Engine):
    async def claim_run(self, project: str, thread: str, lease: Lease, now_ms: int) -> Run | None:
        def act() -> Run | None:
            found = lock(self.db, project, thread)
            asked = {"no": found.no, "run": found.active_run, "now": now_ms}
            row: Any = self.db.execute(SQL["get_due"], asked).fetchone()
            if row is None:
                return None
            run = to_run(*row)
            run = replace(run, attempts=run.attempts + 1)
            taken = {"no": found.no, "run": run.key, "body": text(run)}
            taken |= {"holder": lease.holder, "until": lease.until}
            self.db.execute(SQL["claim_run"], taken)
            return run

        return await self.write(act)

    async def hold_runs(self, runs: Sequence[Due], lease: Lease) -> dict[str, str]:
        held = {"holder": lease.holder, "until": lease.until}

        def act() -> dict[str, str]:
            rows: list[Any] = []
            for one in runs:
                asked = held | {"thread": one.thread, "run": one.run}
                rows += self.db.execute(SQL["hold_run"], asked).fetchall()
            return dict(rows)

        return await self.write(act)

    @reads
    async def list_due(self, now_ms: int, limit: int) -> list[Due]:
        asked = {"now": now_ms, "limit": limit}
        return [Due(*row) for row in self.snapshot().execute(SQL["list_due"], asked)]

    @reads
    async def list_calls(self, project: str, thread: str, run: str) -> list[Call]:
        db = self.snapshot()
        found = lock(db, project, thread)
        read_run(db, found, run)
        rows: list[Any] = db.execute(SQL["list_calls"], {"no": found.no, "run": run}).fetchall()
        return [msgspec.json.decode(body, type=Call) for (body,) in rows]
