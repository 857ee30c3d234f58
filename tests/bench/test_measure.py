"""The arithmetic of the benchmark: medians, ratios of neighbours, targets."""

from __future__ import annotations

import asyncio

import pytest
from bench.measure import (
    Row,
    Target,
    alternate,
    at_least,
    at_most,
    interleave,
    missed,
    pairwise_ratio,
)


def test_a_ratio_is_the_median_of_the_ratios_of_neighbours():
    """A slow minute that hit both sides of a pair does not move the ratio."""
    assert pairwise_ratio([50, 5, 50], [100, 10, 100]) == 0.5


def test_a_single_figure_stands_beside_every_run():
    """A figure of an earlier day is compared with each run of ours."""
    assert pairwise_ratio([100, 200, 300], [100]) == 2


def test_runs_without_neighbours_are_no_pairs():
    """As many runs of theirs as of ours, or one figure; anything else is a mistake."""
    with pytest.raises(ValueError, match="zip"):
        pairwise_ratio([1, 2, 3], [1, 2])


def test_the_sides_take_turns():
    """Runs are interleaved, and each side gets its own back in order."""
    order: list[str] = []

    def side(name: str) -> str:
        order.append(name)
        return f"{name}{len(order)}"

    assert interleave(2, lambda: side("a"), lambda: side("b")) == [["a1", "a3"], ["b2", "b4"]]
    assert order == ["a", "b", "a", "b"]


def test_single_acts_take_turns():
    """Acts on either side alternate, and each is timed."""
    order: list[str] = []

    async def act(name: str) -> None:
        order.append(name)

    taken = asyncio.run(alternate(3, lambda: act("a"), lambda: act("b")))
    assert order == ["a", "b"] * 3
    assert [len(side) for side in taken] == [3, 3]
    assert all(ms >= 0 for side in taken for ms in side)


@pytest.mark.parametrize(
    ("target", "below", "on", "above"),
    [(at_least(0.45), False, True, True), (at_most(1.3), True, True, False)],
)
def test_a_target_includes_its_bound(target: Target, below: bool, on: bool, above: bool):
    """`at least` and `at most` hold on the bound itself."""
    values = (target.value - 0.01, target.value, target.value + 0.01)
    assert [target.holds(value) for value in values] == [below, on, above]


def test_a_row_is_judged_by_its_ratio():
    """The bound of a ratio is put to the ratio, whatever the figures."""
    assert Row("append", "requests/s", [40], "bare", [100], at_least(0.45)).holds is False
    assert Row("append", "requests/s", [46], "bare", [100], at_least(0.45)).holds is True


def test_a_row_may_be_judged_by_its_own_figure():
    """The bound of a figure is put to the median of our runs; the ratio is for reading."""
    row = Row("start", "s", [0.9, 0.2, 0.3], "OGX", [4.8], at_most(0.8, of="figure"))
    assert (row.figure, row.holds) == (0.3, True)
    assert row.ratio == pytest.approx(0.0625)


def test_a_row_without_a_target_is_not_judged():
    """It neither holds nor misses, with or without something to compare with."""
    rows = [Row("in process", "appends/s", [5], "pgbench", [9]), Row("alone", "ms", [1])]
    assert [row.holds for row in rows] == [None, None]
    assert (rows[1].limit, rows[1].ratio) == (None, None)


def test_a_ratio_that_was_not_measured_is_missed():
    """A target of a ratio does not hold where there was nothing to compare with."""
    unmeasured = Row("append", "requests/s", [40], target=at_least(0.45))
    assert missed([unmeasured]) == [unmeasured]
