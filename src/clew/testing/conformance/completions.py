"""Proofs about stored chat completions."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from clew.core.completions import Completion, CompletionQuery
from clew.core.ids import new_key
from clew.core.paging import Page
from clew.store.once import Once
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    new_project,
    not_found,
    proof,
    prove_paging,
    refusal,
    replay,
)

ASKED = (b'{"role":"system","content":"\\u0000"}', b'{"role":"user","content":"\xf0\x9f\xa7\xb6"}')


def new_completion(at: int = T0, model: str = "m", **metadata: str) -> Completion:
    return Completion(new_key(at), at, model, b'{"choices":[],"x":"\\u0000"}', metadata)


class Completions(Proof):
    """Keeping, listing, changing and deleting chat completions."""

    @proof
    async def test_a_completion_is_kept_as_given(self, store: Store, project: str) -> None:
        """A completion keeps its body, its metadata and the messages that were asked."""
        given = new_completion(T0 - 1, "vendor/m", a="b \x01 🧶")
        assert await store.create_completion(project, given, ASKED) == given
        assert await store.get_completion(project, given.key) == given
        messages = await store.list_completion_messages(project, given.key, Page(order="asc"))
        assert messages == (list(enumerate(ASKED)), False)

    @proof
    async def test_pages_of_completion_messages_are_true(self, store: Store, project: str) -> None:
        """Messages are listed by number, either way; each page is the slice it should be."""
        given, bodies = new_completion(), [b"%d" % number for number in range(5)]
        await store.create_completion(project, given, bodies)
        await store.create_completion(project, new_completion(), ASKED)
        all_of_them = list(enumerate(bodies))

        async def page(**asked: Any) -> tuple[list[tuple[int, bytes]], bool]:
            return await store.list_completion_messages(project, given.key, Page(**asked))

        assert await page(order="asc", limit=2) == (all_of_them[:2], True)
        assert await page(order="asc", limit=3, after="1") == (all_of_them[2:], False)
        assert await page(order="asc", after="4") == ([], False)
        assert await page(order="desc", limit=4) == (all_of_them[:0:-1], True)
        assert await page(order="desc", limit=2, after="2") == (all_of_them[1::-1], False)
        for cursor in ("5", "-1", "x", "", "9" * 30):
            unknown = await not_found(page(after=cursor))
            assert unknown == ("completion message", cursor)

    @proof
    async def test_pages_of_completions_are_true(self, store: Store, project: str) -> None:
        """Completions are listed by creation, then key; by model and metadata where asked."""
        made = [
            new_completion(T0 + time, model, **({"k": "v", "n": str(time)} if time < 4 else {}))
            for time, model in ((2, "a"), (1, "b"), (2, "b"), (3, "a"), (2, "b"), (5, "b"))
        ]
        for completion in made:
            await store.create_completion(project, completion, ASKED)
        await store.create_completion(new_project(), new_completion(T0, "b", k="v"), ASKED)
        made.sort(key=lambda completion: (completion.created_at, completion.key))
        some = {"k": "v", "n": "2"}
        for model, metadata in ((None, {}), ("b", {}), (None, {"k": "v"}), ("b", some)):

            def fetch(
                page: Page, model: str | None = model, metadata: dict[str, str] = metadata
            ) -> Awaitable[tuple[list[Completion], bool]]:
                return store.list_completions(project, CompletionQuery(page, model, metadata))

            expected = [
                completion.key
                for completion in made
                if model in (None, completion.model)
                and metadata.items() <= completion.metadata.items()
            ]
            assert len(expected) > 1
            await prove_paging(fetch, expected, lambda completion: str(completion.key))
        nothing = CompletionQuery(Page(), None, {"k": "w"})
        assert await store.list_completions(project, nothing) == ([], False)

    @proof
    async def test_an_update_replaces_the_metadata(self, store: Store, project: str) -> None:
        """An update replaces the metadata, by which the completion is found from then on."""
        given = new_completion(a="b")
        await store.create_completion(project, given, ASKED)
        changed = await store.update_completion(project, given.key, {"c": "d"})
        assert changed == await store.get_completion(project, given.key)
        assert (changed.metadata, changed.body) == ({"c": "d"}, given.body)
        for metadata, found in (({"a": "b"}, []), ({"c": "d"}, [changed])):
            query = CompletionQuery(Page(), None, metadata)
            assert await store.list_completions(project, query) == (found, False)

    @proof
    async def test_a_deleted_completion_is_gone(self, store: Store, project: str) -> None:
        """A deleted completion is not found, by no verb and in no list; others stay."""
        kept, gone = new_completion(k="v"), new_completion(k="v")
        for completion in (kept, gone):
            await store.create_completion(project, completion, ASKED)
        await store.delete_completion(project, gone.key)
        await self._is_not_found(store, project, gone.key)
        for query in (CompletionQuery(), CompletionQuery(metadata={"k": "v"})):
            assert await store.list_completions(project, query) == ([kept], False)
        found, _ = await store.list_completion_messages(project, kept.key, Page())
        assert len(found) == len(ASKED)

    @proof
    async def test_another_project_has_no_such_completion(self, store: Store, project: str) -> None:
        """A completion is of one project; in any other it is not found, and not changed."""
        given, other = new_completion(k="v"), new_project()
        await store.create_completion(project, given, ASKED)
        await self._is_not_found(store, other, given.key)
        query = CompletionQuery(metadata={"k": "v"})
        assert await store.list_completions(other, query) == ([], False)
        assert await store.get_completion(project, given.key) == given

    @proof
    async def test_a_completion_is_made_once(self, store: Store, project: str) -> None:
        """A key that was answered says its answer again before and at the act; nothing is made."""
        first, second = new_completion(), new_completion()

        def once(fingerprint: str = "f", now: int = T0, key: str = "key") -> Once:
            return Once(key, fingerprint, now, lambda made: made.key.encode())

        await store.recall_completion(project, once())
        await store.create_completion(project, first, ASKED, once=once())
        assert await replay(store.recall_completion(project, once())) == first.key.encode()
        again = store.create_completion(project, second, ASKED, once=once())
        assert await replay(again) == first.key.encode()
        reused = await refusal(store.recall_completion(project, once("other")))
        assert reused.code == "key_reused"
        await store.recall_completion(new_project(), once())
        await store.recall_completion(project, once(now=T0 + 90_000_000))
        assert await store.list_completions(project, CompletionQuery()) == ([first], False)

        def change() -> Awaitable[Completion]:
            changing = once(key="change")
            return store.update_completion(project, first.key, {"a": "b"}, once=changing)

        await change()
        assert await replay(change()) == first.key.encode()

    @proof
    async def test_answers_that_show_a_completion_go_with_it(
        self, store: Store, project: str
    ) -> None:
        """What a deleted completion was answered with is no longer said."""
        given = new_completion()
        once = Once("key", "f", T0, lambda made: bytes(made.body))
        await store.create_completion(project, given, ASKED, once=once)
        await store.delete_completion(project, given.key)
        await store.recall_completion(project, once)

    async def _is_not_found(self, store: Store, project: str, key: str) -> None:
        for act in (
            store.get_completion(project, key),
            store.list_completion_messages(project, key, Page()),
            store.update_completion(project, key, {"a": "b"}),
            store.delete_completion(project, key),
            store.list_completions(project, CompletionQuery(Page(after=key))),
        ):
            assert await not_found(act) == ("completion", key)
