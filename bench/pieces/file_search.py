"""File search: what of a known library is found, how fast, and how fast files are indexed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from statistics import median

from bench import postgres
from bench.corpus import Corpus, Question, corpus, prose
from bench.load import Load
from bench.material import PROJECT, now_ms
from bench.measure import Row, Target, at_least, at_most
from bench.plan import Plan
from clew.core.files import PIECE_BYTES_MAX, File
from clew.core.ids import new_key
from clew.core.rankings import Ranking
from clew.core.vector_stores import Chunk, StoreFile, VectorStore
from clew.embedded import chunk_tokens
from clew.store.store import Store
from clew.store.urls import open_store
from clew.testing.embeddings import Embeddings
from clew.tools.embeddings import Embedder
from clew.tools.indexing import Indexer
from clew.tools.searching import Searcher

DIMENSIONS = 384
PASSAGES_PER_FILE = 50
TOGETHER = 32
FOUND = 10

WAYS = {
    "words alone": Ranking(embedding_weight=0),
    "meaning alone": Ranking(ranker="none"),
    "both": Ranking(),
}


def measure(plan: Plan, load: Load) -> Iterator[Row]:
    library = corpus(plan.scaled(10_000, 1_000), PASSAGES_PER_FILE, plan.scaled(200, 40))
    for engine, url in databases(plan):
        yield from asyncio.run(searches(engine, url, library))
        yield from asyncio.run(ingestion(engine, url, plan))


def databases(plan: Plan) -> Iterator[tuple[str, str]]:
    yield "SQLite", f"sqlite:///{plan.folder}/file-search.db"
    with postgres.running(plan.folder / "file-search") as server:
        yield "PostgreSQL", server.new_database("search")


async def searches(engine: str, url: str, library: Corpus) -> list[Row]:
    """Recall and time of each way."""
    async with filled(url, library) as (searcher, key):
        recalls, times = {}, {}
        for way, ranking in WAYS.items():
            recalls[way], times[way] = await ask(searcher, key, library.questions, ranking)
    chunks = sum(map(len, library.files))
    what = f"{engine}, {chunks:,} chunks, {len(library.questions)} questions"
    better = max(recalls["words alone"], recalls["meaning alone"])
    rows = [
        Row(
            f"recall@{FOUND} by both, {what}",
            "",
            [recalls["both"]],
            "the better single way",
            [better],
            at_least(1),
        )
    ]
    rows += [Row(f"recall@{FOUND} by {way}", "", [recalls[way]]) for way in list(WAYS)[:2]]
    slowest = at_most(20, of="figure")
    rows += [Row(f"query by {way}, p50, {engine}", "ms", [median(times[way])], target=slowest)
             for way in WAYS]  # fmt: skip
    return rows


@asynccontextmanager
async def filled(url: str, library: Corpus) -> AsyncIterator[tuple[Searcher, str]]:
    """A vector store that holds the library, a passage a chunk, and who searches it."""
    store = await open_store(url)
    async with Embeddings(DIMENSIONS, library.synonyms) as server:
        embedder = Embedder(server.url, "double")
        try:
            await store.prepare_vectors()
            key = await new_store(store)
            for passages in library.files:
                await add_file(store, key, passages, embedder)
            yield Searcher(store, embedder), key
        finally:
            await embedder.close()
            await store.close()


async def new_store(store: Store) -> str:
    now = now_ms()
    made = await store.create_vector_store(PROJECT, VectorStore(new_key(now), now, now))
    return made.key


async def new_file(store: Store, key: str, data: bytes) -> None:
    """Upload a file and add it to the store."""
    now = now_ms()
    file, blob = new_key(now), new_key(now)
    for at in range(0, len(data), PIECE_BYTES_MAX):
        await store.write_blob(PROJECT, blob, data[at : at + PIECE_BYTES_MAX], now)
    await store.create_file(PROJECT, File(file, now, "a.txt", "assistants"), blob)
    await store.add_store_file(PROJECT, StoreFile(key, file, now))


async def add_file(store: Store, key: str, passages: list[str], embedder: Embedder) -> None:
    await new_file(store, key, b"a library")
    now = now_ms()
    claim = await store.claim_indexing(new_key(now), now, now + 600_000)
    assert claim is not None
    for at in range(0, len(passages), TOGETHER):
        texts = passages[at : at + TOGETHER]
        chunks = [Chunk(at + n, 0, 1, text) for n, text in enumerate(texts)]
        await store.add_chunks(claim, chunks, await embedder.embed(texts))
    await store.end_indexing(claim, "completed", 1)


async def ask(
    searcher: Searcher, key: str, questions: list[Question], ranking: Ranking
) -> tuple[float, list[float]]:
    """The share of questions whose answer is among the first, and how long each took in ms."""
    right, taken = 0, []
    for question in questions:
        began = time.perf_counter()
        found = await searcher.search(PROJECT, [key], [question.text], FOUND, ranking=ranking)
        taken.append((time.perf_counter() - began) * 1000)
        right += any(question.answer in each.text for each in found)
    return right / len(questions), taken


async def ingestion(engine: str, url: str, plan: Plan) -> list[Row]:
    """Megabytes of text a second, cut and made findable by words."""
    target = Target("at least", 1, "figure")
    megabytes = plan.scaled(8, 2)
    rates, stalls = [], []
    store = await open_store(url)
    try:
        for run in range(plan.pairs):
            rate, stall = await index(store, megabytes, run)
            rates.append(rate)
            stalls.append(stall)
    finally:
        await store.close()
    return [
        Row(f"text indexed without embeddings, {engine}", "MB/s", rates, target=target),
        Row("longest the event loop was kept by it", "ms", stalls),
    ]


async def index(store: Store, megabytes: int, seed: int) -> tuple[float, float]:
    """MB/s, and the longest time in ms that nothing else could run."""
    key = await new_store(store)
    for number in range(megabytes):
        await new_file(store, key, prose(1_000_000, seed * 100 + number).encode())
    chunk_tokens()
    indexer = Indexer(store, now_ms, chunk_tokens)
    longest = [0.0]
    watching = asyncio.create_task(watch(longest))
    began = time.perf_counter()
    indexer.start()
    while (await store.get_vector_store(PROJECT, key)).counts.in_progress:
        await asyncio.sleep(0.01)
    seconds = time.perf_counter() - began
    watching.cancel()
    await indexer.close()
    return megabytes / seconds, longest[0]


async def watch(longest: list[float]) -> None:
    """Keep in `longest` for how many ms nothing else could run, at most."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        longest[0] = max(longest[0], (time.perf_counter() - began) * 1000 - 1)
