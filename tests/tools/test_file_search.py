"""The tool: what it asks, waits for, finds, says and keeps, and that it never raises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clew.context.tokens import Estimate
from clew.core.citations import cite
from clew.core.vector_stores import DAY_MS
from clew.store.store import Store
from clew.testing.conformance.proof import T0
from clew.testing.conformance.vector_stores import (
    indexed,
    new_store_file,
    new_vector_store,
    stored_file,
    stored_store,
)
from clew.testing.embeddings import Embeddings
from clew.tools.embeddings import Embedder
from clew.tools.file_search import QUERIES_MAX, TOKENS_MAX, FileSearch
from clew.tools.indexing import Indexer
from clew.tools.searching import Searcher
from clew.tools.tool import Place, Tool
from tests.tools.test_indexing import filled, play, running, settled


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/clew.db"
    create: Callable[[], str] = request.getfixturevalue("new_postgres_database")
    return create()


def place_of(project: str, *stores: str, **config: Any) -> Place:
    """A run whose thread has these stores (keys)."""
    resources = {"file_search": {"vector_store_ids": [f"vs_{key}" for key in stores]}}
    return Place(project, "t", "r", {"type": "file_search", **config}, resources)


def tool_of(store: Store, **options: Any) -> FileSearch:
    now = options.pop("now", lambda: T0)
    return FileSearch(store, Searcher(store), now, **options)


async def acted(tool: Tool, place: Place, **arguments: Any) -> tuple[dict[str, Any], list[str]]:
    """The finished item of a call, and the stages it told of."""
    told: list[str] = []
    item = tool.ask(place, "file_search", msgspec.json.encode(arguments).decode())
    assert item["status"] == "in_progress"
    done = await tool.act(place, item, lambda stage, data: told.append(stage))
    return done, told


def test_a_call_finds_and_can_be_cited(url: str):
    """Results are in the item and under markers in what the model reads; these become citations."""

    async def test(store: Store, project: str) -> None:
        key = await filled(store, project, b"the red car stands outside", b"tea and cake")
        async with running(store):
            files = await settled(store, project, key)
        tool, place = tool_of(store), place_of(project, key)
        item, stages = await acted(tool, place, queries=["car", "cake"])
        assert stages == ["in_progress", "searching", "completed"]
        assert (item["type"], item["status"]) == ("file_search_call", "completed")
        assert {each["file_id"] for each in item["results"]} == {f"file-{f.file}" for f in files}
        name, arguments, output = tool.told(item) or ("", "", "")
        assert (name, arguments) == ("file_search", '{"queries":["car","cake"]}')
        notes = cite(output, [item])
        assert [note["file_id"] for note in notes] == [r["file_id"] for r in item["results"]]
        for note, result in zip(notes, item["results"], strict=True):
            assert output[note["end_index"] :].startswith("\n" + result["text"])

    play(url, test)


def test_the_runs_options_hold(url: str):
    """The tool's own stores, its limit, filter and threshold are honoured."""

    async def test(store: Store, project: str) -> None:
        made = await store.create_vector_store(project, new_vector_store())
        for number in range(4):
            file = await stored_file(store, project)
            attributes = {"n": number, "kind": "odd" if number % 2 else "even"}
            new = new_store_file(made.key, file, T0 + number, attributes=attributes)
            await store.add_store_file(project, new)
            await indexed(store, project, "alpha " * (number + 1) + "beta" * (number == 3))
        config: dict[str, Any] = {"vector_store_ids": [f"vs_{made.key}"]}
        tool = tool_of(store)

        async def numbers(**options: Any) -> list[Any]:
            place = Place(project, "t", "r", config | options)
            item, _ = await acted(tool, place, queries=["alpha"])
            assert item["status"] == "completed"
            return [each["attributes"]["n"] for each in item["results"]]

        assert sorted(await numbers()) == [0, 1, 2, 3]
        assert len(await numbers(max_num_results=2)) == 2
        odd = {"type": "eq", "key": "kind", "value": "odd"}
        assert sorted(await numbers(filters=odd)) == [1, 3]
        both = {"type": "and", "filters": [odd, {"type": "gt", "key": "n", "value": 1}]}
        assert await numbers(filters=both) == [3]
        assert await numbers(ranking_options={"score_threshold": 1}) == []

    play(url, test)


def test_meaning_finds_what_words_do_not(url: str):
    """With embeddings a paraphrase is found."""

    async def test(store: Store, project: str) -> None:
        await store.prepare_vectors()
        async with Embeddings(synonyms=[("car", "automobile")]) as server:
            embedder = Embedder(server.url, "double")
            indexer = Indexer(store, lambda: T0, Estimate, embedder)
            indexer.start()
            key = await filled(store, project, b"the car", b"tea and cake")
            indexer.wake()
            await settled(store, project, key)
            tool = FileSearch(store, Searcher(store, embedder), lambda: T0)
            item, _ = await acted(tool, place_of(project, key), query="automobile")
            assert item["results"][0]["text"] == "the car"
            await indexer.close()
            await embedder.close()

    play(url, test)


