"""A store that is plain to see through: dicts of lists, each fork an independent copy.

It is the oracle that engines are compared with in tests, never an engine: nothing is durable, and
everything costs what it likes. What goes in and out is copied, so nobody shares a thing with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, TypeVar

import msgspec

from clew.core.assistants import Assistant
from clew.core.compactions import through
from clew.core.errors import BadRequest, Busy, ClewError, NotFound, Stale
from clew.core.items import Item, with_metadata
from clew.core.paging import Page, ThreadQuery
from clew.core.runs import Call, Run
from clew.core.threads import Receipt, Thread
from clew.store.once import ANSWERS_KEPT_MS, Once, said
from clew.store.runs import Moved

T = TypeVar("T")
Entry = TypeVar("Entry")
Scope = tuple[str, str]
"""A project, and the thread a key was used on; '' when the key came with no thread."""


class Answer(msgspec.Struct):
    """What was answered to a key, and the thread it speaks of."""

    first: Once
    answer: bytes
    about: Scope


class Log(msgspec.Struct):
    """A thread with all that is in it; the item at index i has seq i + 1, erased ones too."""

    thread: Thread
    items: list[Item] = []
    erased: set[str] = set()
    runs: dict[str, Run] = {}
    calls: list[Call] = []
    shared: dict[str, int] = {}
    """Ancestor -> how many of the first items were in its log too."""

    def find(self, item: str) -> int:
        """The index of an item that is still there."""
        if item not in self.erased:
            for index, found in enumerate(self.items):
                if found.id == item:
                    return index
        raise NotFound("item", item)

    def shown(self) -> list[Item]:
        return [item for item in self.items if item.id not in self.erased]

    def summaries_of(self, seq: int) -> set[str]:
        """The compactions that stand for the item at `seq`."""
        later = [item for item in self.shown() if item.kind == "compaction" and item.seq > seq]
        return {item.id for item in later if through(item) >= seq}

    def run(self, key: str) -> Run:
        if key not in self.runs:
            raise NotFound("run", key)
        return self.runs[key]

    def change(self, now_ms: int) -> None:
        self.thread.revision += 1
        self.thread.updated_at = now_ms
        self.thread.last_seq = len(self.items)

    def append(self, items: Sequence[Item], now_ms: int) -> None:
        ids = [item.id for item in (*self.items, *items)]
        if len(ids) != len(set(ids)):
            raise ClewError("conflict", "An item with this id is there already.")
        for seq, item in enumerate(items, start=len(self.items) + 1):
            self.items.append(msgspec.structs.replace(item, seq=seq))
        self.change(now_ms)


class ModelStore:
    """The `Store` verbs over dicts."""

    def __init__(self) -> None:
        self._logs: dict[str, dict[str, Log]] = {}
        self._assistants: dict[str, dict[str, Assistant]] = {}
        self._answers: dict[tuple[Scope, str], Answer] = {}

    # threads

    async def create_thread(
        self, project: str, thread: Thread, items: Sequence[Item] = (), *, once: Once | None = None
    ) -> Thread:
        def act() -> Thread:
            return self._create(project, thread, items).thread

        return self._act((project, ""), once, act, thread.key)

    async def get_thread(self, project: str, thread: str) -> Thread:
        return deepcopy(self._log(project, thread).thread)

    async def list_threads(self, project: str, query: ThreadQuery) -> tuple[list[Thread], bool]:
        threads = [log.thread for log in self._logs.get(project, {}).values()]
        threads.sort(key=lambda thread: (thread.created_at, thread.key))
        return _page(threads, query.page, "thread", lambda thread: _meets(thread, query))

    async def update_thread(
        self,
        project: str,
        thread: str,
        now_ms: int,
        *,
        metadata: dict[str, str] | None = None,
        tool_resources: dict[str, Any] | None = None,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Thread:
        def act() -> Thread:
            log = self._log(project, thread, if_revision)
            if metadata is not None:
                log.thread.metadata = deepcopy(metadata)
            if tool_resources is not None:
                log.thread.tool_resources = deepcopy(tool_resources)
            log.change(now_ms)
            return log.thread

        return self._act((project, thread), once, act)

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
        def act() -> Thread:
            log = self._log(project, parent, if_revision)
            seq = len(log.items) if at_seq is None else at_seq
            if at_item is not None:
                seq = log.find(at_item) + 1
            return self._fork(project, log, fork, seq).thread

        return self._act((project, parent), once, act, fork.key)

    async def erase_thread(
        self,
        project: str,
        thread: str,
        receipt: Receipt,
        *,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> Receipt:
        def act() -> Receipt:
            self._log(project, thread, if_revision)
            return self._erase_thread(project, thread, receipt)

        return self._act((project, thread), once, act)

    # items

    async def append_items(
        self,
        project: str,
        thread: str,
        items: Sequence[Item],
        now_ms: int,
        *,
        if_revision: int | None = None,
        once: Once | None = None,
    ) -> tuple[int, int]:
        def act() -> tuple[int, int]:
            log = self._free_log(project, thread, if_revision)
            log.append(items, now_ms)
            return log.thread.revision, log.thread.last_seq

        return self._act((project, thread), once, act)

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
        log = self._log(project, thread)

        def wanted(item: Item) -> bool:
            return (
                item.id not in log.erased
                and (kinds is None or item.kind in kinds)
                and (run is None or item.run == run)
                and (upto is None or item.seq <= upto)
            )

        return _page(log.items, page, "item", wanted)

    async def read_items(self, project: str, thread: str, *, below: int, limit: int) -> list[Item]:
        items = [item for item in self._log(project, thread).shown() if item.seq < below]
        return deepcopy(items[::-1][:limit])

    async def get_item(self, project: str, thread: str, item: str) -> Item:
        log = self._log(project, thread)
        return deepcopy(log.items[log.find(item)])

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
        def act() -> Item:
            log = self._log(project, thread, if_revision)
            index = log.find(item)
            log.items[index] = with_metadata(log.items[index], metadata)
            log.change(now_ms)
            return log.items[index]

        return self._act((project, thread), once, act)

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
        def act() -> Thread:
            log = self._log(project, thread, if_revision)
            seq = log.items[log.find(item)].seq
            erased = {item, *log.summaries_of(seq)}
            log.erased |= erased
            log.change(now_ms)
            for id in erased:
                self._erase_answers(project, thread, id)
            return log.thread

        return self._act((project, thread), once, act)

    # runs

    async def create_run(
        self,
        project: str,
        run: Run,
        items: Sequence[Item] = (),
        *,
        thread: Thread | None = None,
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
            log = self._free_log(project, run.thread, if_revision)
            last_seq = log.thread.last_seq
            if if_last_seq not in (None, last_seq):
                raise ClewError("conflict", f"The thread goes on to {last_seq}.")
            log.append(items, run.created_at)
            seqs = {"input_seq": len(log.items), "last_seq": len(log.items)}
            log.runs[run.key] = msgspec.structs.replace(
                deepcopy(run), first_seq=last_seq + 1, **seqs
            )
            log.thread.active_run = run.key
            return log.runs[run.key]

        scope = "" if thread is not None else run.thread
        return self._act((project, scope), once, act, run.thread)

    async def get_run(self, project: str, thread: str, run: str) -> Run:
        return deepcopy(self._log(project, thread).run(run))

    async def list_runs(self, project: str, thread: str, page: Page) -> tuple[list[Run], bool]:
        runs = list(self._log(project, thread).runs.values())
        return _page(sorted(runs, key=lambda run: (run.created_at, run.key)), page, "run")

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
            found = self._log(project, thread).run(run)
            found.metadata = deepcopy(metadata)
            return found

        return self._act((project, thread), once, act)

    async def move_run(
        self,
        project: str,
        was: str,
        run: Run,
        items: Sequence[Item] = (),
        *,
        now_ms: int,
        call: Call | None = None,
        once: Once | None = None,
    ) -> Run:
        def act() -> Run:
            log = self._log(project, run.thread)
            stands = log.run(run.key)
            if stands.status != was:
                raise Moved(deepcopy(stands))
            log.append(items, now_ms)
            moved = msgspec.structs.replace(deepcopy(run), metadata=stands.metadata)
            moved.last_seq = len(log.items) if items else run.last_seq
            log.runs[run.key] = moved
            log.calls += [call] if call is not None else []
            if moved.is_terminal and log.thread.active_run == run.key:
                log.thread.active_run = None
            return moved

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
            last = erased.last_seq if erased.is_terminal else len(log.items)
            own = [item for item in log.shown() if item.seq > log.thread.parent_seq]
            items = [item.id for item in own if erased.first_seq <= item.seq <= last]
            if log.thread.chain and len(log.runs) == 1 and len(own) == len(items):
                return self._erase_thread(project, thread, receipt)
            items = items if log.thread.chain else []
            summaries = log.summaries_of(erased.first_seq) if log.thread.chain else set()
            log.erased |= {*items, *summaries}
            del log.runs[run]
            log.calls = [call for call in log.calls if call.run != run]
            if log.thread.active_run == run:
                log.thread.active_run = None
            log.change(receipt.erased_at)
            for id in (*items, *summaries, run):
                self._erase_answers(project, thread, id)
            return msgspec.structs.replace(receipt, items=len(items), runs=1)

        return self._act((project, thread), once, act)

    # assistants

    async def create_assistant(
        self, project: str, assistant: Assistant, *, once: Once | None = None
    ) -> Assistant:
        def act() -> Assistant:
            mine = self._assistants.setdefault(project, {})
            return mine.setdefault(assistant.key, deepcopy(assistant))

        return self._act((project, ""), once, act)

    async def get_assistant(self, project: str, assistant: str) -> Assistant:
        return deepcopy(self._assistant(project, assistant))

    async def list_assistants(self, project: str, page: Page) -> tuple[list[Assistant], bool]:
        mine = sorted(
            self._assistants.get(project, {}).values(), key=lambda one: (one.created_at, one.key)
        )
        return _page(mine, page, "assistant")

    async def update_assistant(
        self,
        project: str,
        assistant: str,
        changes: dict[str, Any],
        *,
        once: Once | None = None,
    ) -> Assistant:
        def act() -> Assistant:
            found = self._assistant(project, assistant)
            found.settings |= deepcopy(changes)
            return found

        return self._act((project, ""), once, act)

    async def delete_assistant(self, project: str, assistant: str) -> None:
        self._assistant(project, assistant)
        del self._assistants[project][assistant]

    async def close(self) -> None:
        """There is nothing to finish and nothing to let go of."""

    # what the verbs stand on

    def _act(
        self, scope: Scope, once: Once | None, act: Callable[[], T], about: str | None = None
    ) -> T:
        """The outcome of an act that is done whole or not at all, and once for each key.

        `about` is the thread that the outcome speaks of, where `scope` does not name it.
        """
        about_thread = scope if about is None else (scope[0], about)
        if once is not None and once.project_wide:
            scope = (scope[0], "")
        self._replay(scope, once)
        was = deepcopy((self._logs, self._assistants)), dict(self._answers)
        try:
            outcome = deepcopy(act())
            if once is not None:
                answer = Answer(once, once.encode(outcome), about_thread)
                self._answers[scope, once.key] = answer
        except BaseException:
            (self._logs, self._assistants), self._answers = was
            raise
        return outcome

    def _replay(self, scope: Scope, once: Once | None) -> None:
        if once is None or (scope, once.key) not in self._answers:
            return
        past = self._answers[scope, once.key]
        if once.now_ms - past.first.now_ms > ANSWERS_KEPT_MS:
            return
        if past.first.fingerprint != once.fingerprint:
            raise ClewError("key_reused", "This key came before with another request.")
        raise said(past.answer)

    def _create(self, project: str, thread: Thread, items: Sequence[Item]) -> Log:
        if any(thread.key in mine for mine in self._logs.values()):
            raise ClewError("conflict", "A thread with this key is there already.")
        log = Log(msgspec.structs.replace(deepcopy(thread), revision=0))
        log.append(items, thread.updated_at)
        self._logs.setdefault(project, {})[thread.key] = log
        return log

    def _fork(self, project: str, log: Log, fork: Thread, seq: int) -> Log:
        if not 0 <= seq <= len(log.items):
            raise BadRequest(f"The thread ends at {len(log.items)}.", "at")
        parent = log.thread.key
        made = self._create(project, fork, log.items[:seq])
        made.erased = {item.id for item in made.items} & log.erased
        made.thread.parent, made.thread.parent_seq = parent, seq
        made.shared = {key: min(seq, count) for key, count in log.shared.items()}
        made.shared[parent] = seq
        return made

    def _erase_thread(self, project: str, thread: str, receipt: Receipt) -> Receipt:
        log = self._logs[project].pop(thread)
        self._answers = {
            key: answer
            for key, answer in self._answers.items()
            if answer.about != (project, thread)
        }
        others = self._logs[project].items()
        kept_by = [key for key, other in others if other.shared.get(thread, 0)]
        return msgspec.structs.replace(
            receipt, items=len(log.shown()), runs=len(log.runs), kept_by=kept_by
        )

    def _erase_answers(self, project: str, thread: str, id: str) -> None:
        """Answers that show something erased say nothing any more."""
        for at, answer in self._answers.items():
            if answer.about == (project, thread) and id.encode() in answer.answer:
                self._answers[at] = msgspec.structs.replace(answer, answer=b"")

    def _log(self, project: str, thread: str, if_revision: int | None = None) -> Log:
        log = self._logs.get(project, {}).get(thread)
        if log is None:
            raise NotFound("thread", thread)
        if if_revision not in (None, log.thread.revision):
            raise Stale(if_revision or 0, log.thread.revision)
        return log

    def _free_log(self, project: str, thread: str, if_revision: int | None) -> Log:
        log = self._log(project, thread, if_revision)
        if log.thread.active_run is not None:
            raise Busy(thread, log.thread.active_run)
        return log

    def _assistant(self, project: str, assistant: str) -> Assistant:
        found = self._assistants.get(project, {}).get(assistant)
        if found is None:
            raise NotFound("assistant", assistant)
        return found


def _meets(thread: Thread, query: ThreadQuery) -> bool:
    return (
        query.metadata.items() <= thread.metadata.items()
        and _within(thread.created_at, query.created_from, query.created_to)
        and _within(thread.updated_at, query.updated_from, query.updated_to)
    )


def _within(time: int, first: int | None, last: int | None) -> bool:
    return (first is None or first <= time) and (last is None or time <= last)


def _page(
    entries: Sequence[Entry],
    page: Page,
    noun: str,
    wanted: Callable[[Entry], bool] = lambda entry: True,
) -> tuple[list[Entry], bool]:
    """The page of these entries (ascending): between the cursors, and of that what is wanted."""
    ordered = list(entries) if page.order == "asc" else list(reversed(entries))
    ids = [entry.id if isinstance(entry, Item) else entry.key for entry in ordered]  # type: ignore[attr-defined]
    for cursor in (page.after, page.before):
        if cursor is not None and cursor not in ids:
            raise NotFound(noun, cursor)
    start = 0 if page.after is None else ids.index(page.after) + 1
    stop = len(ids) if page.before is None else ids.index(page.before)
    found = [entry for entry in ordered[start:stop] if wanted(entry)]
    backwards = page.before is not None and page.after is None
    part = found[-page.limit :] if backwards else found[: page.limit]
    return deepcopy(part), len(found) > page.limit
