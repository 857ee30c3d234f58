"""`store: false`: a turn that reads a thread but leaves nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clew.core.items import Item
from clew.core.runs import Call, Run
from clew.store.store import Store


class Unstored:
    """The log of one run that is not stored: its input, after the items of a stored thread.

    `history` is the store to read that thread from, None for none; `last_seq` is where it ends.
    The run and the items get the seqs that they would have got there.
    """

    def __init__(
        self, run: Run, items: Sequence[Item], history: Store | None = None, last_seq: int = 0
    ) -> None:
        self._run, self._history, self._last_seq = run, history, last_seq
        self._newest = list(reversed(items))
        for seq, item in enumerate(items, last_seq + 1):
            item.seq = seq
        run.first_seq, run.input_seq = last_seq + 1, last_seq + len(items)
        run.last_seq = run.input_seq

    async def read_items(self, project: str, thread: str, *, below: int, limit: int) -> list[Item]:
        found = [item for item in self._newest if item.seq < below][:limit]
        if self._history is not None and len(found) < limit:
            below = min(below, self._last_seq + 1)
            found += await self._history.read_items(
                project, thread, below=below, limit=limit - len(found)
            )
        return found

    async def get_run(self, project: str, thread: str, run: str) -> Run:
        return self._run

    async def list_calls(self, project: str, thread: str, run: str) -> list[Call]:
        return []

    async def move_run(
        self,
        project: str,
        was: str,
        run: Run,
        items: Sequence[Item] = (),
        changed: Sequence[Item] = (),
        **_: Any,
    ) -> Run:
        now = {item.id: item for item in changed}
        self._newest = [now.get(item.id, item) for item in self._newest]
        for item in items:
            item.seq = (self._newest[0].seq if self._newest else self._last_seq) + 1
            self._newest.insert(0, item)
        self._run = run
        return run