@pytest.mark.parametrize(
    ("arguments", "queries"),
    [
        ('{"queries": ["a", "b", "a", "  "]}', ["a", "b"]),
        ('{"query": "a"}', ["a"]),
        ('{"queries": "a"}', ["a"]),
        ('["a", 3, null]', ["a"]),
        ('"a"', ["a"]),
        (msgspec.json.encode({"queries": [str(n) for n in range(9)]}).decode(), list("01234")),
        ("", []),
        ("{", []),
        ("null", []),
        ('{"queries": {"a": 1}}', []),
        ('"\udc00"', []),
    ],
)
def test_what_a_model_asks_is_made_out(arguments: str, queries: list[str]):
    """One to five texts, however the model wraps them; what is none of it asks nothing."""
    tool = FileSearch(None, None, lambda: T0)  # type: ignore[arg-type]
    item = tool.ask(place_of("p"), "file_search", arguments)
    assert item == {"type": "file_search_call", "status": "in_progress", "queries": queries}
    assert len(queries) <= QUERIES_MAX


def test_what_cannot_be_searched_fails_in_words(url: str):
    """Stores that are gone, expired or misnamed, bad filters and empty calls fail the call."""

    async def test(store: Store, project: str) -> None:
        made = await stored_store(store, project, expires_days=1)
        for place, arguments, now, words in (
            (place_of(project, "none"), {"queries": ["a"]}, T0, "no vector store 'vs_none'"),
            (place_of("proj_other", made.key), {"queries": ["a"]}, T0, "no vector store"),
            (place_of(project, made.key), {"queries": ["a"]}, T0 + 2 * DAY_MS, "has expired"),
            (place_of(project, made.key), {}, T0, "no `queries`"),
            (
                place_of(project, made.key, filters={"type": "x"}),
                {"queries": ["a"]},
                T0,
                "no filter of type 'x'",
            ),
            (
                Place(project, "t", "r", {"vector_store_ids": ["a b"]}),
                {"queries": ["a"]},
                T0,
                "'a b' is no id",
            ),
        ):
            tool = tool_of(store, now=lambda now=now: now)
            item, _ = await acted(tool, place, **arguments)
            assert (item["status"], item["results"]) == ("failed", None)
            assert words in (tool.told(item) or ("", "", ""))[2]

    play(url, test)


def test_a_fault_of_ours_is_not_the_models(monkeypatch: pytest.MonkeyPatch):
    """What nobody foresaw fails the call, and the model is told no secrets."""

    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("password")

    async def test() -> None:
        tool = FileSearch(Broken(), Broken(), lambda: T0)  # type: ignore[arg-type]
        item, _ = await acted(tool, place_of("p", "s"), queries=["a"])
        assert item["status"] == "failed"
        assert "password" not in str(item)

    asyncio.run(test())


def test_a_search_waits_for_the_threads_files(url: str):
    """Files that are being indexed in the thread's stores are waited for; others, and those that
    take too long, are not."""

    async def test(store: Store, project: str) -> None:
        key = await filled(store, project, b"alpha")

        async def waits_for(place: Place) -> list[str]:
            return [key]

        hasty = tool_of(store, waits_for=waits_for, wait_s=0.05)
        item, _ = await acted(hasty, place_of(project, key), queries=["alpha"])
        assert (item["status"], item["results"]) == ("completed", [])
        item, _ = await acted(tool_of(store), place_of(project, key), queries=["alpha"])
        assert item["results"] == []
        patient = tool_of(store, waits_for=waits_for, wait_s=20.0)
        searching = asyncio.create_task(acted(patient, place_of(project, key), queries=["alpha"]))
        async with running(store):
            item, _ = await searching
        assert [each["text"] for each in item["results"]] == ["alpha"]

    play(url, test)


def test_a_model_reads_within_its_budget():
    """What does not fit is kept in the item and not read; the best is read first."""
    tool = FileSearch(None, None, lambda: T0, tokens=lambda text: len(text))  # type: ignore[arg-type]
    results = [{"file_id": f"file-{n}", "filename": "a", "text": str(n) * 5_000} for n in range(9)]
    item = {"type": tool.kind, "status": "completed", "queries": ["q"], "results": results}
    _, _, output = tool.told(item) or ("", "", "")
    assert "0" * 5_000 in output
    assert "3" * 5_000 not in output
    assert len(output) < TOKENS_MAX + 10
    nothing = item | {"results": []}
    assert (tool.told(nothing) or ("", "", ""))[2] == "Nothing was found."


def test_a_lost_search_is_failed_and_may_be_repeated():
    """A search has no effects: it may be made again, and fails where it is not."""
    tool: Tool = FileSearch(None, None, lambda: T0)  # type: ignore[arg-type]
    assert tool.repeats
    item = tool.lost({"type": tool.kind, "status": "searching", "queries": ["q"]})
    assert item["status"] == "failed"
    assert "interrupted" in (tool.told(item) or ("", "", ""))[2]


def test_one_function_is_offered():
    """The model is offered one function with a schema, and told how to cite."""
    tool: Tool = FileSearch(None, None, lambda: T0)  # type: ignore[arg-type]
    offer = asyncio.run(tool.offer(place_of("p"), []))
    (function,) = offer.functions
    assert function.name == "file_search"
    assert "【" in function.description
    assert function.parameters["required"] == ["queries"]
    assert offer.items == []
