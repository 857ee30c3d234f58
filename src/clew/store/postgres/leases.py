"""Who works on which run, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from clew.core.errors import NotFound
from clew.core.runs import Call, Lease, Run
from clew.store.postgres.engine import Engine, Transaction, text
from clew.store.postgres.locks import lock
from clew.store.postgres.run_rows import asked, to_run
from clew.store.runs import Due


class LeaseVerbs(Engine):
    async def claim_run(self, project: str, thread: str, lease: Lease, now_ms: int) -> Run | None:
        async def act(tx: Transaction) -> Run | None:
            active = (await lock(tx, project, thread)).active_run
            if active is None:
                return None
            row = await tx.row("get_due", thread=thread, run=active, now=now_ms)
            if row is None:
                return None
            run = to_run(row)
            run = replace(run, attempts=run.attempts + 1)
            taken = {"holder": lease.holder, "until": lease.until}
            await tx.run("claim_run", thread=thread, run=active, body=text(run), **taken)
            return run

        return await self.write(act)

    async def hold_runs(self, runs: Sequence[Due], lease: Lease) -> dict[str, str]:
        ordered = sorted(runs, key=lambda one: (one.thread, one.run))  # nobody waits in a circle

        async def act(tx: Transaction) -> dict[str, str]:
            held = await tx.run(
                "hold_run",
                threads=[one.thread for one in ordered],
                runs=[one.run for one in ordered],
                holder=lease.holder,
                until=lease.until,
            )
            return dict(held)

        return await self.write(act)

    async def list_due(self, now_ms: int, limit: int) -> list[Due]:
        return [Due(*row) for row in await self.read("list_due", now=now_ms, limit=limit)]

    async def list_calls(self, project: str, thread: str, run: str) -> list[Call]:
        rows = await self.read("list_calls", **asked(project, thread, run))
        if not rows:
            raise NotFound("thread", thread)
        if rows[0][0] is None:
            raise NotFound("run", run)
        return [msgspec.json.decode(body, type=Call) for _, body in rows if body is not None]
