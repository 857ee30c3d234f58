"""Runs in the model, and who works on them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from msgspec.structs import replace

from clew.core.busy import REJECT, OnBusy
from clew.core.errors import ClewError
from clew.core.items import Item
from clew.core.paging import Page
from clew.core.runs import Call, Lease, Run, moved
from clew.core.threads import Receipt, Thread
from clew.store.once import Once
from clew.store.runs import Due, Moved, Steered
from clew.testing.model.lines import Lines
from clew.testing.model.log import Log
from clew.testing.model.pages import page_of


class RunVerbs(Lines):
    async def create_run(
        self,
        project: str,
        run: Run,
        items: Sequence[Item] = (),
        *,
        thread: Thread | None = None,
        on_busy: OnBusy = REJECT,
        lease: Lease | None = None,
        if_revision: int | None = None,
        if_last_seq: int | None = None,
        once: Once | None = None,
    ) -> Run:
        def act() -> Run:
            if thread is not None and thread.parent is not None:
                parent = self._log(project, thread.parent)
                self._fork(project, parent, thread, thread.parent_seq)
            elif thread is not None:
                self._create(project, thread, ())
            log = self._log(project, run.thread, if_revision)
            made = run
            if log.thread.active_run is not None:
                policy = on_busy.policy(log.thread.on_busy)
                made = self._arrive(project, log, policy, items, run.created_at, run)
            elif if_last_seq not in (None, len(log.items)):
                raise ClewError("conflict", f"The thread goes on to {len(log.items)}.")
            return made if log.thread.active_run else _begin(log, run, items, lease)

        scope = "" if thread is not None else run.thread
        return self._act((project, scope), once, act, run.thread)

    async def get_run(self, project: str, thread: str, run: str) -> Run:
        return deepcopy(self._log(project, thread).run(run))

    async def list_runs(self, project: str, thread: str, page: Page) -> tuple[list[Run], bool]:
        log = self._log(project, thread)
        runs = sorted(log.runs.values(), key=lambda run: (run.created_at, run.key))
        return page_of([log.run(run.key) for run in runs], page, "run")

    async def update_run(
        self,
        project: str,
        thread: str,
        run: str,
        metadata: dict[str, str],
        *,
        once: Once | None = None,
    ) -> Run:
        def act() -> Run:
            log = self._log(project, thread)
            log.run(run)
            log.runs[run].metadata = deepcopy(metadata)
            return log.run(run)

        return self._act((project, thread), once, act)

    async def move_run(
        self,
        project: str,
        was: str,
        run: Run,
        items: Sequence[Item] = (),
        *,
        now_ms: int,
        changed: Sequence[Item] = (),
        calls: Sequence[Call] = (),
        lease: Lease | None = None,
        steps: bool = False,
        once: Once | None = None,
    ) -> Run:
        def act() -> Run:
            log = self._log(project, run.thread)
            stands = log.run(run.key)
            lost = lease is not None and log.holders.get(run.key) not in (None, lease.holder)
            if lost or stands.status != was:
                raise Moved(deepcopy(stands), lost)
            is_active = log.thread.active_run == run.key
            if is_active and lease and run.status == "completed" and log.steering():
                raise Steered
            ends = is_active and run.is_terminal
            new = [] if ends and stands.withdrawn else list(items)
            log.check_ids(new)
            for item in changed:
                log.put_body(item)
            new += log.take_steering() if steps and is_active else []
            log.append(new, now_ms)
            after = moved(deepcopy(run), stands, len(log.items) if new else None)
            if ends:
                log.thread.active_run = None
                self._withdraw(project, log, after)
                after.next_run = log.go_on(now_ms)
            elif run.is_terminal:
                log.leave(run.key)
            log.put(after, lease)
            log.calls |= {call.key: deepcopy(call) for call in calls}
            return after

        return self._act((project, run.thread), once, act)

    async def erase_run(
        self,
        project: str,
        thread: str,
        run: str,
        receipt: Receipt,
        *,
        once: Once | None = None,
    ) -> Receipt:
        def act() -> Receipt:
            log = self._log(project, thread)
            erased = log.run(run)
            if log.thread.chain and _holds_only(log, erased):
                return self._erase_thread(project, thread, receipt)
            ids = self._erase_items(log, erased) if log.thread.chain else set()
            log.leave(run)
            del log.runs[run]
            log.calls = {key: call for key, call in log.calls.items() if call.run != run}
            if log.thread.active_run == run:
                log.thread.active_run = None
                self._withdraw(project, log, erased)
                log.go_on(receipt.erased_at)
            log.change(receipt.erased_at)
            for id in (*ids, run):
                self._erase_answers(project, thread, id)
            return replace(receipt, items=len(ids), runs=1)

        return self._act((project, thread), once, act)

    def _erase_items(self, log: Log, run: Run) -> set[str]:
        """Erase the items of a run, and what stands for them: which that were."""
        if run.waits_in_line:
            return {item.id for item in log.leave_with_input(run.key)}
        erased = set(_items_of(log, run)) | log.summaries_of(run.first_seq)
        log.erased |= erased
        return erased

    # who works on a run

    async def claim_run(self, project: str, thread: str, lease: Lease, now_ms: int) -> Run | None:
        log = self._log(project, thread)
        key = log.thread.active_run
        due = None if key is None else log.due.get(key)
        if key is None or due is None or due > now_ms:
            return None
        log.runs[key].attempts += 1
        log.holders[key], log.due[key] = lease.holder, lease.until
        return deepcopy(log.run(key))

    async def hold_runs(self, runs: Sequence[Due], lease: Lease) -> dict[str, str]:
        held = {}
        for one in runs:
            log = self._logs.get(one.project, {}).get(one.thread)
            run = None if log is None else log.runs.get(one.run)
            if log is None or run is None or run.status == "requires_action":
                continue
            if log.holders.get(run.key) == lease.holder and log.due.get(run.key) is not None:
                log.due[run.key] = lease.until
                held[run.key] = run.status
        return held

    async def list_due(self, now_ms: int, limit: int) -> list[Due]:
        due = [
            (at, Due(project, thread, run))
            for project, logs in self._logs.items()
            for thread, log in logs.items()
            for run, at in log.due.items()
            if run in log.runs and at is not None and at <= now_ms
        ]
        return [one for _, one in sorted(due, key=lambda one: one[0])][:limit]

    async def list_calls(self, project: str, thread: str, run: str) -> list[Call]:
        log = self._log(project, thread)
        log.run(run)
        return deepcopy([call for call in log.calls.values() if call.run == run])


def _begin(log: Log, run: Run, items: Sequence[Item], lease: Lease | None) -> Run:
    first_seq, last_seq = log.begin(run, items, run.created_at)
    seqs = {"first_seq": first_seq, "input_seq": last_seq, "last_seq": last_seq}
    log.put(replace(deepcopy(run), **seqs), lease)
    return log.run(run.key)


def _items_of(log: Log, run: Run) -> list[str]:
    """Its input and output."""
    last = run.last_seq if run.is_terminal else len(log.items)
    own = [item for item in log.shown() if item.seq > log.thread.parent_seq]
    return [item.id for item in own if run.first_seq <= item.seq <= last]


def _holds_only(log: Log, run: Run) -> bool:
    """Whether a thread has nothing beside this run and its items."""
    own = [item for item in log.shown() if item.seq > log.thread.parent_seq]
    return len(log.runs) == 1 and not log.line and len(own) == len(_items_of(log, run))
