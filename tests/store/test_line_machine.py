"""Busy threads, step by step: whatever comes while a run is active, engine and model say the same.

One thread is written to by everybody, and forked; its runs are leased, steered, cut off, withdrawn
and erased. Few choices for each step: a line is long before long.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from clew.core.busy import ON_BUSY, OnBusy
from clew.core.runs import MOVES, TERMINAL, Run
from clew.core.threads import Receipt, Thread
from clew.store.postgres import PostgresStore
from clew.store.runs import Due
from clew.store.sqlite import SQLiteStore

from .comparison import Comparison, new_name, run_machine

recent = st.integers(0, 7)
"""Chooses among the newest: runs and items that wait, mostly, and some that waited."""
counts = st.integers(0, 2)
defaults = st.sampled_from(["queue", "queue", "queue", "steer", *ON_BUSY])
policies = st.none() | defaults
holders = st.sampled_from([None, "one", "two"])
retries = st.sampled_from([None, None, ("k1", "f1", False), ("k1", "f2", False)])
ends = st.sampled_from(["completed", *sorted(TERMINAL)])


class LineMachine(Comparison):
    """A thread that is busy most of the time, in an engine and in the model."""

    @initialize(chain=st.booleans(), policy=policies)
    def begin(self, chain: bool, policy: str | None) -> None:
        at, items = self.tick(), self.new_items(1)
        thread = Thread(new_name("t"), at, at, chain=chain, on_busy=policy)
        self.threads.append(thread.key)
        self.both(lambda s: s.create_thread(self.project, thread, items), thread.key)

    # what comes

    @rule(policy=policies, project=defaults, count=counts, holder=holders, retry=retries)
    def run_comes(
        self, policy: str | None, project: str, count: int, holder: str | None, retry: Any
    ) -> None:
        key, at, items = self.threads[0], self.tick(), self.new_items(count)
        run = Run(new_name("run"), key, at, "m", expires_at=at + 9)
        self.runs.append(run)
        given = {"on_busy": OnBusy(policy, project), "lease": self.lease(holder)}
        given["once"] = self.once(retry)
        self.both(lambda s: s.create_run(self.project, run, items, **given), key)

    @rule(policy=policies, count=st.integers(1, 2), retry=retries)
    def items_come(self, policy: str | None, count: int, retry: Any) -> None:
        key, at, items = self.threads[0], self.tick(), self.new_items(count)
        given = {"on_busy": OnBusy(policy, "queue"), "once": self.once(retry)}
        self.both(lambda s: s.append_items(self.project, key, items, at, **given), key)

    @rule(policy=defaults, item=recent)
    def item_comes_twice(self, policy: str, item: int) -> None:
        """Under an id that the log or the line may have already, or had."""
        key, at, new = self.threads[0], self.tick(), self.new_items(1)
        new[0].id = self.item(item)
        self.both(lambda s: s.append_items(self.project, key, new, at, on_busy=OnBusy(policy)), key)

    @rule(policy=defaults)
    def thread_has_a_policy(self, policy: str) -> None:
        key, at = self.threads[0], self.tick()
        self.both(lambda s: s.update_thread(self.project, key, at, on_busy=policy), key)

    # how runs go on

    @rule(status=st.integers(0, 5), count=counts, holder=holders, steps=st.booleans(), item=recent)
    def active_run_moves(
        self, status: int, count: int, holder: str | None, steps: bool, item: int
    ) -> None:
        run = self._active_run()
        if run is not None and not run.is_terminal:
            next = sorted(MOVES[run.status] - TERMINAL) or [run.status]
            if run.status in ("queued", "in_progress"):
                next = ["in_progress", "in_progress", "requires_action", *next]
            given = {"changed": self.changed(run, item), "calls": [self.call(run)]}
            given |= {"lease": self.lease(holder), "steps": steps}
            self._move(run, next[status % len(next)], count, **given)

    @rule(status=ends, count=counts, holder=holders)
    def active_run_ends(self, status: str, count: int, holder: str | None) -> None:
        run = self._active_run()
        if run is not None:
            self._move(run, status, count, lease=self.lease(holder))

    @rule(which=recent, status=ends, holder=holders)
    def any_run_ends(self, which: int, status: str, holder: str | None) -> None:
        """One in line, mostly; one that has ended stays so."""
        run = self._recent(which)
        if not self.stands(run).is_terminal:
            self._move(run, status, 1, lease=self.lease(holder))

    @rule(which=recent, retry=retries)
    def run_is_erased(self, which: int, retry: Any) -> None:
        run, at, id = self._recent(which), self.tick(), new_name("rcpt")
        receipt = Receipt(id, run.thread, at, 0, 0)
        once = self.once(retry)
        self.both(
            lambda s: s.erase_run(self.project, run.thread, run.key, receipt, once=once),
            run.thread,
        )

    # who works on them

    @rule(holder=st.sampled_from(["one", "two"]), wait=st.integers(0, 12))
    def run_is_looked_after(self, holder: str, wait: int) -> None:
        """Who holds a run holds it on; later somebody finds it due, and takes it."""
        runs = [Due(self.project, run.thread, run.key) for run in self.runs]
        held = self.lease(holder)
        self.same(lambda s: s.hold_runs(runs, held))
        self.now += wait
        key, lease, at = self.threads[0], self.lease(holder), self.now
        self.same(lambda s: self._due(s, at))
        self.both(lambda s: s.claim_run(self.project, key, lease, at), key)

    # what waits, and what is shared

    @rule(what=st.sampled_from(["read", "change", "erase"]), item=recent)
    def item_is_touched(self, what: str, item: int) -> None:
        key, id, at = self.threads[0], self.item(item), self.tick()
        if what == "read":
            self.same(lambda s: s.get_item(self.project, key, id))
        elif what == "change":
            self.both(lambda s: s.update_item(self.project, key, id, {"k": str(at)}, at), key)
        else:
            self.both(lambda s: s.erase_item(self.project, key, id, at), key)

    @rule(what=st.sampled_from(["fork", "fork", "chain", "thread"]))
    def thread_is_left(self, what: str) -> None:
        """It is forked, or erased, and a new one takes its place."""
        key, at, new = self.threads[0], self.tick(), Thread(new_name("t"), self.now, self.now)
        if what == "fork":
            self.threads.append(new.key)
            self.both(lambda s: s.fork_thread(self.project, key, new), new.key)
            return
        receipt = Receipt(new_name("rcpt"), key, at, 0, 0)
        self.both(lambda s: s.erase_thread(self.project, key, receipt), key)
        new.chain = what == "chain"
        self.threads.insert(0, new.key)
        self.both(lambda s: s.create_thread(self.project, new), new.key)

    def teardown(self) -> None:
        for key in self.threads:
            self.compare(key)

    # what the rules stand on

    async def _due(self, store: Any, at: int) -> list[str]:
        """The machines of a session share a database: what is due of others is passed over."""
        due = await store.list_due(at, 100_000)
        return sorted(one.run for one in due if one.project == self.project)

    def _move(self, run: Run, status: str, count: int, **given: Any) -> None:
        stands, at, items = self.stands(run), self.tick(), self.new_items(count, run.key)
        next = msgspec.structs.replace(stands, status=status)
        self.both(
            lambda s: s.move_run(self.project, stands.status, next, items, now_ms=at, **given),
            run.thread,
        )

    def _recent(self, which: int) -> Run:
        return self.runs[-1 - which % len(self.runs)]

    def _active_run(self) -> Run | None:
        key = self.active(self.threads[0])
        found = [self.stands(run) for run in self.runs if run.key == key]
        return found[0] if found else None


def test_sqlite_agrees_with_the_model_on_busy_threads(tmp_path: Path) -> None:
    """Whatever comes to a busy thread in SQLite and in the model, both say the same."""
    run_machine(LineMachine, SQLiteStore.open(str(tmp_path / "clew.db")))


def test_postgres_agrees_with_the_model_on_busy_threads(postgres_database: str) -> None:
    """Whatever comes to a busy thread in PostgreSQL and in the model, both say the same."""
    run_machine(LineMachine, PostgresStore.open(postgres_database))
