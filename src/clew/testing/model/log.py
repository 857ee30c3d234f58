"""A thread in the model: its items, its runs, and what waits in its line."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from clew.core.compactions import through
from clew.core.errors import ClewError, NotFound
from clew.core.items import Item
from clew.core.runs import Call, Lease, Run, due_at, promoted
from clew.core.threads import Thread


class Waiting(msgspec.Struct):
    """What came while a run was active: a run with its input, or items alone."""

    items: list[Item]
    run: str | None = None
    steers: bool = False


class Log(msgspec.Struct):
    """A thread with all that is in it; the item at index i has seq i + 1, erased ones too."""

    thread: Thread
    items: list[Item] = []
    erased: set[str] = set()
    runs: dict[str, Run] = {}
    calls: dict[str, Call] = {}
    line: list[Waiting] = []
    holders: dict[str, str | None] = {}
    due: dict[str, int | None] = {}
    shared: dict[str, int] = {}
    """Ancestor -> how many of the first items were in its log too."""

    # items

    def find(self, item: str) -> int:
        """The index of an item that is still there."""
        if item not in self.erased:
            for index, found in enumerate(self.items):
                if found.id == item:
                    return index
        raise NotFound("item", item)

    def place(self, item: str) -> tuple[list[Item], int]:
        """Where an item stands, in the log or in line: in which list, and its index."""
        for entry in self.line:
            for index, found in enumerate(entry.items):
                if found.id == item:
                    return entry.items, index
        return self.items, self.find(item)

    def shown(self) -> list[Item]:
        return [item for item in self.items if item.id not in self.erased]

    def summaries_of(self, seq: int) -> set[str]:
        """The compactions that stand for the item at `seq`."""
        later = [item for item in self.shown() if item.kind == "compaction" and item.seq > seq]
        return {item.id for item in later if through(item) >= seq}

    def change(self, now_ms: int) -> None:
        self.thread.revision += 1
        self.thread.updated_at = now_ms
        self.thread.last_seq = len(self.items)

    def append(self, items: Sequence[Item], now_ms: int) -> None:
        self.check_ids(items)
        for seq, item in enumerate(items, start=len(self.items) + 1):
            self.items.append(replace(item, seq=seq))
        self.change(now_ms)

    def check_ids(self, items: Sequence[Item]) -> None:
        waiting = [item for entry in self.line for item in entry.items]
        ids = [item.id for item in (*self.items, *waiting, *items)]
        if len(ids) != len(set(ids)):
            raise ClewError("conflict", "An item with this id is there already.")

    def put_body(self, item: Item) -> None:
        """Another body for an item that is still there."""
        for index, found in enumerate(self.items):
            if found.id == item.id and item.id not in self.erased:
                self.items[index] = replace(found, body=item.body)

    # runs

    def run(self, key: str) -> Run:
        if key not in self.runs:
            raise NotFound("run", key)
        keys = [entry.run for entry in self.line if entry.run is not None]
        return replace(self.runs[key], place=keys.index(key) + 1 if key in keys else None)

    def put(self, run: Run, lease: Lease | None = None) -> None:
        """Another state of a run; without a lease its own holds on while it needs one."""
        self.runs[run.key] = run
        due = due_at(run, lease)
        if run.is_terminal or run.status == "requires_action":
            self.holders[run.key], self.due[run.key] = None, due
            return
        if lease is not None:
            self.holders[run.key] = lease.holder
        if due is not None:
            self.due[run.key] = due

    def begin(self, run: Run, items: Sequence[Item], now_ms: int) -> tuple[int, int]:
        """The thread is held by a run from its input on: the first and the last seq of that."""
        first_seq = len(self.items) + 1
        self.thread.active_run = run.key
        self.append(items, now_ms)
        return first_seq, len(self.items)

    # the line

    def join(self, entry: Waiting, *, first: bool) -> None:
        """Last of all; what steers comes before what does not, and so does who is first."""
        ahead = [one for one in self.line if one.steers]
        behind = self.line[len(ahead) :]
        if entry.steers:
            ahead.append(entry)
        else:
            behind.insert(0 if first else len(behind), entry)
        self.line = ahead + behind

    def steering(self) -> list[Waiting]:
        return [entry for entry in self.line if entry.steers]

    def take_steering(self) -> list[Item]:
        items = [item for entry in self.steering() for item in entry.items]
        self.line = self.line[len(self.steering()) :]
        return items

    def leave(self, run: str) -> None:
        """A run no longer waits; its input does."""
        for entry in self.line:
            if entry.run == run:
                entry.run = None

    def leave_with_input(self, run: str) -> list[Item]:
        entry = next(entry for entry in self.line if entry.run == run)
        self.line.remove(entry)
        return entry.items

    def go_on(self, now_ms: int) -> str | None:
        """Append what is in line, up to a run, which holds the thread then."""
        while self.line and self.thread.active_run is None:
            entry = self.line.pop(0)
            if entry.run is None:
                self.append(entry.items, now_ms)
                continue
            run = replace(self.runs[entry.run], place=None)
            seqs = self.begin(run, entry.items, now_ms)
            self.put(promoted(run, now_ms, *seqs), Lease("", now_ms))
        return self.thread.active_run
