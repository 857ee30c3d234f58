"""The runs this process works on: one task each, whether or not a client follows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from clew.core.errors import BadRequest, ClewError, NotFound
from clew.core.events import RunChanged
from clew.core.ids import thread_of_run
from clew.core.items import Item
from clew.core.limits import Limits, Price
from clew.core.runs import EXPIRES_AFTER_MS, Lease, Run, move
from clew.executor.attached import Attached
from clew.executor.compacting import compact
from clew.executor.ledger import Log
from clew.executor.live import Live
from clew.executor.recorder import Recorder
from clew.executor.replay import Replay, read_kept
from clew.executor.resources import resources_of
from clew.executor.toolbox import Toolbox, is_ours
from clew.executor.turns import Turn
from clew.executor.vocabularies import counter_for
from clew.executor.watch import Watch
from clew.executor.windows import around, count
from clew.providers.abilities import refuse
from clew.providers.nobody import Nobody, unknown
from clew.providers.provider import Finish, Provider
from clew.store.once import Once
from clew.store.runs import Due, Moved
from clew.store.store import Store
from clew.tools.tool import Tool

DRAIN_S = 10.0
"""How long `drain` lets running turns finish."""

ATTEMPTS_MAX = 5
"""So often may a run take its process down with it."""

_NO_LIMITS = Limits()


class Executor:
    """`provider_of` gives the provider for a model; `now` is the clock, in milliseconds.

    A run of the Threads face is to be over `run_expires_ms` after it was made. `tools` are those
    that Clew runs itself, by their type; `limits` hold for every run, whatever it asks for;
    `price_of` says what a model's tokens cost.
    """

    def __init__(
        self,
        store: Store,
        provider_of: Callable[[str], Provider],
        now: Callable[[], int],
        run_expires_ms: int = EXPIRES_AFTER_MS,
        tools: Mapping[str, Tool] | None = None,
        limits: Limits = _NO_LIMITS,
        price_of: Callable[[str], Price | None] = lambda _: None,
    ) -> None:
        self.run_expires_ms = run_expires_ms
        self._store, self._provider_of, self._now = store, provider_of, now
        self._tools, self._limits, self._price_of = tools or {}, limits, price_of
        self._turns: dict[str, Turn] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, tuple[str, Live]] = {}
        self._is_draining = False
        self._others: set[asyncio.Task[None]] = set()
        self._recorder = Recorder(store, now)
        self._watch = Watch(store, now, self._held, self._heed, self._take, self._look)

    @property
    def provider_of(self) -> Callable[[str], Provider]:
        """What gives the provider for a model."""
        return self._provider_of

    @property
    def lease(self) -> Lease:
        """What a run is stored with that this process is to work on."""
        return self._watch.lease()

    @property
    def running(self) -> int:
        """How many runs this process works on."""
        return len(self._turns)

    @property
    def is_draining(self) -> bool:
        """Whether this process is to end."""
        return self._is_draining

    def watch(self) -> None:
        """From now on, keep leases, and take runs that are due."""
        self._watch.start()

    def check(self, run: Run) -> None:
        """Say in a new run what is to answer it. Raise BadRequest, naming the parameter, when the
        run's model cannot do what it asks."""
        provider = self._provider_of(run.model)
        if isinstance(provider, Nobody):
            raise unknown(run.model)
        run.provider = provider.name
        refuse(provider.abilities, run, self._ours(run, provider))

    def _ours(self, run: Run, provider: Provider) -> frozenset[str]:
        """The types of the tools that Clew runs for it; what is wrong with one is refused."""
        foreign, types, labels = provider.abilities.tools, set(), []
        names = {tool["name"]: at for at, tool in enumerate(run.tools) if "name" in tool}
        for at, tool in enumerate(run.tools):
            if not is_ours(tool, run, self._tools, foreign):
                continue
            types.add(tool["type"])
            problem = self._tools[tool["type"]].problem(tool)
            if problem is not None:
                path = f"tools[{at}].{problem[0]}"
                raise BadRequest(f"Invalid '{path}': {problem[1]}", path, "invalid_value")
            if tool["type"] in names:
                message = f"The name '{tool['type']}' is that of a tool of this run."
                raise BadRequest(message, f"tools[{names[tool['type']]}].name", "invalid_value")
            labels.append(tool.get("server_label", tool["type"]))
            if labels.count(labels[-1]) > 1:
                message = f"'{labels[-1]}' is named twice."
                raise BadRequest(message, f"tools[{at}]", "invalid_value")
        return frozenset(types)

    def receive(self, project: str, run: Run, asked: Run | None = None) -> Live:
        """Work on a run as it was stored, or wait until it comes to its turn. It may be another
        than was `asked` for: the one that is steered."""
        if asked is not None and run.key != asked.key:
            return self.following(run.key) or self.recall(project, run, run.turn)
        if run.place is None:
            return self.start(project, run)
        begun = self.following(run.key)
        if begun is not None:
            return begun  # its turn came before it was known here that it waits
        live = Live(run)
        self._waiting[run.key] = project, live
        return live

    def start(
        self,
        project: str,
        run: Run,
        log: Log | None = None,
        *,
        live: Live | None = None,
        kept: int = 0,
    ) -> Live:
        """Begin with a queued run that is on disk, or go on after tool outputs, or where somebody
        else left off: `live` has what was told so far, of which so much is `kept`.

        `log` stands in for the store when the run is not to be stored; no event is kept then.
        """
        provider = self._provider_of(run.model)
        live = Live(run) if log else self._recorder.record(project, run, live, kept)
        strangers = provider.abilities.files
        turn = Turn(
            log or self._store,
            provider,
            self._now,
            project,
            run,
            live,
            Attached(self._store, project, self._now, strangers=strangers),
            toolbox=self._toolbox(project, run, provider, is_stored=log is None),
            limits=self._limits.within(run.settings.get("limits")),
            price=self._price_of(run.model),
            lease=self._watch.lease if log is None else None,
            taken=run.attempts > 1,
        )
        task = asyncio.create_task(turn.drive(), name=f"run {run.key}")
        self._turns[run.key], self._tasks[run.key] = turn, task
        task.add_done_callback(lambda _: self._forget(run.key, turn))
        return turn.live

    def _toolbox(self, project: str, run: Run, provider: Provider, is_stored: bool) -> Toolbox:
        async def load() -> dict[str, Any]:
            now = self._now()
            return await resources_of(self._store, project, run, now, has_thread=is_stored)

        return Toolbox(self._tools, project, run, provider.abilities.tools, load)

    async def count_input(self, run: Run, items: Sequence[Item]) -> int:
        """How many tokens a prompt of this run with these items is, to its model."""
        counter = await counter_for(run.model)
        return around(counter, run) + await count(counter, items)

    async def compact(self, run: Run, items: Sequence[Item]) -> tuple[list[dict[str, Any]], Finish]:
        """The items that may stand for these from now on. Nothing is stored; ProviderError."""
        return await compact(self._provider_of(run.model), run, items, self._now())

    def following(self, run: str) -> Live | None:
        """The events of a run this process is working on, or that waits here for its turn."""
        turn = self._turns.get(run)
        if turn is not None:
            return turn.live
        return self._waiting[run][1] if run in self._waiting else None

    def recall(self, project: str, run: Run, turn: int = 0) -> Live:
        """What happened in a turn of a stored run, the first one if not said: as it happens here,
        or told again from what was kept, here or by another process.
        """
        live = self._recorder.live(run.key, turn)
        if live is None and run.key in self._waiting:
            live = self._waiting[run.key][1]

        async def look() -> Run:
            return await self.current(project, run)

        return live or Replay(self._store, project, run, turn, look, self._now)

    async def cancel(self, project: str, run: Run, once: Once | None = None) -> Run:
        """Cancel a run: at once when it waits for nobody, else as soon as its model lets go.

        Raises IllegalMove when its status does not allow it.
        """
        while True:
            turn = self._turns.get(run.key)
            idle = run.status == "queued" and turn is None
            waits = run.status == "requires_action" or run.waits_in_line or idle
            try:
                moved = await self._move(project, run, "cancelled" if waits else "cancelling", once)
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

    async def current(self, project: str, run: Run) -> Run:
        """The run as it stands, expired if it has waited for its client for too long."""
        run = await self._store.get_run(project, run.thread, run.key)
        return await self.expire(project, run) if run.is_abandoned(self._now()) else run

    async def go_on(self, project: str, thread: str) -> None:
        """The thread may be free: work on what it goes on with, if nobody does."""
        if self._is_draining or self._works_on(thread):
            return  # it stays due, and is found by whoever looks next
        if not await self._can_answer(project, thread):
            return  # it is for a process that has such models
        run = await self._store.claim_run(project, thread, self._watch.lease(), self._now())
        if run is not None:
            await self._resume(project, run)

    async def _can_answer(self, project: str, thread: str) -> bool:
        """Whether the thread has an active run, and what is to answer it is here: a process that
        was opened beside others, with no models of theirs, must not answer in their place."""
        active = (await self._store.get_thread(project, thread)).active_run
        if active is None:
            return False
        run = await self._store.get_run(project, thread, active)
        needs_none = run.status in ("requires_action", "cancelling")
        return needs_none or run.provider in (None, self._provider_of(run.model).name)

    def _works_on(self, thread: str) -> bool:
        """Whether a run of this thread is ours, though we may have been late to hold its lease."""
        return any(
            turn.is_stored and not turn.live.over and thread_of_run(key) == thread
            for key, turn in self._turns.items()
        )

    async def heed(self, project: str, thread: str) -> None:
        """Somebody may have told the thread's active run to stop, or ended it."""
        for key, turn in list(self._turns.items()):
            if thread_of_run(key) == thread:
                run = await self._store.get_run(project, thread, key)
                if run.status == "cancelling":
                    turn.let_go()
        await self.go_on(project, thread)

    def abandon(self, thread: str) -> None:
        """Let go of the model for a thread that is gone."""
        for run, turn in self._turns.items():
            if thread_of_run(run) == thread:
                turn.let_go()
        for run in [run for run in self._waiting if thread_of_run(run) == thread]:
            self._waiting.pop(run)[1].end()

    def let_go(self, run: str) -> None:
        """Let go of the model for a run that is gone."""
        turn = self._turns.get(run)
        if turn is not None:
            turn.let_go()
        if run in self._waiting:
            self._waiting.pop(run)[1].end()

    def steer(self, run: str) -> None:
        """End a response where it stands, as `incomplete`, so that more input can be added to it.

        One that has called upon the client, or is at its end, goes to its end.
        """
        turn = self._turns.get(run)
        if turn is not None:
            turn.steer()

    async def drain(self) -> None:
        """Let running turns finish; those that take too long are left to whoever comes next."""
        self._is_draining = True
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=DRAIN_S)
        await self._watch.stop()
        left, held = list(self._turns.values()), self._held()
        for turn in left:
            turn.hand_over()
        await asyncio.gather(*tasks, *self._others, return_exceptions=True)
        for _, live in self._waiting.values():
            live.end()
        await self._recorder.close()
        await self._watch.give_up(held)

    async def close(self) -> None:
        """Drain, and keep what there is."""
        await self.drain()
        for tool in self._tools.values():
            await tool.close()

    # what the watch asks for

    def _held(self) -> list[Due]:
        return [
            Due(turn.project, turn.run.thread, key)
            for key, turn in self._turns.items()
            if turn.is_stored
        ]

    def _heed(self, run: str, status: str | None) -> None:
        """How a run stands that this process works on; None when somebody else does."""
        turn = self._turns.get(run)
        if turn is None:
            return
        if status is None and not turn.run.is_terminal:
            turn.hand_over()
            self._recorder.give_up(turn.live)
        elif status == "cancelling":
            turn.let_go()

    async def _take(self, due: Due) -> None:
        if due.run not in self._turns:
            await self.go_on(due.project, due.thread)

    async def _look(self) -> None:
        """Whether runs that wait here have come to their turn elsewhere."""
        for key, (project, live) in list(self._waiting.items()):
            try:
                run = await self._store.get_run(project, live.run.thread, key)
            except NotFound:
                self.let_go(key)
                continue
            if run.place is None and key in self._waiting and key not in self._turns:
                del self._waiting[key]
                self._spawn(self._pass_on(project, run, live))

    async def _pass_on(self, project: str, run: Run, live: Live) -> None:
        """Tell here what happens to a run elsewhere."""
        told = len(live.events)
        async for events in self.recall(project, run).follow():
            news = events[told:]
            told = max(0, told - len(events))
            for event in news:
                live.tell(event)
        live.end()

    async def _resume(self, project: str, run: Run) -> None:
        """Work on a run that was claimed: it comes to its turn, or its worker is gone."""
        if run.status == "requires_action":
            await self.expire(project, run)
            return
        _, live = self._waiting.pop(run.key, ("", None))
        if run.attempts > ATTEMPTS_MAX:
            error = {"code": "server_error", "message": f"Given up after {ATTEMPTS_MAX} attempts."}
            await self._move(project, run, "failed", error=error)
        elif run.attempts == 1:
            self.start(project, run, live=live or Live(replace(run, place=1)))
        else:
            kept = await read_kept(self._store, project, run, run.turn, 0)
            self.start(project, run, live=Live.again(run, kept), kept=len(kept))

    async def _move(
        self, project: str, run: Run, status: str, once: Once | None = None, **changes: Any
    ) -> Run:
        now = self._now()
        moved = move(run, status, now, **changes)
        moved = await self._store.move_run(project, run.status, moved, now_ms=now, once=once)
        if run.key in self._waiting and moved.is_terminal:
            live = self._waiting.pop(run.key)[1]
            live.tell(RunChanged(moved))
            live.end()
        if moved.next_run is not None:
            await self.go_on(project, run.thread)
        return moved

    def _forget(self, run: str, turn: Turn) -> None:
        if self._turns.get(run) is turn:
            del self._turns[run], self._tasks[run]
        if turn.run.next_run is not None and turn.run.is_terminal:
            self._spawn(self._go_on_quietly(turn.project, turn.run.thread))

    async def _go_on_quietly(self, project: str, thread: str) -> None:
        """A thread that is not gone on with stays due, and is found by whoever looks next."""
        with suppress(ClewError):
            await self.go_on(project, thread)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)
