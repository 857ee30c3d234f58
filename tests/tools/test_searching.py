"""Searching by words and meaning together, and by words where there is no meaning to be had."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from clew.core.errors import NotFound
from clew.core.rankings import Ranking
from clew.core.vector_stores import Comparison
from clew.store.store import Store
from clew.testing.conformance.vector_stores import (
    chunks_of,
    claimed,
    new_store_file,
    new_vector_store,
    stored_file,
)
from clew.testing.embeddings import Embeddings
from clew.tools import searching
from clew.tools.embeddings import Embedder
from clew.tools.searching import Searcher
from tests.tools.test_indexing import play

TEXTS = ("the red car", "a garden of roses", "part KX4711 of it", "part KX4712 of it", "tea")
SYNONYMS = [("car", "automobile"), ("red", "crimson"), ("roses", "flowers")]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/clew.db"
    create: Callable[[], str] = request.getfixturevalue("new_postgres_database")
    return create()


@asynccontextmanager
async def embedding(server: Embeddings | None = None) -> AsyncIterator[Embedder]:
    async with server or Embeddings(synonyms=SYNONYMS) as running:
        embedder = Embedder(running.url, "double", sleep=lambda _: asyncio.sleep(0))
        try:
            yield embedder
        finally:
            await embedder.close()


async def store_of(
    store: Store,
    project: str,
    embedder: Embedder | None,
    texts: Sequence[str] = TEXTS,
    n: int = 0,
) -> str:
    """The key of a new store with one file of these chunks, with the attribute `n`."""
    made = await store.create_vector_store(project, new_vector_store())
    file = await stored_file(store, project)
    await store.add_store_file(project, new_store_file(made.key, file, attributes={"n": n}))
    claim = await claimed(store, project)
    vectors = None if embedder is None else await embedder.embed(texts)
    assert await store.add_chunks(claim, chunks_of(*texts), vectors)
    assert await store.end_indexing(claim, "completed", 1)
    return made.key


def test_each_way_finds_what_the_other_misses(url: str):
    """Other words for the same are found, and a code among codes that look alike."""

    async def test(store: Store, project: str) -> None:
        await store.prepare_vectors()
        async with embedding() as embedder:
            key = await store_of(store, project, embedder)
            searcher = Searcher(store, embedder)
            for query, text in {
                "a crimson automobile": TEXTS[0],
                "flowers": TEXTS[1],
                "KX4712": TEXTS[3],
                "tea": TEXTS[4],
            }.items():
                found = await searcher.search(project, [key], [query], 3)
                assert found[0].text == text, query
                assert len(found) == 3
            both = await searcher.search(project, [key], ["flowers", "KX4711"], 2)
            assert {each.text for each in both} == {TEXTS[1], TEXTS[2]}

    play(url, test)


def test_options_choose_the_way(url: str):
    """A weight of 0 leaves a way out, "none" leaves one, a threshold leaves out the rest."""

    async def test(store: Store, project: str) -> None:
        await store.prepare_vectors()
        async with embedding() as embedder:
            key = await store_of(store, project, embedder)
            searcher = Searcher(store, embedder)

            async def first(query: str, ranking: Ranking) -> list[str]:
                found = await searcher.search(project, [key], [query], 9, ranking=ranking)
                return [each.text for each in found]

            assert await first("automobile", Ranking(embedding_weight=0)) == []
            assert (await first("automobile", Ranking(ranker="none")))[0] == TEXTS[0]
            words = await first("KX4712", Ranking(embedding_weight=0))
            assert words == [TEXTS[3]]
            assert await first("KX4712", Ranking(threshold=0.6)) == [TEXTS[3]]
            assert await first("the red car", Ranking(threshold=0.9)) == [TEXTS[0]]

    play(url, test)


def test_words_do_where_there_is_no_meaning(url: str, monkeypatch: pytest.MonkeyPatch):
    """Without an embedder, with chunks of another model, or with a server that fails or hangs,
    a search goes by words."""

    async def test(store: Store, project: str) -> None:
        plain = await store_of(store, project, None)
        searches = [Searcher(store)]
        await store.prepare_vectors()
        async with embedding() as embedder, embedding(Embeddings(fails=[500] * 99)) as broken:
            searches += [Searcher(store, embedder), Searcher(store, broken)]
            monkeypatch.setattr(searching, "EMBED_TIMEOUT_S", 0.0)
            for searcher in searches:
                for ranker in ("auto", "none"):
                    ranking = Ranking(ranker=ranker)
                    (found,) = await searcher.search(
                        project, [plain], ["KX4712"], 9, ranking=ranking
                    )
                    assert found.text == TEXTS[3]
                    monkeypatch.setattr(searching, "EMBED_TIMEOUT_S", 5.0)

    play(url, test)


def test_several_stores_are_one_library(url: str):
    """The best of all stores is found, under the filter in both ways; a missing store is named."""

    async def test(store: Store, project: str) -> None:
        await store.prepare_vectors()
        async with embedding() as embedder:
            one = await store_of(store, project, embedder, ("coffee", "red"), n=1)
            two = await store_of(store, project, embedder, ("the red car", "coffee"), n=2)
            searcher = Searcher(store, embedder)
            found = await searcher.search(project, [one, two], ["crimson automobile"], 1)
            assert found[0].attributes == {"n": 2}
            only = Comparison("eq", "n", 1)
            found = await searcher.search(project, [one, two], ["red car"], 9, filter=only)
            assert {each.attributes["n"] for each in found} == {1}
            with pytest.raises(NotFound):
                await searcher.search(project, [one, "none"], ["red"], 9)
            assert await searcher.search(project, [], ["red"], 9) == []
            assert await searcher.search(project, [one], ["", " "], 9) == []

    play(url, test)
