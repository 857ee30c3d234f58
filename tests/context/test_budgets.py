"""Budgets: what is left of a run's tokens."""

from __future__ import annotations

from typing import Any

import pytest

from clew.context.budgets import Budget, budget_of

LIMITS = {"max_prompt_tokens": 500, "max_output_tokens": 1_000}


@pytest.mark.parametrize(
    ("settings", "used", "expected", "spent"),
    [
        ({}, None, Budget(), None),
        ({}, (9, 9), Budget(), None),
        (LIMITS, None, Budget(500, 1_000), None),
        (LIMITS, (200, 300), Budget(300, 700), None),
        (LIMITS, (500, 300), Budget(0, 700), "max_prompt_tokens"),
        (LIMITS, (501, 300), Budget(-1, 700), "max_prompt_tokens"),
        (LIMITS, (1, 1_000), Budget(499, 0), "length"),
        (LIMITS, (500, 1_000), Budget(0, 0), "length"),
        ({"max_output_tokens": 16}, (500, 1), Budget(None, 15), None),
    ],
)
def test_what_is_left(
    settings: dict[str, Any], used: tuple[int, int] | None, expected: Budget, spent: str | None
) -> None:
    """What was used goes off what was set; nothing set is no limit."""
    usage = used and {"input_tokens": used[0], "output_tokens": used[1]}
    left = budget_of(settings, usage)
    assert (left, left.spent) == (expected, spent)
