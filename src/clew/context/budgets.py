"""Budgets: how many tokens of a run are left, over all of its model calls. Pure.

With 500 prompt and 1,000 completion tokens set, and 200 and 300 used by the first call, 300 and
700 remain for the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Budget(msgspec.Struct, frozen=True):
    """What is left for prompts and for completions; None is no limit."""

    prompt: int | None = None
    completion: int | None = None

    @property
    def spent(self) -> str | None:
        """Which of the two is used up, as `incomplete_reason` names it."""
        if self.completion is not None and self.completion <= 0:
            return "length"
        return "max_prompt_tokens" if self.prompt is not None and self.prompt <= 0 else None


def budget_of(settings: Mapping[str, Any], usage: Mapping[str, int] | None) -> Budget:
    """What is left of a run's budgets after the `usage` of its calls so far."""
    used = usage or {"input_tokens": 0, "output_tokens": 0}
    return Budget(
        _left(settings.get("max_prompt_tokens"), used["input_tokens"]),
        _left(settings.get("max_output_tokens"), used["output_tokens"]),
    )


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else limit - used
