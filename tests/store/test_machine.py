"""Engines against the plain model, step by step: whatever is done to both, both say the same.

Many acts at once are checked too: each acknowledged change names its revision, so the engine's
order is known; done in that order, one after the other, the model must end up the same.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from clew.core.errors import Stale
from clew.core.paging import Page, ThreadQuery
from clew.core.runs import MOVES, Run
from clew.core.threads import Receipt, Thread
from clew.store.postgres import PostgresStore
from clew.store.sqlite import SQLiteStore
from clew.testing.conformance.proof import log

from .comparison import Act, Comparison, new_name, outcome_of, run_machine, told_as

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


class Machine(Comparison):
    """Everything but what happens on busy threads (test_line_machine.py)."""

    # writing

    @initialize(count=counts)
    def begin(self, count: int) -> None:
        self.create_thread(count, {}, True, None)

    @rule(count=counts, metadata=metadata, chain=st.booleans(), retry=retries)
    def create_thread(self, count: int, metadata: dict[str, str], chain: bool, retry: Any) -> None:
        at, items = self.tick(), self.new_items(count)
        thread = Thread(new_name("t"), at // 3, at, metadata, chain=chain)
        self.threads.append(thread.key)
        self.both(
            lambda s: s.create_thread(self.project, thread, items, once=self.once(retry)),
            thread.key,
        )

    @rule(which=which, count=st.integers(1, 4), revision=revisions, retry=retries)
    def append_items(self, which: int, count: int, revision: Any, retry: Any) -> None:
        key, at, items = self.thread(which), self.tick(), self.new_items(count)
        given = {"if_revision": self.revision(key, revision), "once": self.once(retry)}
        self.both(lambda s: s.append_items(self.project, key, items, at, **given), key)

    @rule(which=which, metadata=metadata, revision=revisions, retry=retries)
    def update_thread(
        self, which: int, metadata: dict[str, str], revision: Any, retry: Any
    ) -> None:
        key, at = self.thread(which), self.tick()
        given = {"if_revision": self.revision(key, revision), "once": self.once(retry)}
        self.both(lambda s: s.update_thread(self.project, key, at, metadata=metadata, **given), key)

    @rule(which=which, item=which, metadata=metadata, revision=revisions, retry=retries)
    def update_item(
        self, which: int, item: int, metadata: dict[str, str], revision: Any, retry: Any
    ) -> None:
        key, id, at = self.thread(which), self.item(item), self.tick()
        given = {"if_revision": self.revision(key, revision), "once": self.once(retry)}
        self.both(lambda s: s.update_item(self.project, key, id, metadata, at, **given), key)

    @rule(which=which, item=which, revision=revisions, retry=retries)
    def erase_item(self, which: int, item: int, revision: Any, retry: Any) -> None:
        key, id, at = self.thread(which), self.item(item), self.tick()
        given = {"if_revision": self.revision(key, revision), "once": self.once(retry)}
        self.both(lambda s: s.erase_item(self.project, key, id, at, **given), key)

    @rule(which=which, at=st.none() | counts, revision=revisions, retry=retries)
    def fork_at_seq(self, which: int, at: int | None, revision: Any, retry: Any) -> None:
        self._fork(which, revision, retry, at_seq=at)

    @rule(which=which, item=which)
    def fork_at_item(self, which: int, item: int) -> None:
        self._fork(which, None, None, at_item=self.item(item))

    @rule(which=which, retry=retries)
    def erase_thread(self, which: int, retry: Any) -> None:
        key, at, id = self.thread(which), self.tick(), new_name("rcpt")
        self.both(
            lambda s: s.erase_thread(
                self.project, key, Receipt(id, key, at, 0, 0), once=self.once(retry)
            ),
            key,
        )

    @rule(which=which, count=counts, end=st.none() | counts, revision=revisions, retry=retries)
    def create_run(
        self, which: int, count: int, end: int | None, revision: Any, retry: Any
    ) -> None:
        key, at, items = self.thread(which), self.tick(), self.new_items(count)
        revision = self.revision(key, revision)
        run = Run(new_name("run"), key, at, "m")
        self.runs.append(run)
        given = {"if_revision": revision, "once": self.once(retry)}
        if revision is None and self.active(key) is None:
            given["if_last_seq"] = end
        self.both(lambda s: s.create_run(self.project, run, items, **given), key)

    @rule(which=which, guess=st.none() | statuses, status=statuses, count=counts, retry=retries)
    def move_run(self, which: int, guess: str | None, status: str, count: int, retry: Any) -> None:
        run, at = self.runs[which % len(self.runs)], self.tick()
        stands = self.stands(run)
        items = self.new_items(count, run.key)
        if stands.is_terminal:  # nobody moves it: terminal states stay terminal
            guess = "queued"
        was, next = guess or stands.status, msgspec.structs.replace(stands, status=status)
        once = self.once(retry)
        self.both(
            lambda s: s.move_run(self.project, was, next, items, now_ms=at, once=once), run.thread
        )

    @rule(which=which, metadata=metadata)
    def update_run(self, which: int, metadata: dict[str, str]) -> None:
        run = self.runs[which % len(self.runs)]
        self.both(lambda s: s.update_run(self.project, run.thread, run.key, metadata), run.thread)

    @rule(which=which, retry=retries)
    def erase_run(self, which: int, retry: Any) -> None:
        run, at, id = self.runs[which % len(self.runs)], self.tick(), new_name("rcpt")
        self.both(
            lambda s: s.erase_run(
                self.project,
                run.thread,
                run.key,
                Receipt(id, run.thread, at, 0, 0),
                once=self.once(retry),
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
        key = self.thread(which)
        shown = self.told_by_model(lambda s: s.list_items(self.project, key, Page(100)))
        ids = [item.id for item in shown[0]] if isinstance(shown, tuple) else []
        ids.append(self.items[limit % len(self.items)])
        page = Page(limit, order, _pick(ids, after), _pick(ids, before))
        of_run = None if run is None else self.runs[run % len(self.runs)].key
        wanted = {"kinds": kinds, "run": of_run, "upto": upto}
        self.same(lambda s: s.list_items(self.project, key, page, **wanted))

    @rule(which=which, below=st.integers(1, 12), limit=st.integers(1, 6))
    def read_items(self, which: int, below: int, limit: int) -> None:
        key = self.thread(which)
        self.same(lambda s: s.read_items(self.project, key, below=below, limit=limit))

    @rule(which=which, item=which)
    def get_item(self, which: int, item: int) -> None:
        self.same(lambda s: s.get_item(self.project, self.thread(which), self.item(item)))

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
        self.same(lambda s: s.list_threads(self.project, query))

    @rule(which=which, order=orders, limit=st.integers(1, 3), after=cursors)
    def list_runs(self, which: int, order: str, limit: int, after: int | None) -> None:
        page = Page(limit, order, _pick([run.key for run in self.runs], after))
        self.same(lambda s: s.list_runs(self.project, self.thread(which), page))

    @rule(which=which, item=which)
    def another_project(self, which: int, item: int) -> None:
        """Nothing of ours is there for somebody else."""
        key, id, stranger = self.thread(which), self.item(item), self.project + "x"
        for act in (
            lambda s: s.append_items(stranger, key, self.new_items(1), self.now),
            lambda s: s.erase_item(stranger, key, id, self.now),
            lambda s: s.erase_thread(stranger, key, Receipt(new_name("rcpt"), key, 0, 0, 0)),
            lambda s: s.list_items(stranger, key, Page()),
        ):
            self.both(act, key)

    # many at once

    @rule(acts=crowds)
    def crowd(self, acts: list[tuple[str, int, int]]) -> None:
        """The engine does all at once; the model does the same in the order the engine told."""
        self.tick()
        known = list(self.items)
        chosen = [(self.thread(one[1]), self._crowd_act(*one, known)) for one in acts]
        told = self.runner.run(_gather(act(self.store) for _, act in chosen))
        done = [
            (key, outcome, act)
            for (key, act), outcome in zip(chosen, told, strict=True)
            if not isinstance(outcome, Exception) and not _is_fork(outcome)
        ]
        for _, outcome, act in sorted(done, key=lambda one: (one[0], _revision_of(one[1]))):
            assert self.plain(outcome) == self.plain(self.told_by_model(act))
        for (_, act), outcome in zip(chosen, told, strict=True):
            if isinstance(outcome, Exception):
                refused = self.told_by_model(act)
                assert _gist(refused) == _gist(outcome)
        for (key, _), outcome in zip(chosen, told, strict=True):
            if _is_fork(outcome):
                self._check_prefix(key, outcome)
        for key in {key for key, _ in chosen}:
            self.compare(key)

    def _crowd_act(self, kind: str, which: int, count: int, known: list[str]) -> Act:
        """An act that, once refused, is refused ever after: it erases only what was there."""
        key, at, items = self.thread(which), self.now, self.new_items(count)
        revision, fork = self.revision(key, "current"), Thread(new_name("t"), at, at)
        id, project = known[-1 - which * count % len(known)], self.project
        match kind:
            case "append":
                return lambda s: s.append_items(project, key, items, at)
            case "append at":
                return lambda s: s.append_items(project, key, items, at, if_revision=revision)
            case "once":
                once = self.once(("crowd", "f", False))
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
        whole = self.told_by_model(lambda s: log(s, self.project, parent))
        shared = self.runner.run(log(self.store, self.project, fork.key))
        expected = [item.id for item in whole if item.seq <= fork.parent_seq]
        ids = [item.id for item in shared]
        assert [id for id in ids if id in expected] == expected
        assert all(item.seq <= fork.parent_seq for item in shared)
        receipt = Receipt(new_name("rcpt"), fork.key, self.now, 0, 0)
        self.runner.run(self.store.erase_thread(self.project, fork.key, receipt))

    def teardown(self) -> None:
        for key in self.threads:
            self.compare(key)
        self.same(lambda s: s.list_threads(self.project, ThreadQuery(Page(100))))

    # what the rules stand on

    def _fork(self, which: int, revision: Any, retry: Any, **point: Any) -> None:
        key, at = self.thread(which), self.tick()
        fork = Thread(new_name("t"), at // 3, at)
        self.threads.append(fork.key)
        given = {"if_revision": self.revision(key, revision), "once": self.once(retry)}
        self.both(lambda s: s.fork_thread(self.project, key, fork, **point, **given), key)
        self.compare(fork.key)


async def _gather(acts: Any) -> list[Any]:
    return await asyncio.gather(*map(outcome_of, acts))


def _gist(error: Any) -> Any:
    """What a refusal in a crowd says, whenever in the order it was said."""
    assert isinstance(error, Exception), error
    return told_as(error)[:1] if isinstance(error, Stale) else told_as(error)


def _is_fork(outcome: Any) -> bool:
    return isinstance(outcome, Thread) and outcome.revision == 1 and outcome.parent is not None


def _revision_of(outcome: Any) -> int:
    return int(outcome.revision if isinstance(outcome, Thread) else outcome[0])


def _pick(ids: list[str], which: int | None) -> str | None:
    return None if which is None else ids[which % len(ids)]


def test_sqlite_agrees_with_the_model(tmp_path: Path) -> None:
    """Whatever is done to SQLite and to the model, both say the same."""
    run_machine(Machine, SQLiteStore.open(str(tmp_path / "clew.db")))


def test_sqlite_in_memory_agrees_with_the_model() -> None:
    """Whatever is done to SQLite in memory and to the model, both say the same."""
    run_machine(Machine, SQLiteStore.open(":memory:"))


def test_postgres_agrees_with_the_model(postgres_database: str) -> None:
    """Whatever is done to PostgreSQL and to the model, both say the same."""
    run_machine(Machine, PostgresStore.open(postgres_database))
