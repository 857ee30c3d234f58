"""Proofs about assistants."""

from __future__ import annotations

from clew.core.paging import Page
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    new_assistant,
    new_project,
    not_found,
    proof,
    prove_paging,
)


class Assistants(Proof):
    """Creating, changing, listing and deleting assistants."""

    @proof
    async def test_an_assistant_is_kept_as_given(self, store: Store, project: str) -> None:
        """An assistant keeps its key, time and settings, whatever is in them."""
        given = new_assistant(T0 - 1, model="m", name=None, tools=[{"a": "b\x00 🧶"}], top_p=0.5)
        assert await store.create_assistant(project, given) == given
        assert await store.get_assistant(project, given.key) == given

    @proof
    async def test_an_update_replaces_named_settings(self, store: Store, project: str) -> None:
        """An update replaces each setting it names as a whole, and leaves the others."""
        given = new_assistant(model="m", name="n", metadata={"a": "b"})
        await store.create_assistant(project, given)
        changes = {"name": None, "metadata": {"c": "d"}, "new": [1]}
        now = await store.update_assistant(project, given.key, changes)
        assert now.settings == {"model": "m", **changes}
        assert (now.key, now.created_at) == (given.key, given.created_at)
        assert await store.get_assistant(project, given.key) == now

    @proof
    async def test_a_deleted_assistant_is_gone(self, store: Store, project: str) -> None:
        """A deleted assistant is not found, by no verb and in no list; others stay."""
        kept, gone = new_assistant(), new_assistant()
        for assistant in (kept, gone):
            await store.create_assistant(project, assistant)
        await store.delete_assistant(project, gone.key)
        for act in (
            store.get_assistant(project, gone.key),
            store.update_assistant(project, gone.key, {"a": "b"}),
            store.delete_assistant(project, gone.key),
            store.list_assistants(project, Page(after=gone.key)),
        ):
            assert await not_found(act) == ("assistant", gone.key)
        assert await store.list_assistants(project, Page()) == ([kept], False)

    @proof
    async def test_pages_of_assistants_are_true(self, store: Store, project: str) -> None:
        """Assistants are listed by creation, then key; each page is the slice it should be."""
        made = [new_assistant(T0 + time) for time in (2, 1, 2, 3, 2)]
        for assistant in made:
            await store.create_assistant(project, assistant)
        await store.create_assistant(new_project(), new_assistant())
        made.sort(key=lambda assistant: (assistant.created_at, assistant.key))
        await prove_paging(
            lambda page: store.list_assistants(project, page),
            [assistant.key for assistant in made],
            lambda assistant: str(assistant.key),
        )
