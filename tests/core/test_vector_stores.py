"""Vector stores: filters, words, scores, expiry."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.vector_stores import (
    DAY_MS,
    QUERY_WORDS_MAX,
    Chunk,
    Comparison,
    Compound,
    Counts,
    Found,
    VectorStore,
    best,
    fold,
    matches,
    query_words,
    score,
    unlapped,
    weights,
    words_of,
)

THERE = {"n": 5, "f": 1.5, "s": "b", "yes": True, "zero": 0}


@pytest.mark.parametrize(
    ("op", "key", "value", "met"),
    [
        ("eq", "n", 5, True),
        ("eq", "n", 5.0, True),
        ("eq", "n", "5", False),
        ("eq", "yes", True, True),
        ("eq", "yes", 1, False),
        ("eq", "zero", False, False),
        ("eq", "missing", 0, False),
        ("ne", "n", 6, True),
        ("ne", "n", 5, False),
        ("ne", "missing", 5, True),
        ("gt", "n", 4, True),
        ("gt", "n", 5, False),
        ("gte", "n", 5, True),
        ("lt", "f", 2, True),
        ("lte", "f", 1.5, True),
        ("gt", "s", "a", True),
        ("gt", "s", 1, False),
        ("lt", "n", "9", False),
        ("gt", "yes", False, False),
        ("lt", "missing", 5, False),
        ("in", "s", ["a", "b"], True),
        ("in", "s", [], False),
        ("nin", "s", ["a", "c"], True),
        ("nin", "s", ["b"], False),
        ("nin", "missing", ["b"], True),
    ],
)
def test_a_comparison_holds_or_not(op: str, key: str, value: Any, met: bool):
    """Each operator compares like with like; what is missing equals nothing."""
    assert matches(Comparison(op, key, value), THERE) is met


def test_compounds_hold_together():
    """`and` wants all, `or` any, at any depth."""
    yes, no = Comparison("eq", "n", 5), Comparison("eq", "n", 6)
    assert matches(None, {})
    assert matches(Compound("and", [yes, Compound("or", [no, yes])]), THERE)
    assert not matches(Compound("and", [yes, no]), THERE)
    assert not matches(Compound("or", [no, no]), THERE)


def test_query_words_are_the_telling_ones():
    """Words are taken once, without the commonest, unless a query has no others."""
    assert query_words('What is the "Crow\'s" CROW-song?') == ["crow", "s", "song"]
    assert query_words("to be or not to be") == ["to", "be", "or", "not"]
    assert query_words(" *!? 🧶 ") == []
    assert len(query_words(" ".join(f"w{n}" for n in range(100)))) == QUERY_WORDS_MAX


@given(st.text())
def test_words_have_letters_and_digits_only(text: str):
    """No sign that a query language knows is in a word."""
    assert all(word.isalnum() for word in words_of(text))


def test_folding_takes_case_and_accents():
    """Folded, words that differ in case and accents alone are the same; other scripts stay."""
    assert fold("ÉLÈVE naïve") == "eleve naive"
    assert fold("한국어") == "한국어"


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=1))
def test_scores_are_between_0_and_1(words: list[tuple[int, int]]):
    """Whatever occurs how often, a score is a part of one; more of a word never lowers it."""
    frequencies, found = [one for one, _ in words], weights(two for _, two in words)
    value = score(frequencies, found)
    assert 0 <= value <= 1
    assert score([frequencies[0] + 1, *frequencies[1:]], found) >= value


def test_the_best_are_each_there_once():
    """Of two finds of a chunk the better counts; ties are in the order of files and chunks."""

    def found(file: str, number: int, score: float) -> Found:
        return Found(file, "f", {}, number, "t", score)

    all_found = [found("b", 0, 0.5), found("a", 1, 0.5), found("a", 0, 0.1), found("a", 0, 0.9)]
    shown = [(each.file, each.number, each.score) for each in best(all_found, 9)]
    assert shown == [("a", 0, 0.9), ("a", 1, 0.5), ("b", 0, 0.5)]
    assert len(best(all_found, 2)) == 2


def test_unlapped_chunks_are_the_text():
    """What chunks share is said once, from wherever one begins to read."""
    chunks = [Chunk(0, 0, 4, "abcd"), Chunk(1, 2, 6, "cdef"), Chunk(2, 6, 7, "g")]
    assert unlapped(chunks) == ["abcd", "ef", "g"]
    assert unlapped(chunks[1:], 4) == ["ef", "g"]


def test_a_store_expires_after_its_last_use():
    """Without days a store never expires; with them, to the millisecond; what is swept stays so."""
    store = VectorStore("k", 0, 1_000, expires_days=2)
    end = 1_000 + 2 * DAY_MS
    assert (store.status(end - 1), store.status(end)) == ("completed", "expired")
    assert VectorStore("k", 0, 0).status(10**15) == "completed"
    assert VectorStore("k", 0, 0, expired=True).status(0) == "expired"
    assert VectorStore("k", 0, 0, counts=Counts(in_progress=1)).status(0) == "in_progress"
