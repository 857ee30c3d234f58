"""Embeddings over real HTTP: batches, order, faults and what is tried again."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clew.context.tokens import Estimate
from clew.core.errors import BadRequest
from clew.store.store import Store
from clew.testing.conformance.proof import T0
from clew.testing.embeddings import Embeddings
from clew.tools import embeddings, indexing
from clew.tools.embeddings import Embedder, EmbeddingError
from clew.tools.indexing import EMBEDDING_ATTEMPTS_MAX, Indexer, _pause_s
from tests.tools.test_indexing import filled, play, settled

KEY = "sk-secret"


def ask(
    server: Embeddings, texts: list[str], pauses: list[float] | None = None, **options: Any
) -> Any:
    """What the embedder gives, or the error it raises."""

    async def sleep(seconds: float) -> None:
        if pauses is not None:
            pauses.append(seconds)

    async def run() -> Any:
        async with server:
            embedder = Embedder(server.url, "double", KEY, sleep=sleep, chance=lambda: 1, **options)
            try:
                return await embedder.embed(texts)
            except EmbeddingError as error:
                return error
            finally:
                await embedder.close()

    return asyncio.run(run())


def test_vectors_come_in_the_order_of_the_texts():
    """Many texts go in batches, and each has its own vector, of length 1."""
    server, texts = Embeddings(), [f"{'ab' * (n % 5 + 1)} cd" for n in range(150)]
    found = ask(server, texts)
    assert [len(each["input"]) for each in server.requests] == [64, 64, 22]
    assert found.model == "double"
    assert all(math.isclose(math.hypot(*vector), 1) for vector in found.vectors)
    expected = server.vector(texts[3])
    assert found.vectors[3] == pytest.approx([x / math.hypot(*expected) for x in expected])
    assert found.vectors[3] == pytest.approx(found.vectors[8])
    assert server.headers["authorization"] == f"Bearer {KEY}"


def test_long_texts_go_in_smaller_batches():
    """A request has no more bytes of text than it may, unless one text alone has."""
    server = Embeddings()
    ask(server, ["x" * 90_000] * 4 + ["y" * 300_000, "z"])
    assert [len(each["input"]) for each in server.requests] == [2, 2, 1, 1]


def test_dimensions_are_asked_for():
    """Dimensions that are set go along; without them the model's own are taken."""
    server = Embeddings(dimensions=64)
    assert ask(server, ["a"], dimensions=16).dimensions == 16
    assert server.requests[-1]["dimensions"] == 16
    assert ask(server, ["a"]).dimensions == 64
    assert "dimensions" not in server.requests[-1]


def test_what_passes_is_tried_again():
    """A server that is busy or broken is asked again, after longer and longer pauses."""
    server, pauses = Embeddings(fails=[503, 429]), []
    assert len(ask(server, ["a"], pauses).vectors) == 1
    assert pauses == [0.5, 1.0]
    error = ask(Embeddings(fails=[500] * 9), ["a"], pauses)
    assert error.passes
    assert "500" in error.message


def test_what_does_not_pass_is_said_at_once():
    """A refusal is not tried again, and its words come without the key."""
    server = Embeddings(fails=[401, 401])
    error = ask(server, ["a"])
    assert (error.passes, len(server.requests)) == (False, 1)
    assert "[API key]" in error.message
    assert KEY not in error.message


def test_a_server_that_is_not_there_may_come_back():
    """No connection is a fault that may pass."""

    async def run() -> EmbeddingError:
        async with Embeddings() as server:
            url = server.url
        embedder = Embedder(url, "double", sleep=lambda _: asyncio.sleep(0))
        with pytest.raises(EmbeddingError) as caught:
            await embedder.embed(["a"])
        await embedder.close()
        return caught.value

    assert asyncio.run(run()).passes


def entries(*vectors: tuple[int, list[float]]) -> bytes:
    data = [{"index": index, "embedding": vector} for index, vector in vectors]
    return msgspec.json.encode({"data": data})


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b'{"data": 3}',
        b'{"data": [{"index": 0, "embedding": ["a"]}]}',
        b'{"data": [{"index": 0, "embedding": [NaN]}]}',
        b'{"data": [{"index": 0, "embedding": [1e999, 1]}, {"index": 1, "embedding": [1, 1]}]}',
        entries(),
        entries((0, [1.0])),
        entries((0, [1.0]), (0, [1.0])),
        entries((0, [1.0]), (2, [1.0])),
        entries((0, [1.0]), (1, [1.0, 2.0])),
        entries((0, [0.0]), (1, [1.0])),
        entries((0, []), (1, [])),
        entries((0, [1.0] * 16_001), (1, [1.0] * 16_001)),
    ],
)
def test_a_server_that_lies_is_found_out(answer: bytes):
    """What is not one sound vector for each text is refused, and not asked for again."""
    server = Embeddings(answer=answer)
    error = ask(server, ["a", "b"])
    assert (error.passes, len(server.requests)) == (False, 1)


