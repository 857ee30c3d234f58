"""Limits of a run: when its model may not be asked again, and why."""

from __future__ import annotations

from typing import Any

import pytest

from clew.core.limits import STEPS_MAX, Limits, Price

USED = {"input_tokens": 700, "cached_tokens": 200, "output_tokens": 300, "reasoning_tokens": 9}
PRICE = Price(input=2.0, output=10.0)


@pytest.mark.parametrize(("steps", "is_over"), [(0, False), (2, False), (3, True), (4, True)])
def test_so_many_model_calls_and_no_more(steps: int, is_over: bool) -> None:
    """The limit is how many calls may be made, so the next one is refused when they are made."""
    said = Limits(steps=3).exceeded(steps, None)
    assert said == ("The run has reached its limit of 3 model calls." if is_over else None)


def test_a_run_without_limits_has_one_for_its_steps() -> None:
    """A model that calls tools for ever comes to an end; None lets it go on."""
    assert Limits().exceeded(STEPS_MAX - 1, USED) is None
    assert Limits().exceeded(STEPS_MAX, USED) is not None
    assert Limits(steps=None).exceeded(10**9, USED) is None


@pytest.mark.parametrize(("tokens", "is_over"), [(999, True), (1_000, True), (1_001, False)])
def test_tokens_are_those_in_and_out(tokens: int, is_over: bool) -> None:
    """Cached ones and those of reasoning are among them, not beside them."""
    said = Limits(tokens=tokens).exceeded(1, USED)
    assert said == (f"The run has used 1000 tokens; its limit is {tokens}." if is_over else None)


@pytest.mark.parametrize(
    ("price", "cost"),
    [
        (PRICE, 700 * 2e-6 + 300 * 1e-5),
        (Price(2.0, 10.0, 0.5), 500 * 2e-6 + 200 * 5e-7 + 300 * 1e-5),
        (Price(0.0, 0.0), 0.0),
    ],
)
def test_a_price_is_of_a_million_tokens(price: Price, cost: float) -> None:
    """Cached tokens cost what they cost where that is said, else what others do."""
    assert price.of(USED) == pytest.approx(cost)
    assert price.of({"input_tokens": 0, "output_tokens": 0}) == 0


@pytest.mark.parametrize(("cost", "is_over"), [(0.0043, True), (0.0044, True), (0.0045, False)])
def test_what_a_run_costs_is_limited(cost: float, is_over: bool) -> None:
    """It may reach its limit in its last call, and makes none after that."""
    said = Limits(cost=cost).exceeded(1, USED, PRICE)
    assert said == (f"The run has cost 0.0044; its limit is {cost:g}." if is_over else None)


def test_what_is_not_known_exceeds_nothing() -> None:
    """A model that does not count its tokens, or that has no price, is not stopped by these."""
    assert Limits(tokens=1, cost=0.0).exceeded(1, None, PRICE) is None
    assert Limits(cost=0.0).exceeded(1, USED) is None


def test_seconds_are_said_as_they_were_given() -> None:
    """The run's error names them."""
    assert Limits(seconds=1.5).over_time == "The run has reached its limit of 1.5 seconds."
    assert Limits(seconds=90).over_time == "The run has reached its limit of 90 seconds."


@pytest.mark.parametrize(
    ("asked", "limits"),
    [
        (None, Limits(steps=8, tokens=100)),
        ({}, Limits(steps=8, tokens=100)),
        ({"steps": 2, "tokens": 1_000}, Limits(steps=2, tokens=100)),
        ({"seconds": 3, "cost": 0.5}, Limits(steps=8, tokens=100, seconds=3, cost=0.5)),
    ],
)
def test_a_request_narrows_limits_and_never_widens_them(asked: Any, limits: Limits) -> None:
    """The lower of the two holds, and what only one of them says."""
    own = Limits(steps=8, tokens=100)
    assert own.within(asked) == limits
    assert own == Limits(steps=8, tokens=100)
