"""Runs: one at a time holds its thread, is leased by whoever works on it, and moves step by step.

Everything a taker-over needs is in these records: the run's state, its open calls, its items. What
comes while a run is active is refused, or waits in the thread's line, in the same transaction that
finds the thread busy. A thread that becomes free goes on with its line in the same transaction that
frees it: what waits there is appended, up to the first run, which is then active and due at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from clew.core.busy import REJECT, OnBusy
from clew.core.items import Item
from clew.core.paging import Page
from clew.core.runs import Call, Lease, Run
from clew.core.threads import Receipt, Thread
from clew.core.tool_resources import Grant
from clew.store.once import Once


class Moved(Exception):
    """A run is not, or no longer, as whoever moves it thinks: `run` is how it stands now, `lost`
    that somebody else works on it. Nothing was changed."""

    def __init__(self, run: Run, lost: bool = False) -> None:
        super().__init__(f"run is {run.status}")
        self.run, self.lost = run, lost


class Steered(Exception):
    """A run is not to be completed: others have added to its turn. Nothing was changed."""


class Due(msgspec.Struct, frozen=True):
    """A thread whose active run somebody is to look after."""

    project: str
    thread: str
    run: str


class RunVerbs(Protocol):
    """Raises what `Store` says."""

    async def create_run(
        self,
        project: str,
        run: Run,
        items: Sequence[Item] = (),
        *,
        thread: Thread | None = None,
        on_busy: OnBusy = REJECT,
        lease: Lease | None = None,
        given: Grant | None = None,
        if_revision: int | None = None,
        if_last_seq: int | None = None,
        once: Once | None = None,
    ) -> Run:
        """Store a new run with its input items and make it the thread's active run, under `lease`.

        With `thread`, that thread is created first, in the same transaction: as a fork when it
        names a parent (and `parent_seq`). With `if_last_seq`,
        the thread must end there (else ClewError("conflict")). Returns the run with its seqs set:
        `first_seq` is the first input item's, `input_seq` and `last_seq` the newest item's.
        What is `given` joins what the thread's tools have, as in `append_items`.

        While another run is active, `on_busy` decides: Busy ("reject"), or the run waits in line
        with its input, and is returned with its `place`. "interrupt" and "rollback" put it first,
        and cancel the active run: at once where that waits for its client, else it is `cancelling`
        until whoever works on it lets go. With "steer" the items wait, before all others, for the
        next step of the active run, which is returned; the one given is not stored. (A run that
        waits for its client, or is being cancelled, cannot be steered: then this one waits in
        line.)
        """
        ...

    async def get_run(self, project: str, thread: str, run: str) -> Run:
        """The run as it stands, with its `place` among the runs in line, 1 for the next."""
        ...

    async def list_runs(self, project: str, thread: str, page: Page) -> tuple[list[Run], bool]: ...

    async def update_run(
        self,
        project: str,
        thread: str,
        run: str,
        metadata: dict[str, str],
        *,
        once: Once | None = None,
    ) -> Run:
        """Replace a run's metadata, whatever its status."""
        ...

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
        """Store the run's next state if its status is still `was`, else raise Moved.

        Appends `items` (the run's output, or submitted tool outputs), replaces the bodies of
        `changed` (items it wrote; erased ones stay erased) and records `calls`, new or as they
        ended, in the same transaction. Metadata is left as it stands. Returns the run with
        `last_seq` set.

        Whoever works on the run names its `lease`, which holds from then on: Moved, `lost`, when
        it is somebody else's. What steers the run is appended after `items` where it `steps`; a
        run with a lease that is to be completed raises Steered if there is any. A terminal status
        frees the thread, which goes on with its line (what was to steer the run first): `next_run`
        says with what. The items of a `withdrawn` run are erased as it ends, and
        `items` are not appended. A run that leaves the line before its turn leaves its input
        there.
        """
        ...

    async def erase_run(
        self,
        project: str,
        thread: str,
        run: str,
        receipt: Receipt,
        *,
        once: Once | None = None,
    ) -> Receipt:
        """Remove a run for good: itself, its calls, and recorded answers that show it.

        In a chain its items, input and output, lose their content as by `erase_item`; a chain
        that holds nothing else then is erased as by `erase_thread`. In any other thread the items
        stay: they are the thread's. Allowed while the run is active: its thread is free then, and
        its next move is NotFound. Returns the receipt with its counts; the receipt is kept.
        """
        ...

    # who works on a run

    async def claim_run(self, project: str, thread: str, lease: Lease, now_ms: int) -> Run | None:
        """Take the thread's active run over, if it is due; None if it is not, or there is none."""
        ...

    async def hold_runs(self, runs: Sequence[Due], lease: Lease) -> dict[str, str]:
        """Hold the leases of these runs on; the status of each that is (still) the holder's."""
        ...

    async def list_due(self, now_ms: int, limit: int) -> list[Due]:
        """Threads of every project whose active run is due, those longest due first."""
        ...

    async def list_calls(self, project: str, thread: str, run: str) -> list[Call]:
        """The model calls of a run, in the order they began."""
        ...
