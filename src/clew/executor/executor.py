"""The runs this process works on: one task each, whether or not a client follows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from clew.core.ids import thread_of_run
from clew.core.items import Item
from clew.core.runs import EXPIRES_AFTER_MS, Run, move
from clew.executor.attached import Attached
from clew.executor.compacting import compact
from clew.executor.live import Live
from clew.executor.recorder import Recorder
from clew.executor.replay import Replay
from clew.executor.turns import Log, Turn
from clew.executor.vocabularies import counter_for
from clew.executor.windows import around, count
from clew.providers.abilities import refuse
from clew.providers.nobody import Nobody, unknown
from clew.providers.provider import Finish, Provider
from clew.store.once import Once
from clew.store.runs import Moved
from clew.store.store import Store

DRAIN_S = 10.0
"""How long `drain` lets running turns finish."""


class Executor:
    """`provider_of` gives the provider for a model; `now` is the clock, in milliseconds.

    A run of the Threads face is to be over `run_expires_ms` after it was made.
    """

    def __init__(
        self,
        store: Store,
        provider_of: Callable[[str], Provider],
        now: Callable[[], int],
        run_expires_ms: int = EXPIRES_AFTER_MS,
    ) -> None:
        self.run_expires_ms = run_expires_ms
        self._store, self._provider_of, self._now = store, provider_of, now
        self._turns: dict[str, Turn] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._recorder = Recorder(store, now)

    @property
    def provider_of(self) -> Callable[[str], Provider]:
        """What gives the provider for a model."""
        return self._provider_of

    def check(self, run: Run) -> None:
        """Raise BadRequest, naming the parameter, when the run's model cannot do what it asks."""
        provider = self._provider_of(run.model)
        if isinstance(provider, Nobody):
            raise unknown(run.model)
        refuse(provider.abilities, run)

    @property
    def running(self) -> int:
        """How many runs this process works on."""
        return len(self._turns)

    def start(self, project: str, run: Run, log: Log | None = None) -> Live:
        """Begin with a queued run that is on disk, or go on after tool outputs.

        `log` stands in for the store when the run is not to be stored; no event is kept then.
        """
        provider = self._provider_of(run.model)
        live = self._recorder.record(project, run) if log is None else Live(run)
        strangers = provider.abilities.files
        attach = Attached(self._store, project, self._now, strangers=strangers)
        turn = Turn(log or self._store, provider, self._now, project, run, live, attach)
        task = asyncio.create_task(turn.drive(), name=f"run {run.key}")
        self._turns[run.key], self._tasks[run.key] = turn, task
        task.add_done_callback(lambda _: self._forget(run.key, turn))
        return turn.live

    async def count_input(self, run: Run, items: Sequence[Item]) -> int:
        """How many tokens a prompt of this run with these items is, to its model."""
        counter = await counter_for(run.model)
        return around(counter, run) + await count(counter, items)

    async def compact(self, run: Run, items: Sequence[Item]) -> tuple[list[dict[str, Any]], Finish]:
        """The items that may stand for these from now on. Nothing is stored; ProviderError."""
        return await compact(self._provider_of(run.model), run, items, self._now())

    def following(self, run: str) -> Live | None:
        """The events of a run this process is working on."""
        turn = self._turns.get(run)
        return None if turn is None else turn.live

    def recall(self, project: str, run: Run, turn: int | None = None) -> Live:
        """What happened in a turn of a stored run, the first one if not said: as it happens here,
        or told again from what was kept, here or by another process.
        """
        turn = run.input_seq if turn is None else turn
        live = self._recorder.live(run.key, turn)

        async def look() -> Run:
            return await self._current(project, run)

        return live or Replay(self._store, project, run, turn, look, self._now)

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

    def let_go(self, run: str) -> None:
        """Let go of the model for a run that is gone."""
        turn = self._turns.get(run)
        if turn is not None:
            turn.let_go()

    def steer(self, run: str) -> None:
        """End a response where it stands, as `incomplete`, so that more input can be added to it.

        One that has called upon the client, or is at its end, goes to its end.
        """
        turn = self._turns.get(run)
        if turn is not None:
            turn.steer()

    async def drain(self) -> None:
        """Let running turns finish; those that take too long fail visibly."""
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=DRAIN_S)
        for turn in self._turns.values():
            turn.let_go()
        await asyncio.gather(*tasks)

    async def close(self) -> None:
        """Drain, and keep what there is."""
        await self.drain()
        await self._recorder.close()

    async def _current(self, project: str, run: Run) -> Run:
        """The run as it stands, expired if its time is over and nobody here works on it."""
        run = await self._store.get_run(project, run.thread, run.key)
        if not run.is_abandoned(self._now()) or self.following(run.key):
            return run
        return await self.expire(project, run)

    async def _move(self, project: str, run: Run, status: str, once: Once | None = None) -> Run:
        now = self._now()
        moved = move(run, status, now)
        return await self._store.move_run(project, run.status, moved, now_ms=now, once=once)

    def _forget(self, run: str, turn: Turn) -> None:
        if self._turns.get(run) is turn:
            del self._turns[run], self._tasks[run]
