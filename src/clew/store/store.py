"""The seam between Clew and a database: one `Store` of domain verbs.

Every verb is one transaction: when it returns the change is on disk, when it raises nothing was
changed. Every verb names a project; whatever belongs to another project is not found. Times, ids
and the run's next state are given, never invented here; `seq` and `revision` are the engine's.

Raises, wherever they apply:

- `NotFound(noun, id)`: thread, item, run or assistant;
- `Busy(thread, run)`: the thread has an active run, and the verb writes to its log (`on_busy`);
- `Stale(expected, actual)`: `if_revision` is given and is not the thread's revision;
- `Replayed(answer)`: `once` was answered before, nothing is done again;
- `ClewError("key_reused")`: the same key came before with another request;
- `ClewError("conflict")`: an id is taken: a thread's key, or an item's id in its thread;
- `ClewError("unavailable")`: the database is locked, full or gone. Nothing was changed, unless the
  connection to a server was lost in the middle of a commit: then only `once` can tell.

A thread that is missing is named before anything else that is. A new thread is at revision 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from clew.core.assistants import Assistant
from clew.core.busy import REJECT, OnBusy
from clew.core.items import Item
from clew.core.paging import Page, ThreadQuery
from clew.core.threads import Receipt, Thread
from clew.core.tool_resources import Grant
from clew.store.completions import CompletionVerbs
from clew.store.events import EventVerbs
from clew.store.files import FileVerbs
from clew.store.once import Once
from clew.store.routing import RoutingVerbs
from clew.store.runs import RunVerbs
from clew.store.vector_stores import VectorStoreVerbs
from clew.store.webhooks import WebhookVerbs


class ThreadStore(Protocol):
    """A durable home for threads. Safe for any number of concurrent callers on its event loop."""

    # threads

    async def create_thread(
        self,
        project: str,
        thread: Thread,
        items: Sequence[Item] = (),
        *,
        given: Grant | None = None,
        once: Once | None = None,
    ) -> Thread:
        """Store a new thread with its first items, in the order given.

        What is `given` to its tools, here and wherever else, is checked and made in the same
        transaction: NotFound("file") or ("vector_store") for what is not there.
        """
        ...

    async def get_thread(self, project: str, thread: str) -> Thread:
        """The thread as it stands."""
        ...

    async def list_threads(self, project: str, query: ThreadQuery) -> tuple[list[Thread], bool]:
        """Threads that match, by creation (then key), and whether there are more.

        An unknown cursor is NotFound("thread").
        """
        ...

    async def update_thread(
        self,
        project: str,
        thread: str,
        now_ms: int,
        *,
        metadata: dict[str, str] | None = None,
        tool_resources: dict[str, Any] | None = None,
        on_busy: str | None = None,
        given: Grant | None = None,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Thread:
        """Replace what is said; None leaves it. Allowed while a run is active."""
        ...

    async def fork_thread(
        self,
        project: str,
        parent: str,
        fork: Thread,
        *,
        at_item: str | None = None,
        at_seq: int | None = None,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Thread:
        """A new thread that shares the parent's items up to and including `at_item` (or `at_seq`;
        without both, all of them). Moves no data: the cost does not depend on their number.
        BadRequest for an `at_seq` that the parent has not reached.

        From then on the two are independent: what is appended, changed or erased in one is not in
        the other. Allowed while a run is active. NotFound("item") for an item that is not there.
        """
        ...

    async def erase_thread(
        self,
        project: str,
        thread: str,
        receipt: Receipt,
        *,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Receipt:
        """Remove the thread, its items, runs, calls and recorded answers for good.

        Items that forks share stay readable through those forks alone, and go with the last one.
        Allowed while a run is active: the run's next move is then NotFound.
        Returns the receipt with its counts filled in; the receipt is kept.
        """
        ...

    # items

    async def append_items(
        self,
        project: str,
        thread: str,
        items: Sequence[Item],
        now_ms: int,
        *,
        on_busy: OnBusy = REJECT,
        given: Grant | None = None,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> tuple[int, int]:
        """Append all items, in the order given; returns the thread's (revision, last_seq).

        The items get consecutive seqs ending in `last_seq`. While a run is active, `on_busy` says
        what happens (`RunVerbs.create_run`); items that wait in line have the seq 0, and can be
        read and erased by their ids, and by nothing else.
        The items get consecutive seqs ending in `last_seq`. What is `given` joins what the
        thread's tools have: BadRequest where that is too much, or its store has expired.
        """
        ...

    async def list_items(
        self,
        project: str,
        thread: str,
        page: Page,
        *,
        kinds: Sequence[str] | None = None,
        run: str | None = None,
        upto: int | None = None,
    ) -> tuple[list[Item], bool]:
        """One page of the log by seq, and whether there are more in that direction.

        `kinds`, `run` and `upto` (the last seq that counts) filter. A cursor may be an erased
        item; an unknown one is NotFound("item"). With `before`, the entries nearest to it, in the
        order asked for.
        """
        ...

    async def read_items(self, project: str, thread: str, *, below: int, limit: int) -> list[Item]:
        """Up to `limit` items with seq < `below`, newest first: how a window reads the log.

        Erased items are not among them. Fewer than `limit` means the beginning was reached.
        """
        ...

    async def get_item(self, project: str, thread: str, item: str) -> Item:
        """One item of this thread (or shared with it), by id."""
        ...

    async def update_item(
        self,
        project: str,
        thread: str,
        item: str,
        metadata: dict[str, str],
        now_ms: int,
        *,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Item:
        """Replace a message's metadata in this thread. Allowed while a run is active."""
        ...

    async def erase_item(
        self,
        project: str,
        thread: str,
        item: str,
        now_ms: int,
        *,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Thread:
        """Remove the content of one item for good; its seq stays taken. Returns the thread.

        Compactions that stand for it (`clew.core.compactions.through`) go with it, as if each had
        been erased by itself. Allowed while a run is active.
        """
        ...

    # assistants

    async def create_assistant(
        self,
        project: str,
        assistant: Assistant,
        *,
        given: Grant | None = None,
        once: Once | None = None,
    ) -> Assistant: ...

    async def get_assistant(self, project: str, assistant: str) -> Assistant: ...

    async def list_assistants(self, project: str, page: Page) -> tuple[list[Assistant], bool]:
        """By creation (then key). An unknown cursor is NotFound("assistant")."""
        ...

    async def update_assistant(
        self,
        project: str,
        assistant: str,
        changes: dict[str, Any],
        now_ms: int = 0,
        *,
        given: Grant | None = None,
        once: Once | None = None,
    ) -> Assistant:
        """Replace the settings named in `changes`, leave the others. `now_ms` goes with `given`."""
        ...

    async def delete_assistant(self, project: str, assistant: str) -> None: ...

    # the engine itself

    async def close(self) -> None:
        """Finish what was accepted, then let go of the database."""
        ...


class Store(
    ThreadStore,
    RunVerbs,
    FileVerbs,
    VectorStoreVerbs,
    CompletionVerbs,
    EventVerbs,
    WebhookVerbs,
    RoutingVerbs,
    Protocol,
):
    """All that Clew keeps; each noun's verbs are in its own file."""
