"""Proofs that no verb reaches what it may not: another project's things are not found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from clew.core.assistants import Assistant
from clew.core.items import Item
from clew.core.paging import Page, ThreadQuery
from clew.core.runs import Run
from clew.core.threads import Thread
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    as_it_stands,
    log,
    new_assistant,
    new_project,
    new_receipt,
    new_run,
    new_thread,
    not_found,
    proof,
    user,
    users,
)


class Belongings(msgspec.Struct):
    """One of each noun."""

    thread: Thread
    item: Item
    run: Run
    assistant: Assistant


Verb = Callable[[Store, str, Belongings], Awaitable[object]]

THREAD_VERBS: dict[str, Verb] = {
    "get_thread": lambda s, p, b: s.get_thread(p, b.thread.key),
    "update_thread": lambda s, p, b: s.update_thread(p, b.thread.key, T0, metadata={"a": "b"}),
    "fork_thread": lambda s, p, b: s.fork_thread(p, b.thread.key, new_thread()),
    "erase_thread": lambda s, p, b: s.erase_thread(p, b.thread.key, new_receipt(b.thread.key)),
    "append_items": lambda s, p, b: s.append_items(p, b.thread.key, users("x"), T0),
    "list_items": lambda s, p, b: s.list_items(p, b.thread.key, Page()),
    "read_items": lambda s, p, b: s.read_items(p, b.thread.key, below=9, limit=9),
    "create_run": lambda s, p, b: s.create_run(p, new_run(b.thread.key), users("x")),
    "list_runs": lambda s, p, b: s.list_runs(p, b.thread.key, Page()),
}
ITEM_VERBS: dict[str, Verb] = {
    "get_item": lambda s, p, b: s.get_item(p, b.thread.key, b.item.id),
    "update_item": lambda s, p, b: s.update_item(p, b.thread.key, b.item.id, {"a": "b"}, T0),
    "erase_item": lambda s, p, b: s.erase_item(p, b.thread.key, b.item.id, T0),
    "list_items": lambda s, p, b: s.list_items(p, b.thread.key, Page(after=b.item.id)),
    "fork_thread": lambda s, p, b: s.fork_thread(p, b.thread.key, new_thread(), at_item=b.item.id),
}
RUN_VERBS: dict[str, Verb] = {
    "get_run": lambda s, p, b: s.get_run(p, b.thread.key, b.run.key),
    "update_run": lambda s, p, b: s.update_run(p, b.thread.key, b.run.key, {"a": "b"}),
    "move_run": lambda s, p, b: s.move_run(p, b.run.status, b.run, [user("x")], now_ms=T0),
    "list_runs": lambda s, p, b: s.list_runs(p, b.thread.key, Page(after=b.run.key)),
}
ASSISTANT_VERBS: dict[str, Verb] = {
    "get_assistant": lambda s, p, b: s.get_assistant(p, b.assistant.key),
    "update_assistant": lambda s, p, b: s.update_assistant(p, b.assistant.key, {"a": "b"}),
    "delete_assistant": lambda s, p, b: s.delete_assistant(p, b.assistant.key),
    "list_assistants": lambda s, p, b: s.list_assistants(p, Page(after=b.assistant.key)),
}
NOUNS = ("thread", "item", "run", "assistant")
VERBS = dict(zip(NOUNS, (THREAD_VERBS, ITEM_VERBS, RUN_VERBS, ASSISTANT_VERBS), strict=True))


class Projects(Proof):
    """What is unknown, and what is another project's, is not found."""

    @proof
    async def test_an_unknown_id_is_not_found(self, store: Store, project: str) -> None:
        """Each verb says which id it did not find, and leaves what is there."""
        own = await _store_one_of_each(store, project)
        was = await _all(store, project, own)
        for noun, verbs in VERBS.items():
            wrong = msgspec.structs.replace(own, **{noun: getattr(_one_of_each(), noun)})
            if noun == "run":
                wrong.run.thread = own.thread.key
            for name, verb in verbs.items():
                missing = await not_found(verb(store, project, wrong))
                assert missing == (noun, _id(wrong, noun)), name
        assert await _all(store, project, own) == was

    @proof
    async def test_a_missing_thread_is_named_first(self, store: Store, project: str) -> None:
        """When the thread is not there it is what is not found, whatever else is named."""
        await _store_one_of_each(store, project)
        never = _one_of_each()
        for noun in ("thread", "item", "run"):
            for name, verb in VERBS[noun].items():
                missing = await not_found(verb(store, project, never))
                assert missing == ("thread", never.thread.key), (noun, name)

    @proof
    async def test_another_projects_id_is_not_found(self, store: Store, project: str) -> None:
        """To each verb another project's id is as unknown as one that never was."""
        own, stranger = await _store_one_of_each(store, project), new_project()
        was = await _all(store, project, own)
        never = _one_of_each()
        for noun, verbs in VERBS.items():
            for name, verb in verbs.items():
                missing = await not_found(verb(store, stranger, own))
                unknown = await not_found(verb(store, stranger, never))
                assert missing[0] == unknown[0], (noun, name)
                assert (missing[1], unknown[1]) in {
                    (_id(own, noun), _id(never, noun)) for noun in NOUNS
                }
        assert await _all(store, project, own) == was

    @proof
    async def test_another_projects_item_is_not_found_here(
        self, store: Store, project: str
    ) -> None:
        """Naming an own thread does not open another project's items and runs."""
        own = await _store_one_of_each(store, project)
        foreign = await _store_one_of_each(store, stranger := new_project())
        was = await _all(store, stranger, foreign)
        mixed = msgspec.structs.replace(foreign, thread=own.thread)
        mixed.run = msgspec.structs.replace(foreign.run, thread=own.thread.key)
        for noun in ("item", "run"):
            for name, verb in VERBS[noun].items():
                missing = await not_found(verb(store, project, mixed))
                assert missing == (noun, _id(mixed, noun)), name
        assert await _all(store, stranger, foreign) == was

    @proof
    async def test_lists_are_one_projects(self, store: Store, project: str) -> None:
        """No list shows what belongs to another project."""
        own = await _store_one_of_each(store, project)
        stranger = new_project()
        assert await store.list_threads(stranger, ThreadQuery()) == ([], False)
        query = ThreadQuery(metadata=own.thread.metadata)
        assert await store.list_threads(stranger, query) == ([], False)
        assert await store.list_assistants(stranger, Page()) == ([], False)
        assert len((await store.list_threads(project, query))[0]) == 1


def _one_of_each() -> Belongings:
    thread = new_thread(metadata={"own": "yes"})
    return Belongings(thread, user("a"), new_run(thread.key), new_assistant(model="m"))


async def _store_one_of_each(store: Store, project: str) -> Belongings:
    given = _one_of_each()
    await store.create_thread(project, given.thread, [given.item])
    given.run = await store.create_run(project, given.run)
    await store.create_assistant(project, given.assistant)
    return given


async def _all(store: Store, project: str, own: Belongings) -> list[object]:
    return [
        await as_it_stands(store, project, own.thread.key),
        await log(store, project, own.thread.key),
        await store.get_assistant(project, own.assistant.key),
        await store.list_threads(project, ThreadQuery()),
    ]


def _id(own: Belongings, noun: str) -> str:
    named = getattr(own, noun)
    return str(named.id if noun == "item" else named.key)
