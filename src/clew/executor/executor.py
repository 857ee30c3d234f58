"""The runs this process works on: one task each, whether or not a client follows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from clew.core.ids import thread_of_run
from clew.core.runs import Run, move
from clew.executor.live import Live
from clew.executor.turns import Log, Turn
from clew.providers.provider import Provider
from clew.store.once import Once
from clew.store.store import Moved, Store

DRAIN_S = 10.0
"""How long `close` lets running turns finish."""


class Executor:
    """`provider_of` gives the provider for a model; `now` is the clock, in milliseconds."""

    def __init__(
        self, store: Store, provider_of: Callable[[str], Provider], now: Callable[[], int]
    ) -> None:
        self._store, self._provider_of, self._now = store, provider_of, now
        self._turns: dict[str, Turn] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, project: str, run: Run, log: Log | None = None) -> Live:
        """Begin with a queued run that is on disk, or go on after tool outputs.

        `log` stands in for the store when the run is not to be stored.
        """
        provider = self._provider_of(run.model)
        turn = Turn(log or self._store, provider, self._now, project, run, Live(run))
        task = asyncio.create_task(turn.drive(), name=f"run {run.key}")
        self._turns[run.key], self._tasks[run.key] = turn, task
        task.add_done_callback(lambda _: self._forget(run.key, turn))
        return turn.live

    def following(self, run: str) -> Live | None:
        """The events of a run this process is working on."""
        turn = self._turns.get(run)
        return None if turn is None else turn.live

    async def cancel(self, project: str, run: Run, once: Once | None = None) -> Run:
        """Cancel a run: at once when it waits for nobody, else as soon as its model lets go.

        Raises IllegalMove when its status does not allow it.
        """
        while True:
            turn = self._turns.get(run.key)
            waits = run.status == "requires_action" or (run.status == "queued" and turn is None)
            try:
                target = "cancelled" if waits else "cancelling"
                moved = await self._move(project, run, target, once)
            except Moved as lost:
                run = lost.run
                continue
            if turn is not None:
                turn.let_go()
            return moved

    async def expire(self, project: str, run: Run) -> Run:
        """End a run whose time is over."""
        try:
            return await self._move(project, run, "expired")
        except Moved as lost:
            return lost.run

    def abandon(self, thread: str) -> None:
        """Let go of the model for a thread that is gone."""
        for run, turn in self._turns.items():
            if thread_of_run(run) == thread:
                turn.let_go()

    async def close(self) -> None:
        """Let running turns finish; those that take too long fail visibly."""
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=DRAIN_S)
        for turn in self._turns.values():
            turn.let_go()
        await asyncio.gather(*tasks)

    async def _move(self, project: str, run: Run, status: str, once: Once | None = None) -> Run:
        now = self._now()
        moved = move(run, status, now)
        return await self._store.move_run(project, run.status, moved, now_ms=now, once=once)

    def _forget(self, run: str, turn: Turn) -> None:
        if self._turns.get(run) is turn:
            del self._turns[run], self._tasks[run]
