"""Proofs that a retry is not a second act: `once` on each verb that takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from clew.core.errors import Replayed
from clew.core.paging import Page, ThreadQuery
from clew.core.runs import Run
from clew.store.once import ANSWERS_KEPT_MS, Once
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    active_run,
    as_it_stands,
    end_run,
    log,
    new_assistant,
    new_project,
    new_receipt,
    new_run,
    new_thread,
    proof,
    refusal,
    replay,
    stored_thread,
    texts,
    users,
)


class Scene(msgspec.Struct):
    """Where an act is repeated: a free thread with one item, an ended run and an assistant."""

    thread: str
    item: str
    run: Any
    assistant: str


Act = Callable[[Store, str, Scene, Once], Awaitable[object]]


def _run_with_thread(store: Store, project: str, once: Once) -> Awaitable[object]:
    thread = new_thread()
    run = new_run(thread.key)
    return store.create_run(project, run, users("x"), thread=thread, once=once)


def _move(store: Store, project: str, scene: Scene, once: Once) -> Awaitable[object]:
    next = msgspec.structs.replace(scene.run, status="failed")
    return store.move_run(project, "completed", next, users("x"), now_ms=T0, once=once)


ACTS: dict[str, Act] = {
    "create_thread": lambda s, p, at, o: s.create_thread(p, new_thread(), users("x"), once=o),
    "update_thread": lambda s, p, at, o: s.update_thread(
        p, at.thread, T0, metadata={"a": "b"}, once=o
    ),
    "fork_thread": lambda s, p, at, o: s.fork_thread(p, at.thread, new_thread(), once=o),
    "erase_thread": lambda s, p, at, o: s.erase_thread(
        p, at.thread, new_receipt(at.thread), once=o
    ),
    "append_items": lambda s, p, at, o: s.append_items(p, at.thread, users("x"), T0, once=o),
    "update_item": lambda s, p, at, o: s.update_item(p, at.thread, at.item, {"a": "b"}, T0, once=o),
    "erase_item": lambda s, p, at, o: s.erase_item(p, at.thread, at.item, T0, once=o),
    "create_run": lambda s, p, at, o: s.create_run(p, new_run(at.thread), users("x"), once=o),
    "create_run with its thread": lambda s, p, at, o: _run_with_thread(s, p, o),
    "update_run": lambda s, p, at, o: s.update_run(p, at.thread, at.run.key, {"a": "b"}, once=o),
    "move_run": _move,
    "create_assistant": lambda s, p, at, o: s.create_assistant(p, new_assistant(), once=o),
    "update_assistant": lambda s, p, at, o: s.update_assistant(p, at.assistant, {"a": "b"}, once=o),
}
"""Each verb that takes `once`, as a server calls it: every try brings new keys of its own."""


class Retries(Proof):
    """`Idempotency-Key`."""

    @proof
    async def test_a_retry_gives_the_first_answer(self, store: Store, project: str) -> None:
        """The second try of each verb gives the answer of the first, and changes nothing."""
        for name, act in ACTS.items():
            scene = await _scene(store, project)
            first = await act(store, project, scene, once(name))
            was = await _all(store, project)
            for _ in range(2):
                answer = await replay(act(store, project, scene, once(name)))
                assert answer == msgspec.json.encode(first), name
            assert await _all(store, project) == was, name

    @proof
    async def test_another_request_with_the_key_is_refused(
        self, store: Store, project: str
    ) -> None:
        """The same key with another fingerprint is refused by each verb, and changes nothing."""
        for name, act in ACTS.items():
            scene = await _scene(store, project)
            await act(store, project, scene, once(name))
            was = await _all(store, project)
            error = await refusal(act(store, project, scene, once(name, "another")))
            assert error.code == "key_reused", name
            assert await _all(store, project) == was, name

    @proof
    async def test_eight_callers_are_one_act(self, store: Store, project: str) -> None:
        """When 8 callers race with one key, one acts and all get the same answer."""
        for name, act in ACTS.items():
            scene = await _scene(store, project)
            tries = (act(store, project, scene, once(name)) for _ in range(8))
            answers = await asyncio.gather(*tries, return_exceptions=True)
            acted = [one for one in answers if not isinstance(one, BaseException)]
            replays = [one.answer for one in answers if isinstance(one, Replayed)]
            assert (len(acted), len(replays)) == (1, 7), (name, answers)
            assert set(replays) == {msgspec.json.encode(acted[0])}, name

    @proof
    async def test_eight_appends_are_one_append(self, store: Store, project: str) -> None:
        """When 8 callers append with one key, the items of one are there, once."""
        thread = await stored_thread(store, project)
        tries = (
            store.append_items(project, thread.key, users(f"{n}a", f"{n}b"), T0, once=once())
            for n in range(8)
        )
        await asyncio.gather(*tries, return_exceptions=True)
        first, second = await texts(store, project, thread.key)
        assert (first[0], first[1:] + second[1:]) == (second[0], "ab")

    @proof
    async def test_eight_creations_are_one_thread(self, store: Store, project: str) -> None:
        """When 8 callers create a thread with one key, one thread is there."""
        tries = (store.create_thread(project, new_thread(), once=once()) for _ in range(8))
        await asyncio.gather(*tries, return_exceptions=True)
        assert len((await store.list_threads(project, ThreadQuery()))[0]) == 1

    @proof
    async def test_a_retry_is_answered_before_all_else(self, store: Store, project: str) -> None:
        """A retry is answered though the revision has gone on and a run holds the thread."""
        thread = await stored_thread(store, project)

        async def append() -> object:
            return await store.append_items(
                project, thread.key, users("a"), T0, if_revision=thread.revision, once=once()
            )

        first = await append()
        await active_run(store, project, thread.key)
        assert await replay(append()) == msgspec.json.encode(first)

    @proof
    async def test_a_failure_is_no_answer(self, store: Store, project: str) -> None:
        """A request that was refused may be tried again with its key."""
        thread = await stored_thread(store, project)
        run = await active_run(store, project, thread.key)
        append = store.append_items(project, thread.key, users("a"), T0, once=once())
        assert (await refusal(append)).code == "busy"
        await end_run(store, project, run)
        await store.append_items(project, thread.key, users("a"), T0, once=once())
        assert await texts(store, project, thread.key) == ["a"]

    @proof
    async def test_no_answer_no_change(self, store: Store, project: str) -> None:
        """When the answer cannot be encoded, the change is not made either."""
        thread = await stored_thread(store, project, "a")
        was = await as_it_stands(store, project, thread.key)
        broken = Once("key-1", "request-1", T0, _fail)
        try:
            await store.append_items(project, thread.key, users("b"), T0, once=broken)
        except ZeroDivisionError:
            pass
        else:
            raise AssertionError("the fault was swallowed")
        assert await as_it_stands(store, project, thread.key) == was
        await store.append_items(project, thread.key, users("c"), T0, once=once())
        assert await texts(store, project, thread.key) == ["a", "c"]

    @proof
    async def test_an_answer_is_bytes(self, store: Store, project: str) -> None:
        """An answer is said again byte by byte, whatever its bytes are."""
        thread = await stored_thread(store, project)
        for size, answer in enumerate((b"\x00", bytes(range(256)), b"\x00" * 300_000)):
            said = Once(f"key-{size}", "f", T0, lambda _, answer=answer: answer)  # type: ignore[misc]
            await store.append_items(project, thread.key, users("a"), T0, once=said)
            retry = store.append_items(project, thread.key, users("a"), T0, once=said)
            assert await replay(retry) == answer

    @proof
    async def test_keys_are_scoped(self, store: Store, project: str) -> None:
        """The same key is another key on another thread, and in another project."""
        threads = [await stored_thread(store, project) for _ in range(2)]
        for thread in threads:
            await store.append_items(project, thread.key, users("a"), T0, once=once())
            assert await texts(store, project, thread.key) == ["a"]
        for owner in (project, new_project()):
            await store.create_thread(owner, new_thread(), once=once())
            await store.create_assistant(owner, new_assistant(), once=once("key-2"))

    @proof
    async def test_a_key_can_be_the_projects(self, store: Store, project: str) -> None:
        """A project-wide key is one key, whichever thread it comes for."""
        threads = [await stored_thread(store, project) for _ in range(2)]
        wide = msgspec.structs.replace(once(), project_wide=True)
        first = await store.append_items(project, threads[0].key, users("a"), T0, once=wide)
        for thread in threads:
            retry = store.append_items(project, thread.key, users("b"), T0, once=wide)
            assert await replay(retry) == msgspec.json.encode(first)
        assert await texts(store, project, threads[1].key) == []
        narrow = await store.append_items(project, threads[0].key, users("c"), T0, once=once())
        assert narrow[1] == 2

    @proof
    async def test_an_answer_goes_with_its_thread(self, store: Store, project: str) -> None:
        """When a thread is erased no answer that speaks of it is left, whoever the key's was."""
        parent = await stored_thread(store, project, "a")
        for name in ("create_thread", "create_run with its thread", "fork_thread"):
            scene = Scene(parent.key, "", None, "")
            for _ in range(2):  # the second is no retry: the first answer went with its thread
                made: Any = await ACTS[name](store, project, scene, once(name))
                key = made.thread if isinstance(made, Run) else made.key
                await store.erase_thread(project, key, new_receipt(key))
        wide = msgspec.structs.replace(once("wide"), project_wide=True)
        for _ in range(2):
            thread = await stored_thread(store, project)
            await store.append_items(project, thread.key, users("a"), T0, once=wide)
            await store.erase_thread(project, thread.key, new_receipt(thread.key))

    @proof
    async def test_an_answer_goes_with_its_item(self, store: Store, project: str) -> None:
        """An answer that shows an erased item is never said again, nor is its act done again."""
        thread = await stored_thread(store, project)
        [item] = users("secret")
        shown = Once("key-1", "request-1", T0, lambda _: msgspec.json.encode([item.id, "secret"]))
        await store.append_items(project, thread.key, [item], T0, once=shown)
        other = await store.append_items(project, thread.key, users("b"), T0, once=once("key-2"))
        await store.erase_item(project, thread.key, item.id, T0)
        refused = await refusal(store.append_items(project, thread.key, [item], T0, once=shown))
        assert refused.status == 404
        assert (await texts(store, project, thread.key)) == ["b"]
        retried = store.append_items(project, thread.key, users("b"), T0, once=once("key-2"))
        assert await replay(retried) == msgspec.json.encode(other)

    @proof
    async def test_a_key_is_kept_for_a_day(self, store: Store, project: str) -> None:
        """An answer is said again for a day, whoever else asks; after it the key is new."""
        thread = await stored_thread(store, project)
        almost, after = T0 + ANSWERS_KEPT_MS - 1, T0 + 2 * ANSWERS_KEPT_MS

        async def append(at: int, key: str = "key-1") -> object:
            return await store.append_items(
                project, thread.key, users("a"), at, once=once(key, at=at)
            )

        first = await append(T0)
        await append(almost, "other")
        assert await replay(append(almost)) == msgspec.json.encode(first)
        again = await append(after)
        assert await replay(append(after)) == msgspec.json.encode(again)
        assert len(await log(store, project, thread.key)) == 3


def once(key: str = "key-1", fingerprint: str = "request-1", at: int = T0) -> Once:
    return Once(key, fingerprint, at, msgspec.json.encode)


def _fail(outcome: object) -> bytes:
    raise ZeroDivisionError


async def _scene(store: Store, project: str) -> Scene:
    thread = await stored_thread(store, project, "a")
    run = await active_run(store, project, thread.key)
    run = await end_run(store, project, run)
    item = (await log(store, project, thread.key))[0].id
    assistant = await store.create_assistant(project, new_assistant())
    return Scene(thread.key, item, run, assistant.key)


async def _all(store: Store, project: str) -> list[object]:
    """All that can be read of a project of at most 100 threads."""
    threads, _ = await store.list_threads(project, ThreadQuery(Page(100)))
    stands = [await as_it_stands(store, project, thread.key) for thread in threads]
    return [stands, await store.list_assistants(project, Page(100))]
