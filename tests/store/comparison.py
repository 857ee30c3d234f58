"""An engine and the plain model side by side: what is done to both, both must say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from clew.core.errors import Busy, ClewError, NotFound, Replayed, Stale
from clew.core.items import Item, message
from clew.core.paging import Page
from clew.core.runs import Call, Lease, Run
from clew.core.threads import Receipt, Thread
from clew.store.once import Once
from clew.store.runs import Moved, Steered
from clew.store.store import Store
from clew.testing.conformance.proof import log
from clew.testing.model import ModelStore

Act = Callable[[Any], Awaitable[Any]]
made = 0
"""How many ids were made; they are unique in a session, since machines share a database."""


class Comparison(RuleBasedStateMachine):
    """A project in an engine and the same project in the model."""

    def __init__(self, runner: asyncio.Runner, store: Store) -> None:
        super().__init__()
        self.runner, self.store, self.model = runner, store, ModelStore()
        self.project, self.now = new_name("proj"), 1_000
        self.threads: list[str] = []
        self.items: list[str] = [new_name("msg_never")]
        self.runs: list[Run] = [Run("never", "never", 0, "m")]
        self.written: dict[str | None, list[Item]] = {}

    def both(self, act: Act, touched: str) -> None:
        self.same(act)
        self.compare(touched)

    def same(self, act: Act) -> None:
        expected = self.plain(self.told_by_model(act))
        assert self.plain(self.runner.run(outcome_of(act(self.store)))) == expected

    def compare(self, key: str) -> None:
        self.same(lambda s: s.get_thread(self.project, key))
        self.same(lambda s: log(s, self.project, key))
        self.same(lambda s: s.list_runs(self.project, key, Page(100, "asc")))
        for run in self.runs:
            if run.thread == key:
                self.same(lambda s, run=run: s.list_calls(self.project, key, run.key))

    def told_by_model(self, act: Act) -> Any:
        """What the model says. It never waits, so it needs no event loop (an `encode` has none)."""
        try:
            outcome_of(act(self.model)).send(None)
        except StopIteration as said:
            return said.value
        raise AssertionError("the model waited")

    def plain(self, outcome: Any) -> Any:
        """An outcome without what the contract leaves open."""
        match outcome:
            case Thread(parent=str(parent)):
                gone = isinstance(
                    self.told_by_model(lambda s: s.get_thread(self.project, parent)), NotFound
                )
                return msgspec.structs.replace(outcome, parent=None) if gone else outcome
            case Receipt():
                return msgspec.structs.replace(outcome, items=0, kept_by=[])
            case [*entries], bool(more):
                return [self.plain(entry) for entry in entries], more
        return told_as(outcome) if isinstance(outcome, Exception) else outcome

    def tick(self) -> int:
        self.now += 1
        return self.now

    def thread(self, which: int) -> str:
        return self.threads[which % len(self.threads)]

    def item(self, which: int) -> str:
        return self.items[-1 - which % len(self.items)]

    def new_items(self, count: int, run: str | None = None) -> list[Item]:
        made = []
        for number in range(count):
            role = ("user", "assistant")[number % 2]
            id = new_name("msg")
            made.append(message(id, role, id, self.now - number, run))
            self.written.setdefault(run, []).append(made[-1])
        self.items += [item.id for item in made]
        return made

    def changed(self, run: Run, which: int) -> list[Item]:
        """Another text for an item that the run wrote, or was to write; sometimes none."""
        written = self.written.get(run.key, [])
        if which % 2 or not written:
            return []
        item = written[which % len(written)]
        return [message(item.id, "assistant", f"changed at {self.now}", 0, run.key)]

    def call(self, run: Run) -> Call:
        """A call that begins, or that has begun and ends."""
        key = f"{run.key}_{self.now % 3}"
        return Call(key, run.key, "m", "p", self.now, None, 1, 1)

    def lease(self, holder: str | None) -> Lease | None:
        return None if holder is None else Lease(holder, self.now + 5)

    def active(self, key: str) -> str | None:
        found = self.told_by_model(lambda s: s.get_thread(self.project, key))
        return found.active_run if isinstance(found, Thread) else None

    def revision(self, key: str, choice: str | None) -> int | None:
        """A revision to insist on; where two refusals would be right none is asked for."""
        found = self.told_by_model(lambda s: s.get_thread(self.project, key))
        if choice is None or not isinstance(found, Thread) or found.active_run:
            return None
        return found.revision - (choice == "stale")

    def stands(self, run: Run) -> Run:
        found = self.told_by_model(lambda s: s.get_run(self.project, run.thread, run.key))
        return found if isinstance(found, Run) else run

    def once(self, retry: tuple[str, str, bool] | None) -> Once | None:
        if retry is None:
            return None
        key, fingerprint, wide = retry
        return Once(key, fingerprint, self.now, lambda outcome: _encode(self.plain(outcome)), wide)


def _encode(outcome: Any) -> bytes:
    """An answer; the order of names in metadata is nobody's promise."""
    return msgspec.json.encode(outcome, order="deterministic")


async def outcome_of(act: Awaitable[Any]) -> Any:
    """What an act returns or is refused with."""
    try:
        return await act
    except (ClewError, Replayed, Moved, Steered) as refusal:
        return refusal


def told_as(error: Exception) -> tuple[Any, ...]:
    match error:
        case NotFound():
            return ("not found", error.noun, error.id)
        case Busy():
            return ("busy", error.thread, error.run)
        case Stale():
            return ("stale", error.actual)
        case ClewError():
            return (error.code,)
        case Replayed():
            return ("replayed", error.answer)
        case Moved():
            return ("moved", error.run, error.lost)
        case Steered():
            return ("steered",)
    raise error


def new_name(noun: str) -> str:
    global made
    made += 1
    return f"{noun}_{made:07}"


def run_machine(machine: type[Comparison], opening: Awaitable[Store]) -> None:
    with asyncio.Runner() as runner:
        store = runner.run(_awaited(opening))
        try:
            run_state_machine_as_test(lambda: machine(runner, store))
        finally:
            runner.run(store.close())


async def _awaited(opening: Awaitable[Store]) -> Store:
    return await opening
