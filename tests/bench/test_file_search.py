"""A small library with questions: both ways together find at least what the better one finds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from bench.corpus import corpus, prose
from bench.pieces.file_search import WAYS, ask, filled


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/clew.db"
    create: Callable[[], str] = request.getfixturevalue("new_postgres_database")
    return create()


def test_both_ways_find_more_than_one(url: str):
    """Words find the codes, meaning the paraphrases, and both together most of both."""
    library = corpus(passages=400, per_file=50, questions=40)

    async def run() -> dict[str, tuple[float, float]]:
        async with filled(url, library) as (searcher, key):
            kinds = {
                kind: [each for each in library.questions if each.kind == kind]
                for kind in ("code", "paraphrase")
            }
            return {
                way: tuple(
                    [(await ask(searcher, key, asked, ranking))[0] for asked in kinds.values()]
                )
                for way, ranking in WAYS.items()
            }

    recall = asyncio.run(run())
    assert recall["words alone"][0] == recall["both"][0] == 1
    assert recall["words alone"][1] < 0.5 < recall["both"][1]
    assert recall["meaning alone"][0] < 0.5 < recall["meaning alone"][1]
    assert sum(recall["both"]) >= max(map(sum, recall.values())) - 1e-9


def test_a_library_is_the_same_each_time():
    """The same numbers make the same library; each answer stands in one passage."""
    library = corpus(200, 50, 20)
    assert library == corpus(200, 50, 20)
    passages = [text for file in library.files for text in file]
    assert len(passages) == 200
    assert all(sum(q.answer in text for text in passages) == 1 for q in library.questions)
    assert {each.kind for each in library.questions} == {"code", "paraphrase"}
    words = [word for pair in library.synonyms for word in pair]
    assert len(words) == len(set(words))


def test_prose_is_as_long_as_asked():
    """Text of Python's documentation, of the length that is asked for."""
    assert 10_000 <= len(prose(10_000).encode()) < 11_000
    assert prose(1_000, seed=1) != prose(1_000, seed=2)
