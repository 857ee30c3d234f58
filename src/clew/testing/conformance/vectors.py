"""Proofs about vectors: what is near is found, in its space and nowhere else, and goes for good."""

from __future__ import annotations

import random
from collections.abc import Sequence

from clew.core.embeddings import Embedded, unit
from clew.core.vector_stores import Claim, Comparison
from clew.store.store import Store
from clew.testing.conformance.proof import T0, Proof, proof
from clew.testing.conformance.vector_stores import (
    chunks_of,
    claimed,
    new_store_file,
    stored_file,
    stored_store,
    swept,
)

EAST, NORTH, NORTH_EAST, WEST = unit([1, 0]), unit([0, 1]), unit([1, 1]), unit([-1, 0])


async def embedded(
    store: Store, project: str, *vectors: Sequence[float], model: str = "m"
) -> Claim:
    """The next job, done: the file has a chunk with each of these vectors."""
    claim = await claimed(store, project)
    chunks = chunks_of(*(f"chunk {number}" for number in range(len(vectors))))
    given = Embedded(model, [list(vector) for vector in vectors])
    assert await store.add_chunks(claim, chunks, given)
    assert await store.end_indexing(claim, "completed", 1)
    return claim


class Vectors(Proof):
    """Finding chunks by their vectors. An engine that can keep none finds none."""

    @proof
    async def test_the_nearest_come_first(self, store: Store, project: str) -> None:
        """Chunks are found in the order of their angles, with its cosine as their score."""
        can = await store.prepare_vectors()
        made = await stored_store(store, project, files=1)
        if not can:
            assert await store.nearest_chunks(project, made.key, "m", EAST, 9) == []
            return
        await embedded(store, project, NORTH, EAST, NORTH_EAST, WEST)
        found = await store.nearest_chunks(project, made.key, "m", EAST, 9)
        assert [each.number for each in found] == [1, 2, 0, 3]
        assert [round(each.score, 3) for each in found] == [1, 0.707, 0, 0]
        assert found[0].text == "chunk 1"
        assert found[0].filename == f"{found[0].file}.txt"
        assert await store.nearest_chunks(project, made.key, "m", EAST, 2) == found[:2]

    @proof
    async def test_a_vector_has_its_space(self, store: Store, project: str) -> None:
        """A vector is compared with none of another model, length or store."""
        if not await store.prepare_vectors():
            return
        made = await stored_store(store, project, files=3)
        other = await stored_store(store, project)
        claims = [
            await embedded(store, project, EAST),
            await embedded(store, project, EAST, model="other"),
            await embedded(store, project, unit([1, 0, 0])),
        ]
        for claim, model, vector in zip(
            claims, ("m", "other", "m"), (EAST, EAST, unit([1, 0, 0])), strict=True
        ):
            (found,) = await store.nearest_chunks(project, made.key, model, vector, 9)
            assert found.file == claim.file
        assert await store.nearest_chunks(project, made.key, "none", EAST, 9) == []
        assert await store.nearest_chunks(project, other.key, "m", EAST, 9) == []

    @proof
    async def test_unfinished_files_are_not_near(self, store: Store, project: str) -> None:
        """Vectors are seen with their file: once it is completed, while it is in the store."""
        if not await store.prepare_vectors():
            return
        made = await stored_store(store, project, files=1)
        claim = await claimed(store, project)
        assert await store.add_chunks(claim, chunks_of("alpha"), Embedded("m", [EAST]))
        asked = project, made.key, "m", EAST, 9
        assert await store.nearest_chunks(*asked) == []
        assert await store.end_indexing(claim, "completed", 5)
        assert len(await store.nearest_chunks(*asked)) == 1
        await store.remove_store_file(project, made.key, claim.file)
        assert await store.nearest_chunks(*asked) == []
        await swept(store)
        await store.add_store_file(project, new_store_file(made.key, claim.file))
        await embedded(store, project, NORTH)
        (found,) = await store.nearest_chunks(*asked)
        assert found.score == 0

    @proof
    async def test_a_new_attempt_forgets_the_model(self, store: Store, project: str) -> None:
        """A file that is indexed anew without vectors is near to nothing."""
        if not await store.prepare_vectors():
            return
        made = await stored_store(store, project, files=1)
        first = await claimed(store, project)
        assert await store.add_chunks(first, chunks_of("alpha"), Embedded("m", [EAST]))
        second = await claimed(store, project, T0 + 1_000)
        assert second.file == first.file
        assert not await store.add_chunks(first, chunks_of("alpha"), Embedded("m", [EAST]))
        assert await store.add_chunks(second, chunks_of("alpha"))
        assert await store.end_indexing(second, "completed", 5)
        assert await store.nearest_chunks(project, made.key, "m", EAST, 9) == []

    @proof
    async def test_filters_choose_among_the_near(self, store: Store, project: str) -> None:
        """A filter leaves out files, however near they are and however few are asked for."""
        if not await store.prepare_vectors():
            return
        made = await stored_store(store, project)
        for number in range(5):
            file = await stored_file(store, project)
            new = new_store_file(made.key, file, T0 + number, attributes={"n": number})
            await store.add_store_file(project, new)
            await embedded(store, project, *[WEST if number == 3 else EAST] * 200)
        only = Comparison("eq", "n", 3)
        (found,) = await store.nearest_chunks(project, made.key, "m", EAST, 1, filter=only)
        assert found.attributes == {"n": 3}

    @proof
    async def test_long_vectors_are_found_as_short_ones(self, store: Store, project: str) -> None:
        """The nearest of many vectors of odd lengths are found, however the engine does it."""
        if not await store.prepare_vectors():
            return
        chance = random.Random(7)
        for dimensions in (5, 301, 1_536):
            made = await stored_store(store, project, files=1)
            vectors = [unit(chance.gauss(0, 1) for _ in range(dimensions)) for _ in range(500)]
            claim = await claimed(store, project)
            chunks = chunks_of(*(f"chunk {number}" for number in range(500)))
            for at in range(0, 500, 100):
                part = slice(at, at + 100)
                assert await store.add_chunks(claim, chunks[part], Embedded("m", vectors[part]))
            assert await store.end_indexing(claim, "completed", 1)
            near = unit(number + chance.gauss(0, 0.2) / dimensions**0.5 for number in vectors[123])
            found = await store.nearest_chunks(project, made.key, "m", near, 5)
            assert found[0].number == 123
            assert [each.score for each in found] == sorted(
                (each.score for each in found), reverse=True
            )