def test_dimensions_may_not_change():
    """A model whose vectors have another length than before is not believed."""

    async def run() -> None:
        async with Embeddings(dimensions=4) as server:
            embedder = Embedder(server.url, "double")
            await embedder.embed(["a"])
            server.answer = entries((0, [1.0, 2.0]))
            with pytest.raises(EmbeddingError, match="dimensions"):
                await embedder.embed(["a"])
            await embedder.close()

    asyncio.run(run())


def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch):
    """An answer larger than any could be does not fill the memory."""
    monkeypatch.setattr(embeddings, "ANSWER_BYTES_MAX", 1_000)
    assert "more than" in ask(Embeddings(), ["a"]).message


@pytest.mark.parametrize(
    ("url", "model", "key", "param"),
    [
        ("ftp://x", "m", None, "embeddings_url"),
        ("http://x:y", "m", None, "embeddings_url"),
        ("http://x", "", None, "embeddings_model"),
        ("http://x", "m", "k\n", "embeddings_key"),
    ],
)
def test_bad_settings_are_named(url: str, model: str, key: str | None, param: str):
    """What cannot work is refused by its name before anything is asked."""
    with pytest.raises(BadRequest) as caught:
        Embedder(url, model, key)
    assert caught.value.param == param


# as part of the indexing job


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/clew.db"
    create: Callable[[], str] = request.getfixturevalue("new_postgres_database")
    return create()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker that looks often: the clock, which runs ahead, decides when it is its turn."""
    monkeypatch.setattr(indexing, "WORKERS", 1)
    monkeypatch.setattr(indexing, "POLL_S", 0.01)


def index(
    url: str, server: Embeddings, test: Callable[[Store, str, Embedder], Any], later: int = 0
) -> None:
    """Run the test while files are indexed with that server; the clock runs `later` ms ahead."""

    async def run(store: Store, project: str) -> None:
        assert await store.prepare_vectors()
        async with server:
            embedder = Embedder(server.url, "double", sleep=lambda _: asyncio.sleep(0))
            ticks = iter(range(T0, T0 + 10**9, later or 1))
            indexer = Indexer(store, lambda: next(ticks), Estimate, embedder)
            indexer.start()
            try:
                await test(store, project, embedder)
            finally:
                await indexer.close()
                await embedder.close()

    play(url, run)


def test_chunks_are_embedded_as_they_are_stored(url: str):
    """What words do not find is found by its meaning."""
    server = Embeddings(synonyms=[("car", "automobile")])
    text = ("hedge garden rain " * 10_000 + "the red car " * 200).encode()

    async def test(store: Store, project: str, embedder: Embedder) -> None:
        key = await filled(store, project, text, b"tea and cake")
        files = await settled(store, project, key)
        assert {each.status for each in files} == {"completed"}
        assert await store.search_chunks(project, key, ["automobile"], 9) == []
        (vector,) = await embedder.embed_queries(["an automobile"])
        best, *_ = await store.nearest_chunks(project, key, "double", vector, 9)
        assert "red car" in best.text

    index(url, server, test)


def test_a_refusal_fails_the_file_alone(url: str):
    """A file that cannot be embedded fails with the server's words; the next one is well."""
    server = Embeddings(fails=[400])

    async def test(store: Store, project: str, embedder: Embedder) -> None:
        key = await filled(store, project, b"alpha")
        (failed,) = await settled(store, project, key)
        assert failed.status == "failed"
        assert failed.error is not None
        assert failed.error["code"] == "server_error"
        assert "answered 400" in failed.error["message"]
        other = await filled(store, project, b"beta")
        (well,) = await settled(store, project, other)
        assert well.status == "completed"

    index(url, server, test)


@pytest.mark.usefixtures("alone")
def test_a_file_waits_for_a_server_that_is_down(url: str):
    """A file outlasts some minutes without embeddings, then is whole, without scraps."""
    server = Embeddings(fails=[500] * 9)

    async def test(store: Store, project: str, embedder: Embedder) -> None:
        key = await filled(store, project, b"alpha")
        (file,) = await settled(store, project, key)
        assert file.status == "completed"
        assert len(server.requests) == 10
        assert len(await store.search_chunks(project, key, ["alpha"], 9)) == 1

    index(url, server, test, later=30_000)


@pytest.mark.usefixtures("alone")
def test_a_file_does_not_wait_for_ever(url: str):
    """After its attempts a file fails, and says why."""
    server = Embeddings(fails=[503] * 1_000)

    async def test(store: Store, project: str, embedder: Embedder) -> None:
        key = await filled(store, project, b"alpha")
        (file,) = await settled(store, project, key)
        assert file.status == "failed"
        assert file.error is not None
        assert "answered 503" in file.error["message"]

    index(url, server, test, later=30_000)


def test_pauses_grow_and_end():
    """A file waits longer each time, at most a minute, and as long as the server asks."""
    busy = EmbeddingError("busy", passes=True)
    assert [_pause_s(busy, n) for n in (1, 2, 5, 7)] == [2, 4, 32, 60]
    assert _pause_s(busy, EMBEDDING_ATTEMPTS_MAX) is None
    assert _pause_s(EmbeddingError("wait", passes=True, pause_s=20), 1) == 20
    assert _pause_s(EmbeddingError("never", passes=False), 1) is None
