"""What every proof stands on: a store on an event loop of its own, and things to put into it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import msgspec

from clew.core.assistants import Assistant
from clew.core.busy import OnBusy
from clew.core.errors import ClewError, NotFound, Replayed
from clew.core.ids import new_item_id, new_key, new_run_key
from clew.core.items import Item, message, new_item
from clew.core.paging import Page
from clew.core.runs import Run
from clew.core.threads import Receipt, Thread
from clew.store.runs import Moved
from clew.store.store import Store

T0 = 1_700_000_000_000
"""When every proof begins, in milliseconds."""


class Proof:
    """A class of tests; the engine under test says how its database is opened.

    Each call of `open_store` in one test opens the same database. It may be shared by all tests:
    each uses a project and keys of its own.
    """

    async def open_store(self) -> Store:
        raise NotImplementedError


Body = Callable[[Any, Store, str], Coroutine[Any, Any, None]]


def proof(test: Body) -> Callable[[Any], None]:
    """A test as pytest runs it: its own event loop, an open store and a new project."""

    @functools.wraps(test)
    def run(self: Proof) -> None:
        asyncio.run(_run(self, test))

    del run.__wrapped__  # else pytest takes `store` for a fixture
    return run


async def _run(self: Proof, test: Body) -> None:
    store = await self.open_store()
    try:
        await test(self, store, new_project())
    finally:
        await store.close()


# things to store


def new_project() -> str:
    return "proj_" + new_key(T0)


def new_thread(at: int = T0, **fields: Any) -> Thread:
    return Thread(fields.pop("key", None) or new_key(at), at, at, **fields)


def user(text: str, at: int = T0, run: str | None = None) -> Item:
    return message(new_item_id("user", at), "user", text, at, run)


def users(*texts: str, at: int = T0) -> list[Item]:
    return [user(text, at) for text in texts]


def reply(text: str, run: str, at: int = T0) -> Item:
    return message(new_item_id("assistant", at), "assistant", text, at, run)


def tool_call(name: str, at: int = T0, run: str | None = None) -> Item:
    data = {"type": "function_call", "call_id": "call_1", "name": name, "arguments": "{}"}
    return new_item(new_item_id("function_call", at), data, at, run)


def new_run(thread: str, at: int = T0, **fields: Any) -> Run:
    return Run(new_run_key(thread, at), thread, at, "scripted", **fields)


def new_assistant(at: int = T0, **settings: Any) -> Assistant:
    return Assistant(new_key(at), at, settings)


def new_receipt(thread: str, at: int = T0) -> Receipt:
    return Receipt("rcpt_" + new_key(at), thread, at, 0, 0)


async def stored_thread(store: Store, project: str, *texts: str) -> Thread:
    """A new thread in the store, with one user message for each text."""
    return await store.create_thread(project, new_thread(), users(*texts))


async def active_run(store: Store, project: str, thread: str) -> Run:
    """A new run in the store, which holds the thread."""
    return await store.create_run(project, new_run(thread))


async def end_run(store: Store, project: str, run: Run, status: str = "completed") -> Run:
    """The run after a move; a terminal one frees its thread."""
    ended = msgspec.structs.replace(run, status=status)
    return await store.move_run(project, run.status, ended, now_ms=T0)


async def queued_run(store: Store, project: str, thread: str, text: str, at: int = T0) -> Run:
    """A run that asks something and is made, or waits in line."""
    return await store.create_run(
        project, new_run(thread, at), users(text), on_busy=OnBusy("queue")
    )


async def working_run(store: Store, project: str, thread: str) -> Run:
    return await move_to(store, project, await active_run(store, project, thread), "in_progress")


async def asking_run(store: Store, project: str, thread: str, said: str) -> Run:
    """A run that waits for its client."""
    run = await store.create_run(project, new_run(thread), users(said))
    run = await move_to(store, project, run, "in_progress")
    return await move_to(store, project, run, "requires_action")


async def move_to(
    store: Store,
    project: str,
    run: Run,
    status: str,
    *items: Item,
    was: str | None = None,
    **given: Any,
) -> Run:
    """The run in another status, after whatever the move brings."""
    next = msgspec.structs.replace(run, status=status)
    return await store.move_run(project, was or run.status, next, items, now_ms=T0 + 1, **given)


# what is there


async def log(store: Store, project: str, thread: str) -> list[Item]:
    """The whole log, oldest first."""
    items: list[Item] = []
    more = True
    while more:
        page = Page(100, "asc", after=items[-1].id if items else None)
        found, more = await store.list_items(project, thread, page)
        items += found
    return items


async def texts(store: Store, project: str, thread: str) -> list[str]:
    return [item.text() for item in await log(store, project, thread)]


async def as_it_stands(store: Store, project: str, thread: str) -> tuple[Any, ...]:
    """All that can be read of a thread; equal before and after when nothing was changed."""
    runs, _ = await store.list_runs(project, thread, Page(100))
    return (await store.get_thread(project, thread), await log(store, project, thread), runs)


# what was said


async def refusal(act: Awaitable[object]) -> ClewError:
    """The error that the act must end with."""
    try:
        result = await act
    except ClewError as error:
        return error
    raise AssertionError(f"expected a refusal, not {result!r}")


async def not_found(act: Awaitable[object]) -> tuple[str, str]:
    """The noun and the id that must not be found."""
    error = await refusal(act)
    assert isinstance(error, NotFound), f"expected not found, not {error!r}"
    return error.noun, error.id


async def replay(act: Awaitable[object]) -> bytes:
    """The answer that must be said again."""
    try:
        result = await act
    except Replayed as replayed:
        return replayed.answer
    raise AssertionError(f"expected a replay, not {result!r}")


async def lost_race(act: Awaitable[object]) -> Run:
    """The run as it stands, for a move that must come too late."""
    try:
        result = await act
    except Moved as moved:
        return moved.run
    raise AssertionError(f"expected a lost race, not {result!r}")


# paging

Fetch = Callable[[Page], Awaitable[tuple[list[Any], bool]]]
ORDERS = ("asc", "desc")


async def prove_paging(fetch: Fetch, keys: Sequence[str], key: Callable[[Any], str]) -> None:
    """Every page of a list is the slice it should be: each cursor, order, direction and limit.

    `keys` are those of the whole list in ascending order.
    """
    for order in ORDERS:
        for limit in (1, 2, len(keys), 100):
            for page in _pages(keys, order, limit):
                found, more = await fetch(page)
                assert ([key(entry) for entry in found], more) == page_of(keys, page), page


def _pages(keys: Sequence[str], order: str, limit: int) -> list[Page]:
    after = [Page(limit, order, after=cursor) for cursor in keys]
    before = [Page(limit, order, before=cursor) for cursor in keys]
    between = [
        Page(limit, order, after=first, before=last) for first in keys[:3] for last in keys[-3:]
    ]
    return [Page(limit, order), *after, *before, *between]


def page_of(keys: Sequence[str], page: Page) -> tuple[list[str], bool]:
    """The page of these keys (ascending), and whether there are more in its direction."""
    rest = list(keys) if page.order == "asc" else list(reversed(keys))
    start = 0 if page.after is None else rest.index(page.after) + 1
    stop = len(rest) if page.before is None else rest.index(page.before)
    rest = rest[start:stop]
    backwards = page.before is not None and page.after is None
    return rest[-page.limit :] if backwards else rest[: page.limit], len(rest) > page.limit
