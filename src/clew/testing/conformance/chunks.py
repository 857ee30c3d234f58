"""Proofs about chunks: who may store them, who finds them, and that they go."""

from __future__ import annotations

import asyncio

from clew.core.ids import new_key
from clew.core.vector_stores import Comparison, Compound, best, query_words
from clew.store.store import Store
from clew.testing.conformance.proof import T0, Proof, proof
from clew.testing.conformance.vector_stores import (
    FAR,
    chunks_of,
    claimed,
    files_of,
    indexed,
    new_store_file,
    stored_file,
    stored_store,
    swept,
)

HOSTILE = (
    "",
    " \t\n",
    '"',
    "'",
    "\"alpha\" OR ''",
    "NEAR(alpha beta, 2)",
    "alpha*",
    "^alpha -beta +gamma",
    "text : alpha",
    "alpha AND (OR) NOT",
    "alpha & | ! <-> beta:*",
    "\\",
    "%s %(x)s {}",
    "🧶🧶",
    "a\x00b",
    "日本語 テキスト",
    "١٢٣ ½ Ⅷ 1e5 3.14 -7",
    "https://example.com/a/b?c=d e@example.com",
    "\U0001df00 ᦰ",
    "x" * 10_000,
    "word " * 2_000,
)
"""Queries that mean something to a query language, or to none."""


class Indexing(Proof):
    """Claims: one indexer at a time, and none that was lost."""

    @proof
    async def test_a_file_is_claimed_by_one(self, store: Store, project: str) -> None:
        """Of many who claim at the same time each gets another file; those left get none."""
        made = await stored_store(store, project, files=3)
        while (claim := await store.claim_indexing(new_key(T0), T0, T0 + 1)) is not None:
            await store.hold_indexing(claim, T0 + 1 if claim.project == project else FAR)
        claims = await asyncio.gather(
            *(store.claim_indexing(new_key(T0), T0 + 1, FAR) for _ in range(6))
        )
        ours = [claim.file for claim in claims if claim is not None and claim.project == project]
        assert sorted(ours) == sorted(
            each.file for each in await files_of(store, project, made.key)
        )

    @proof
    async def test_a_lease_that_ended_is_taken_over(self, store: Store, project: str) -> None:
        """Nobody gets a leased file; after the lease another does, and the first stores no more."""
        made = await stored_store(store, project, files=1)
        first = await claimed(store, project)
        assert (first.attempts, first.store) == (1, made.key)
        assert await store.add_chunks(first, chunks_of("half of"))
        assert await store.hold_indexing(first, T0 + 5_000)
        while (
            other := await store.claim_indexing(new_key(T0), T0 + 4_999, T0 + 5_000)
        ) is not None:
            assert other.project != project
        second = await claimed(store, project, T0 + 5_000)
        assert (second.file, second.attempts) == (first.file, 2)
        assert not await store.hold_indexing(first, FAR)
        assert not await store.add_chunks(first, chunks_of("alpha"))
        assert not await store.end_indexing(first, "completed")
        assert await store.add_chunks(second, chunks_of("all of it"))
        assert await store.end_indexing(second, "completed", 9)
        await swept(store)
        texts = [
            each.text
            for each in await store.read_chunks(project, made.key, second.file, above=-1, limit=9)
        ]
        assert texts == ["all of it"]
        assert await store.search_chunks(project, made.key, ["half"], 9) == []

    @proof
    async def test_jobs_outlive_the_process(self, store: Store, project: str) -> None:
        """What is to be indexed is claimed by whoever opens the database next."""
        await stored_store(store, project, files=1)
        first = await claimed(store, project)
        await store.hold_indexing(first, T0)
        other = await self.open_store()
        try:
            assert (await claimed(other, project)).file == first.file
        finally:
            await other.close()


