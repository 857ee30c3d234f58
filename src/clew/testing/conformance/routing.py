"""Proofs about routing rules."""

from __future__ import annotations

import asyncio

from clew.core.errors import ClewError
from clew.core.routing import Routing, Rule
from clew.store.once import Once
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    new_assistant,
    new_project,
    not_found,
    proof,
    refusal,
    replay,
)


async def stored_assistant(store: Store, project: str) -> str:
    return (await store.create_assistant(project, new_assistant())).key


class RoutingRules(Proof):
    @proof
    async def test_there_are_none_at_first(self, store: Store, project: str) -> None:
        """A project without rules is at revision 0."""
        assert await store.get_routing(project) == Routing()

    @proof
    async def test_rules_are_replaced_as_a_whole(self, store: Store, project: str) -> None:
        """Each replacement is the next revision; other projects have rules of their own."""
        assistant = await stored_assistant(store, project)
        first = [Rule(assistant, {"tier": ["gold", "silver"], "x": {"exists": True}}, "näme")]
        made = await store.put_routing(project, first, T0)
        assert made == Routing(1, T0, first)
        assert await store.get_routing(project) == made
        second = [Rule(assistant, {"a": {"glob": "b*"}}), Rule(assistant)]
        assert await store.put_routing(project, second, T0 + 1) == Routing(2, T0 + 1, second)
        assert await store.put_routing(project, [], T0 + 2) == Routing(3, T0 + 2)
        assert await store.get_routing(new_project()) == Routing()

    @proof
    async def test_a_missing_assistant_is_refused(self, store: Store, project: str) -> None:
        """It is named, and nothing is changed."""
        foreign = await stored_assistant(store, new_project())
        act = store.put_routing(project, [Rule(foreign)], T0)
        assert await not_found(act) == ("assistant", foreign)
        assert (await store.get_routing(project)).rules == []

    @proof
    async def test_a_stale_revision_is_refused(self, store: Store, project: str) -> None:
        """Of many who replace the same revision, one does."""
        acts = [store.put_routing(project, [], T0, if_revision=0) for _ in range(5)]
        ends = await asyncio.gather(*acts, return_exceptions=True)
        assert [end for end in ends if isinstance(end, Routing)] == [Routing(1, T0)]
        refused = await refusal(store.put_routing(project, [], T0, if_revision=7))
        assert (refused.code, refused.param) == ("stale", "If-Match")
        assert all(isinstance(end, Routing | ClewError) for end in ends)

    @proof
    async def test_a_retry_replaces_once(self, store: Store, project: str) -> None:
        """It gets the first answer."""
        once = Once("key", "print", T0, lambda made: b"%d" % made.revision)
        await store.put_routing(project, [], T0, once=once)
        assert await replay(store.put_routing(project, [], T0, once=once)) == b"1"
        assert (await store.get_routing(project)).revision == 1
