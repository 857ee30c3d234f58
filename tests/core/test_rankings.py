"""Two lists in one order: places count, weights weigh, scores stay within 0 and 1."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clew.core.rankings import Ranking, fuse, ranking_of
from clew.core.vector_stores import Found


def listed(*names: str) -> list[Found]:
    return [Found(name, f"{name}.txt", {}, 0, name, 0.3) for name in names]


def names(found: list[Found]) -> list[str]:
    return [each.file for each in found]


def test_what_both_ways_find_comes_first():
    """First in both counts 1; first in one stands before what is behind in both."""
    found = fuse(listed("a", "b", "c", "d"), listed("a", "x", "c", "d"), 9, Ranking())
    assert names(found) == ["a", "c", "b", "d", "x"]
    assert [round(each.score, 3) for each in found] == [1, 0.333, 0.25, 0.25, 0.25]
    found = fuse(listed("a", "b", "c", "d"), listed("x", "y", "d", "c"), 2, Ranking())
    assert names(found) == ["a", "x"]


def test_weights_weigh():
    """A way with more weight decides, and one without any only says what else there is."""
    words, near = listed("a", "b"), listed("x", "y")
    heavy = Ranking(embedding_weight=3, text_weight=1)
    assert names(fuse(words, near, 9, heavy)) == ["x", "y", "a", "b"]
    assert fuse(words, near, 9, heavy)[0].score == 0.75
    assert fuse(words, near, 9, Ranking(text_weight=0))[0].score == 1


@given(
    st.lists(st.sampled_from("abcdefgh"), unique=True),
    st.lists(st.sampled_from("abcdefgh"), unique=True),
    st.floats(0, 100),
    st.floats(0.01, 100),
)
def test_scores_fall_with_the_rank(one: list[str], two: list[str], text: float, near: float):
    """Each chunk is there once, scores are 0 to 1 and never rise; being found more helps."""
    ranking = Ranking(embedding_weight=near, text_weight=text)
    found = fuse(listed(*one), listed(*two), 99, ranking)
    scores = [each.score for each in found]
    assert sorted(names(found)) == sorted({*one, *two})
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1.000001 for score in scores)


def test_options_of_every_face_are_understood():
    """Rankers, thresholds and weights, where they are given."""
    assert ranking_of(None) == ranking_of({}) == Ranking()
    assert ranking_of({"ranker": "default_2024_08_21", "score_threshold": 0.5}).threshold == 0.5
    given = {"hybrid_search": {"embedding_weight": 2, "text_weight": 0}}
    ranking = ranking_of(given)
    assert (ranking.by_meaning, ranking.by_words) == (True, False)
    none = ranking_of({"ranker": "none", "hybrid_search": None})
    assert (none.by_meaning, none.by_words) == (True, False)
    nothing = {"hybrid_search": {"embedding_weight": 0, "text_weight": 0}}
    assert ranking_of(nothing) == Ranking()
