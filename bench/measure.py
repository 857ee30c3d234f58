"""What is measured: rows of figures beside those of a limit or a peer, and how they are judged.

Runs are interleaved (A B A B …) and a ratio is the median of the ratios of neighbours, so that what
else the machine does at the time weighs on both sides alike.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from statistics import median
from typing import Literal, TypeVar

import msgspec

T = TypeVar("T")


class Target(msgspec.Struct, frozen=True):
    """What a row must reach: a bound of its ratio, or of its own figure."""

    bound: Literal["at least", "at most"]
    value: float
    of: Literal["ratio", "figure"] = "ratio"

    def holds(self, value: float) -> bool:
        return value >= self.value if self.bound == "at least" else value <= self.value


class Row(msgspec.Struct, frozen=True):
    """One line of the table: our runs in `unit`, beside those of what it is compared with.

    `theirs[i]` is what was measured next to `ours[i]`; it is empty where there is nothing to
    compare with, or one figure of an earlier day.
    """

    what: str
    unit: str
    ours: list[float]
    compared_with: str = ""
    theirs: list[float] = []
    target: Target | None = None

    @property
    def figure(self) -> float:
        return median(self.ours)

    @property
    def limit(self) -> float | None:
        return median(self.theirs) if self.theirs else None

    @property
    def ratio(self) -> float | None:
        return pairwise_ratio(self.ours, self.theirs) if self.theirs else None

    @property
    def holds(self) -> bool | None:
        """Whether the target is reached; None when there is none."""
        if self.target is None:
            return None
        value = self.ratio if self.target.of == "ratio" else self.figure
        return value is not None and self.target.holds(value)


def pairwise_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of ours / theirs, run by run; a single figure of theirs stands beside each."""
    beside = theirs * len(ours) if len(theirs) == 1 else theirs
    return median(a / b for a, b in zip(ours, beside, strict=True))


def interleave(pairs: int, *sides: Callable[[], T]) -> list[list[T]]:
    """Run the sides in turn, `pairs` times; returns each side's runs."""
    rounds = [[side() for side in sides] for _ in range(pairs)]
    return [list(runs) for runs in zip(*rounds, strict=True)]


async def alternate(times: int, *sides: Callable[[], Awaitable[object]]) -> list[list[float]]:
    """The same for single acts: how long each took, in milliseconds."""
    taken: list[list[float]] = [[] for _ in sides]
    for _ in range(times):
        for runs, act in zip(taken, sides, strict=True):
            began = time.perf_counter()
            await act()
            runs.append((time.perf_counter() - began) * 1000)
    return taken


def at_least(value: float) -> Target:
    return Target("at least", value)


def at_most(value: float, of: Literal["ratio", "figure"] = "ratio") -> Target:
    return Target("at most", value, of)


def missed(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.holds is False]
