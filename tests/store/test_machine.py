"""Engines against the plain model, step by step: whatever is done to both, both say the same.

Many acts at once are checked too: each acknowledged change names its revision, so the engine's
order is known; done in that order, one after the other, the model must end up the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from clew.core.errors import Busy, ClewError, NotFound, Replayed, Stale
from clew.core.items import Item, message
from clew.core.paging import Page, ThreadQuery
from clew.core.runs import MOVES, Run
from clew.core.threads import Receipt, Thread
from clew.store.once import Once
from clew.store.postgres import PostgresStore
from clew.store.runs import Moved
from clew.store.sqlite import SQLiteStore
from clew.store.store import Store
from clew.testing.conformance.proof import log
from clew.testing.model import ModelStore

Act = Callable[[Any], Awaitable[Any]]

which = st.integers(0, 40)
"""Chooses among what there is so far, erased and never made included."""
counts = st.integers(0, 4)
metadata = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2", "\x00'🧶"]))
revisions = st.sampled_from([None, None, None, "current", "stale"])
retries = st.sampled_from(
    [None, None, None, ("k1", "f1", False), ("k1", "f2", False), ("k1", "f1", True)]
)
"""A key, a fingerprint, and whether the key is the project's."""
orders = st.sampled_from(["asc", "desc"])
cursors = st.none() | which
kinds = st.sampled_from([None, ["user"], ["assistant"], ["user", "assistant"], ["tool"]])
statuses = st.sampled_from(sorted(MOVES))
crowds = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "append at", "once", "update", "erase", "fork"]),
        which,
        st.integers(1, 4),
    ),
    min_size=2,
    max_size=12,
)
made = 0
"""How many ids were made; they are unique in a session, since machines share a database."""


