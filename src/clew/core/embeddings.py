"""Embeddings: vectors that stand for what a text means, and what is near what."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from operator import mul

import msgspec

DIMENSIONS_MAX = 16_000
"""What both engines can hold."""

Vector = Sequence[float]


class Embedded(msgspec.Struct):
    """The vectors of texts, in their order, of length 1 and all of as many dimensions.

    Vectors are compared with others of the same model and as many dimensions, and no others.
    """

    model: str
    vectors: list[list[float]]

    @property
    def dimensions(self) -> int:
        return len(self.vectors[0]) if self.vectors else 0


def unit(vector: Iterable[float]) -> list[float]:
    """The vector at length 1. ValueError for one that has no direction."""
    numbers = list(vector)
    length = math.sqrt(sum(map(mul, numbers, numbers)))
    if not 0 < length < math.inf:
        raise ValueError("a vector without a direction")
    return [number / length for number in numbers]
