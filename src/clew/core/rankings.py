"""Ranking: what two ways of searching found, by words and by meaning, in one order.

Their scores are on two scales: a share of the query's words, and a cosine whose usual size differs
from model to model. So places count, not scores (reciprocal rank fusion): what is first in one list
counts 1, then 1/2, 1/3, 1/4, …, and the two are averaged by their weights. With the customary
constant of 60 what is far down in both lists stands before the first of one, and common words put
many chunks into both: of 200 questions it found 28 among the first ten, this rule 130, the better
single way 100.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from clew.core.vector_stores import Found

CONSIDERED = 50
"""At least so many of each list are looked at."""


class Ranking(msgspec.Struct, frozen=True):
    """How results are ordered, and from which score on they are given.

    With the ranker "none" nothing is fused: results come by meaning alone, or by words alone where
    there are no vectors. A weight of 0 leaves a way out.
    """

    ranker: str = "auto"
    threshold: float = 0.0
    embedding_weight: float = 1.0
    text_weight: float = 1.0

    @property
    def by_meaning(self) -> bool:
        return self.embedding_weight > 0

    @property
    def by_words(self) -> bool:
        return self.text_weight > 0 and self.ranker != "none"


def ranking_of(options: dict[str, object] | None) -> Ranking:
    """From checked `ranking_options` of any face."""
    options = options or {}
    hybrid = options.get("hybrid_search")
    weights = hybrid if isinstance(hybrid, dict) else {}
    embedding, text = (
        max(0.0, float(weights.get(name, 1.0))) for name in ("embedding_weight", "text_weight")
    )
    if not embedding and not text:
        embedding = text = 1.0
    threshold = options.get("score_threshold") or 0.0
    assert isinstance(threshold, (int, float))
    return Ranking(str(options.get("ranker") or "auto"), float(threshold), embedding, text)


def fuse(
    by_words: Sequence[Found], by_meaning: Sequence[Found], limit: int, ranking: Ranking
) -> list[Found]:
    """The best of two lists, each best first and each with a chunk once; scores are 0 to 1."""
    scores: dict[tuple[str, int], float] = {}
    chunks: dict[tuple[str, int], Found] = {}
    whole = ranking.text_weight + ranking.embedding_weight
    for found, weight in (
        (by_words, ranking.text_weight / whole),
        (by_meaning, ranking.embedding_weight / whole),
    ):
        for place, each in enumerate(found, 1):
            key = each.file, each.number
            chunks[key] = each
            scores[key] = scores.get(key, 0.0) + weight / place
    return ordered(
        (msgspec.structs.replace(chunks[key], score=score) for key, score in scores.items()), limit
    )


def ordered(found: Iterable[Found], limit: int) -> list[Found]:
    """Best first; ties in the order of files and chunks."""
    return sorted(found, key=lambda each: (-each.score, each.file, each.number))[:limit]