class Machine(RuleBasedStateMachine):
    """A project in an engine and the same project in the model."""

    def __init__(self, runner: asyncio.Runner, store: Store) -> None:
        super().__init__()
        self.runner, self.store, self.model = runner, store, ModelStore()
        self.project, self.now = _name("proj"), 1_000
        self.threads: list[str] = []
        self.items: list[str] = [_name("msg_never")]
        self.runs: list[Run] = [Run("never", "never", 0, "m")]

    # writing

    @initialize(count=counts)
    def begin(self, count: int) -> None:
        self.create_thread(count, {}, True, None)

    @rule(count=counts, metadata=metadata, chain=st.booleans(), retry=retries)
    def create_thread(self, count: int, metadata: dict[str, str], chain: bool, retry: Any) -> None:
        at, items = self._tick(), self._items(count)
        thread = Thread(_name("t"), at // 3, at, metadata, chain=chain)
        self.threads.append(thread.key)
        self._both(
            lambda s: s.create_thread(self.project, thread, items, once=self._once(retry)),
            thread.key,
        )

    @rule(which=which, count=st.integers(1, 4), revision=revisions, retry=retries)
    def append_items(self, which: int, count: int, revision: Any, retry: Any) -> None:
        key, at, items = self._thread(which), self._tick(), self._items(count)
        given = {"if_revision": self._revision(key, revision), "once": self._once(retry)}
        self._both(lambda s: s.append_items(self.project, key, items, at, **given), key)

    @rule(which=which, metadata=metadata, revision=revisions, retry=retries)
    def update_thread(
        self, which: int, metadata: dict[str, str], revision: Any, retry: Any
    ) -> None:
        key, at = self._thread(which), self._tick()
        given = {"if_revision": self._revision(key, revision), "once": self._once(retry)}
        self._both(
            lambda s: s.update_thread(self.project, key, at, metadata=metadata, **given), key
        )

    @rule(which=which, item=which, metadata=metadata, revision=revisions, retry=retries)
    def update_item(
        self, which: int, item: int, metadata: dict[str, str], revision: Any, retry: Any
    ) -> None:
        key, id, at = self._thread(which), self._item(item), self._tick()
        given = {"if_revision": self._revision(key, revision), "once": self._once(retry)}
        self._both(lambda s: s.update_item(self.project, key, id, metadata, at, **given), key)

    @rule(which=which, item=which, revision=revisions, retry=retries)
    def erase_item(self, which: int, item: int, revision: Any, retry: Any) -> None:
        key, id, at = self._thread(which), self._item(item), self._tick()
        given = {"if_revision": self._revision(key, revision), "once": self._once(retry)}
        self._both(lambda s: s.erase_item(self.project, key, id, at, **given), key)

    @rule(which=which, at=st.none() | counts, revision=revisions, retry=retries)
    def fork_at_seq(self, which: int, at: int | None, revision: Any, retry: Any) -> None:
        self._fork(which, revision, retry, at_seq=at)

    @rule(which=which, item=which)
    def fork_at_item(self, which: int, item: int) -> None:
        self._fork(which, None, None, at_item=self._item(item))

    @rule(which=which, retry=retries)
    def erase_thread(self, which: int, retry: Any) -> None:
        key, at, id = self._thread(which), self._tick(), _name("rcpt")
        self._both(
            lambda s: s.erase_thread(
                self.project, key, Receipt(id, key, at, 0, 0), once=self._once(retry)
            ),
            key,
        )

    @rule(which=which, count=counts, end=st.none() | counts, revision=revisions, retry=retries)
    def create_run(
        self, which: int, count: int, end: int | None, revision: Any, retry: Any
    ) -> None:
        key, at, items = self._thread(which), self._tick(), self._items(count)
        revision = self._revision(key, revision)
        run = Run(_name("run"), key, at, "m")
        self.runs.append(run)
        given = {"if_revision": revision, "once": self._once(retry)}
        if revision is None and self._active(key) is None:
            given["if_last_seq"] = end
        self._both(lambda s: s.create_run(self.project, run, items, **given), key)

    @rule(which=which, guess=st.none() | statuses, status=statuses, count=counts, retry=retries)
    def move_run(self, which: int, guess: str | None, status: str, count: int, retry: Any) -> None:
        run, at = self.runs[which % len(self.runs)], self._tick()
        stands = self._stands(run)
        items = self._items(count, run.key)
        if stands.is_terminal:  # nobody moves it: terminal states stay terminal
            guess = "queued"
        was, next = guess or stands.status, msgspec.structs.replace(stands, status=status)
        once = self._once(retry)
        self._both(
            lambda s: s.move_run(self.project, was, next, items, now_ms=at, once=once), run.thread
        )

    @rule(which=which, metadata=metadata)
    def update_run(self, which: int, metadata: dict[str, str]) -> None:
        run = self.runs[which % len(self.runs)]
        self._both(lambda s: s.update_run(self.project, run.thread, run.key, metadata), run.thread)

    @rule(which=which, retry=retries)
    def erase_run(self, which: int, retry: Any) -> None:
        run, at, id = self.runs[which % len(self.runs)], self._tick(), _name("rcpt")
        self._both(
            lambda s: s.erase_run(
                self.project,
                run.thread,
                run.key,
                Receipt(id, run.thread, at, 0, 0),
                once=self._once(retry),
            ),
            run.thread,
        )

    # reading

    @rule(
        which=which,
        order=orders,
        limit=st.integers(1, 5),
        after=cursors,
        before=cursors,
        kinds=kinds,
        run=cursors,
        upto=st.none() | st.integers(0, 12),
    )
    def list_items(
        self,
        which: int,
        order: str,
        limit: int,
        after: int | None,
        before: int | None,
        kinds: list[str] | None,
        run: int | None,
        upto: int | None,
    ) -> None:
        key = self._thread(which)
        shown = self._now(lambda s: s.list_items(self.project, key, Page(100)))
        ids = [item.id for item in shown[0]] if isinstance(shown, tuple) else []
        ids.append(self.items[limit % len(self.items)])
        page = Page(limit, order, _pick(ids, after), _pick(ids, before))
        of_run = None if run is None else self.runs[run % len(self.runs)].key
        wanted = {"kinds": kinds, "run": of_run, "upto": upto}
        self._same(lambda s: s.list_items(self.project, key, page, **wanted))

    @rule(which=which, below=st.integers(1, 12), limit=st.integers(1, 6))
    def read_items(self, which: int, below: int, limit: int) -> None:
        key = self._thread(which)
        self._same(lambda s: s.read_items(self.project, key, below=below, limit=limit))

    @rule(which=which, item=which)
    def get_item(self, which: int, item: int) -> None:
        self._same(lambda s: s.get_item(self.project, self._thread(which), self._item(item)))

    @rule(
        order=orders,
        limit=st.integers(1, 5),
        after=cursors,
        before=cursors,
        metadata=metadata,
        first=st.none() | st.integers(0, 40),
        last=st.none() | st.integers(0, 40),
    )
    def list_threads(
        self,
        order: str,
        limit: int,
        after: int | None,
        before: int | None,
        metadata: dict[str, str],
        first: int | None,
        last: int | None,
    ) -> None:
        page = Page(limit, order, _pick(self.threads, after), _pick(self.threads, before))
        query = ThreadQuery(page, metadata)
        query.created_from = None if first is None else (1_000 + first) // 3
        query.updated_to = None if last is None else 1_000 + last
        self._same(lambda s: s.list_threads(self.project, query))

    @rule(which=which, order=orders, limit=st.integers(1, 3), after=cursors)
    def list_runs(self, which: int, order: str, limit: int, after: int | None) -> None:
        page = Page(limit, order, _pick([run.key for run in self.runs], after))
        self._same(lambda s: s.list_runs(self.project, self._thread(which), page))

    @rule(which=which, item=which)
    def another_project(self, which: int, item: int) -> None:
        """Nothing of ours is there for somebody else."""
        key, id, stranger = self._thread(which), self._item(item), self.project + "x"
        for act in (
            lambda s: s.append_items(stranger, key, self._items(1), self.now),
            lambda s: s.erase_item(stranger, key, id, self.now),
            lambda s: s.erase_thread(stranger, key, Receipt(_name("rcpt"), key, 0, 0, 0)),
            lambda s: s.list_items(stranger, key, Page()),
        ):
            self._both(act, key)

    # many at once

    @rule(acts=crowds)
    def crowd(self, acts: list[tuple[str, int, int]]) -> None:
        """The engine does all at once; the model does the same in the order the engine told."""
        self._tick()
        known = list(self.items)
        chosen = [(self._thread(one[1]), self._crowd_act(*one, known)) for one in acts]
        told = self.runner.run(_gather(act(self.store) for _, act in chosen))
        done = [
            (key, outcome, act)
            for (key, act), outcome in zip(chosen, told, strict=True)
            if not isinstance(outcome, Exception) and not _is_fork(outcome)
        ]
        for _, outcome, act in sorted(done, key=lambda one: (one[0], _revision_of(one[1]))):
            assert self._plain(outcome) == self._plain(self._now(act))
        for (_, act), outcome in zip(chosen, told, strict=True):
            if isinstance(outcome, Exception):
                refused = self._now(act)
                assert _gist(refused) == _gist(outcome)
        for (key, _), outcome in zip(chosen, told, strict=True):
            if _is_fork(outcome):
                self._check_prefix(key, outcome)
        for key in {key for key, _ in chosen}:
            self._compare(key)

    def _crowd_act(self, kind: str, which: int, count: int, known: list[str]) -> Act:
        """An act that, once refused, is refused ever after: it erases only what was there."""
        key, at, items = self._thread(which), self.now, self._items(count)
        revision, fork = self._revision(key, "current"), Thread(_name("t"), at, at)
        id, project = known[-1 - which * count % len(known)], self.project
        match kind:
            case "append":
                return lambda s: s.append_items(project, key, items, at)
            case "append at":
                return lambda s: s.append_items(project, key, items, at, if_revision=revision)
            case "once":
                once = self._once(("crowd", "f", False))
                return lambda s: s.append_items(project, key, items, at, once=once)
            case "update":
                given = {"a": str(count)}
                return lambda s: s.update_thread(project, key, at, metadata=given)
            case "erase":
                return lambda s: s.erase_item(project, key, id, at)
        return lambda s: s.fork_thread(project, key, fork)

    def _check_prefix(self, parent: str, fork: Thread) -> None:
        """A fork made in a crowd is the parent's log as it stood at one moment.

        Which moment is not told, so the fork goes again before the model would miss it.
        """
        whole = self._now(lambda s: log(s, self.project, parent))
        shared = self.runner.run(log(self.store, self.project, fork.key))
        expected = [item.id for item in whole if item.seq <= fork.parent_seq]
        ids = [item.id for item in shared]
        assert [id for id in ids if id in expected] == expected
        assert all(item.seq <= fork.parent_seq for item in shared)
        receipt = Receipt(_name("rcpt"), fork.key, self.now, 0, 0)
        self.runner.run(self.store.erase_thread(self.project, fork.key, receipt))

    def teardown(self) -> None:
        for key in self.threads:
            self._compare(key)
        self._same(lambda s: s.list_threads(self.project, ThreadQuery(Page(100))))

    # what the rules stand on

    def _fork(self, which: int, revision: Any, retry: Any, **point: Any) -> None:
        key, at = self._thread(which), self._tick()
        fork = Thread(_name("t"), at // 3, at)
        self.threads.append(fork.key)
        given = {"if_revision": self._revision(key, revision), "once": self._once(retry)}
        self._both(lambda s: s.fork_thread(self.project, key, fork, **point, **given), key)
        self._compare(fork.key)

    def _both(self, act: Act, touched: str) -> None:
        self._same(act)
        self._compare(touched)

    def _same(self, act: Act) -> None:
        expected = self._plain(self._now(act))
        assert self._plain(self.runner.run(_outcome(act(self.store)))) == expected

    def _compare(self, key: str) -> None:
        self._same(lambda s: s.get_thread(self.project, key))
        self._same(lambda s: log(s, self.project, key))
        self._same(lambda s: s.list_runs(self.project, key, Page(100, "asc")))

    def _now(self, act: Act) -> Any:
        """What the model says. It never waits, so it needs no event loop (an `encode` has none)."""
        try:
            _outcome(act(self.model)).send(None)
        except StopIteration as said:
            return said.value
        raise AssertionError("the model waited")

    def _plain(self, outcome: Any) -> Any:
        """An outcome without what the contract leaves open."""
        match outcome:
            case Thread(parent=str(parent)):
                gone = isinstance(self._now(lambda s: s.get_thread(self.project, parent)), NotFound)
                return msgspec.structs.replace(outcome, parent=None) if gone else outcome
            case Receipt():
                return msgspec.structs.replace(outcome, items=0, kept_by=[])
            case [*entries], bool(more):
                return [self._plain(entry) for entry in entries], more
        return _error(outcome) if isinstance(outcome, Exception) else outcome

    def _tick(self) -> int:
        self.now += 1
        return self.now

    def _thread(self, which: int) -> str:
        return self.threads[which % len(self.threads)]

    def _item(self, which: int) -> str:
        return self.items[-1 - which % len(self.items)]

    def _items(self, count: int, run: str | None = None) -> list[Item]:
        made = []
        for number in range(count):
            role = ("user", "assistant")[number % 2]
            id = _name("msg")
            made.append(message(id, role, id, self.now - number, run))
        self.items += [item.id for item in made]
        return made

    def _active(self, key: str) -> str | None:
        found = self._now(lambda s: s.get_thread(self.project, key))
        return found.active_run if isinstance(found, Thread) else None

    def _revision(self, key: str, choice: str | None) -> int | None:
        """A revision to insist on; where two refusals would be right none is asked for."""
        found = self._now(lambda s: s.get_thread(self.project, key))
        if choice is None or not isinstance(found, Thread) or found.active_run:
            return None
        return found.revision - (choice == "stale")

    def _stands(self, run: Run) -> Run:
        found = self._now(lambda s: s.get_run(self.project, run.thread, run.key))
        return found if isinstance(found, Run) else run

    def _once(self, retry: tuple[str, str, bool] | None) -> Once | None:
        if retry is None:
            return None
        key, fingerprint, wide = retry
        return Once(key, fingerprint, self.now, lambda outcome: _encode(self._plain(outcome)), wide)


def _encode(outcome: Any) -> bytes:
    """An answer; the order of names in metadata is nobody's promise."""
    return msgspec.json.encode(outcome, order="deterministic")


async def _outcome(act: Awaitable[Any]) -> Any:
    """What an act returns or is refused with."""
    try:
        return await act
    except (ClewError, Replayed, Moved) as refusal:
        return refusal


async def _gather(acts: Any) -> list[Any]:
    return await asyncio.gather(*map(_outcome, acts))


def _error(error: Exception) -> tuple[Any, ...]:
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
            return ("moved", error.run)
    raise error


def _gist(error: Any) -> Any:
    """What a refusal in a crowd says, whenever in the order it was said."""
    assert isinstance(error, Exception), error
    return _error(error)[:1] if isinstance(error, Stale) else _error(error)


def _is_fork(outcome: Any) -> bool:
    return isinstance(outcome, Thread) and outcome.revision == 1 and outcome.parent is not None


def _revision_of(outcome: Any) -> int:
    return int(outcome.revision if isinstance(outcome, Thread) else outcome[0])


def _pick(ids: list[str], which: int | None) -> str | None:
    return None if which is None else ids[which % len(ids)]


def _name(noun: str) -> str:
    global made
    made += 1
    return f"{noun}_{made:07}"


def _run_machine(opening: Awaitable[Store]) -> None:
    with asyncio.Runner() as runner:
        store = runner.run(_awaited(opening))
        try:
            run_state_machine_as_test(lambda: Machine(runner, store))
        finally:
            runner.run(store.close())


async def _awaited(opening: Awaitable[Store]) -> Store:
    return await opening


def test_sqlite_agrees_with_the_model(tmp_path: Path) -> None:
    """Whatever is done to SQLite and to the model, both say the same."""
    _run_machine(SQLiteStore.open(str(tmp_path / "clew.db")))


def test_sqlite_in_memory_agrees_with_the_model() -> None:
    """Whatever is done to SQLite in memory and to the model, both say the same."""
    _run_machine(SQLiteStore.open(":memory:"))


def test_postgres_agrees_with_the_model(postgres_database: str) -> None:
    """Whatever is done to PostgreSQL and to the model, both say the same."""
    _run_machine(PostgresStore.open(postgres_database))
