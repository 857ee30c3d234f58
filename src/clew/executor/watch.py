"""Keeping the leases of the runs that this process works on, and finding those that nobody keeps.

A process that stops, hangs or dies keeps nothing, and whoever looks first takes what is due: by
compare-and-set, so two that look at once do not both work on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context

from clew.core.errors import ClewError
from clew.core.ids import new_key
from clew.core.runs import Lease
from clew.store.runs import Due, RunVerbs

LEASE_MS = 6_000
"""How long a run is left alone after its worker was last heard of."""

BEAT_S = 1.5
"""How often a lease is held on: four times while it runs."""

LOOK_S = 1.0
"""How often somebody looks for runs that are due."""

TAKEN_AT_ONCE = 64

log = logging.getLogger("clew.executor")


class Watch:
    """`held` gives the runs that this process works on; `heed` is told how each stands, None for
    one that is lost; `take` takes a run that is due; `look` is whatever else is to be looked at."""

    def __init__(
        self,
        store: RunVerbs,
        now: Callable[[], int],
        held: Callable[[], Sequence[Due]],
        heed: Callable[[str, str | None], None],
        take: Callable[[Due], Awaitable[None]],
        look: Callable[[], Awaitable[None]],
    ) -> None:
        self._store, self._now = store, now
        self._held, self._heed, self._take, self._look = held, heed, take, look
        self.holder = new_key(now())
        self._tasks: list[asyncio.Task[None]] = []

    def lease(self) -> Lease:
        """A lease of this process that begins now."""
        return Lease(self.holder, self._now() + LEASE_MS)

    def start(self) -> None:
        for step, pause_s in ((self._beat, BEAT_S), (self._look_around, LOOK_S)):
            work = _repeat(step, pause_s)
            self._tasks.append(asyncio.create_task(work, context=Context(), name=step.__name__))

    async def stop(self) -> None:
        """Look after nothing any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def give_up(self, held: Sequence[Due]) -> None:
        """Whoever looks next may take these runs."""
        if held:
            with suppress(ClewError):
                await self._store.hold_runs(held, Lease(self.holder, self._now()))

    async def _beat(self) -> None:
        held = self._held()
        if held:
            standing = await self._store.hold_runs(held, self.lease())
            for one in held:
                self._heed(one.run, standing.get(one.run))

    async def _look_around(self) -> None:
        held = {one.run for one in self._held()}
        for due in await self._store.list_due(self._now(), TAKEN_AT_ONCE):
            if due.run not in held:
                with suppress(ClewError):
                    await self._take(due)
        await self._look()


async def _repeat(step: Callable[[], Awaitable[None]], pause_s: float) -> None:
    while True:
        await asyncio.sleep(pause_s)
        try:
            await step()
        except ClewError as error:
            log.warning("leases wait: %s", error.message)
        except Exception:
            log.exception("leases could not be looked after; it is tried again")