class Chunks(Proof):
    """Finding chunks by words, and removing them."""

    @proof
    async def test_chunks_are_seen_when_all_are_there(self, store: Store, project: str) -> None:
        """Nothing of a file is found or read until it is completed, then everything, in order."""
        made = await stored_store(store, project, files=1)
        claim = await claimed(store, project)
        chunks = chunks_of("alpha ", "beta ", "gamma alpha")
        assert await store.add_chunks(claim, chunks[:2])
        assert await store.add_chunks(claim, chunks[2:])
        place = project, made.key, claim.file
        assert await store.read_chunks(*place, above=-1, limit=9) == []
        assert await store.search_chunks(project, made.key, ["alpha"], 9) == []
        assert await store.end_indexing(claim, "completed", 22)
        assert await store.read_chunks(*place, above=-1, limit=2) == chunks[:2]
        assert await store.read_chunks(*place, above=1, limit=9) == chunks[2:]
        found = await store.search_chunks(project, made.key, ["alpha"], 9)
        assert [each.number for each in found] == [0, 2]

    @proof
    async def test_the_best_come_first(self, store: Store, project: str) -> None:
        """More of the words, then rarer words, then more often: with the same scores everywhere."""
        made = await stored_store(store, project, files=1)
        texts = ["apple", "apple pear", "apple apple plum", "pear", "nothing", "apple kiwi"]
        await indexed(store, project, *texts)
        found = await store.search_chunks(project, made.key, ["apple", "kiwi"], 9)
        assert [texts[each.number] for each in found] == [
            "apple kiwi",
            "apple apple plum",
            "apple",
            "apple pear",
        ]
        scores = [round(each.score, 4) for each in found]
        assert scores == [0.6079, 0.2888, 0.2311, 0.2311]
        assert found == best(found, 9)
        assert await store.search_chunks(project, made.key, ["apple", "kiwi"], 2) == found[:2]

    @proof
    async def test_words_are_found_in_their_forms(self, store: Store, project: str) -> None:
        """Case, accents and English endings do not matter; parts of words do."""
        made = await stored_store(store, project, files=1)
        await indexed(store, project, "Running", "Élève", "connections", "user_name", "x-ray 42")
        for word, numbers in {
            "runs": [0],
            "eleve": [1],
            "ÉLÈVE": [1],
            "connected": [2],
            "connect": [2],
            "name": [3],
            "ray": [4],
            "42": [4],
            "run": [0],
            "ele": [],
        }.items():
            found = await store.search_chunks(project, made.key, [word], 9)
            assert [each.number for each in found] == numbers, word

    @proof
    async def test_a_store_finds_its_own(self, store: Store, project: str) -> None:
        """A search sees its store alone, though another one has the same file."""
        one, two = [await stored_store(store, project) for _ in range(2)]
        file = await stored_file(store, project)
        for each in (one, two):
            await store.add_store_file(project, new_store_file(each.key, file))
            await indexed(store, project, "alpha " + each.key)
        (found,) = await store.search_chunks(project, one.key, ["alpha"], 9)
        assert (found.file, found.text) == (file, "alpha " + one.key)
        assert found.filename == f"{file}.txt"

    @proof
    async def test_filters_choose_before_the_limit(self, store: Store, project: str) -> None:
        """A filter leaves out files, however well they fit and however few are asked for."""
        made = await stored_store(store, project, files=0)
        for number in range(130):
            file = await stored_file(store, project)
            new = new_store_file(made.key, file, T0 + number, attributes={"n": number})
            await store.add_store_file(project, new)
            await indexed(store, project, "alpha" if number == 7 else "alpha alpha alpha")
        only = Compound("and", [Comparison("gt", "n", 6), Comparison("lt", "n", 8)])
        (found,) = await store.search_chunks(project, made.key, ["alpha"], 1, filter=only)
        assert found.attributes == {"n": 7}
        none = Comparison("eq", "n", 131)
        assert await store.search_chunks(project, made.key, ["alpha"], 9, filter=none) == []

    @proof
    async def test_no_query_is_a_fault(self, store: Store, project: str) -> None:
        """Whatever is searched for, words are words and never a language; scores stay in 0..1."""
        made = await stored_store(store, project, files=1)
        await indexed(
            store, project, *(f"alpha {text}"[:3_000].replace("\0", "") for text in HOSTILE)
        )
        for query in HOSTILE:
            found = await store.search_chunks(project, made.key, query_words(query), 50)
            assert all(0 <= each.score <= 1 for each in found), query
        found = await store.search_chunks(project, made.key, query_words("NEAR(alpha"), 50)
        assert len(found) == len(HOSTILE)

    @proof
    async def test_nothing_deleted_can_come_back(self, store: Store, project: str) -> None:
        """A file that was removed and is added again has its new chunks alone."""
        made = await stored_store(store, project, files=1)
        claim = await indexed(store, project, "alpha")
        await store.remove_store_file(project, made.key, claim.file)
        await store.add_store_file(project, new_store_file(made.key, claim.file))
        await indexed(store, project, "beta")
        for _ in range(2):
            assert await store.search_chunks(project, made.key, ["alpha"], 9) == []
            assert len(await store.search_chunks(project, made.key, ["beta"], 9)) == 1
            await swept(store)
