"""Limits of a run: how much it may do, and cost, before it is ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

STEPS_MAX = 64
"""Model calls of one turn, where nobody says otherwise: a model that goes on calling tools for ever
is to come to an end."""


class Price(msgspec.Struct, frozen=True):
    """What a million tokens cost, in and out; cached ones too where they cost something else."""

    input: float
    output: float
    cached: float | None = None

    def of(self, usage: Mapping[str, int]) -> float:
        cached = usage.get("cached_tokens", 0) if self.cached is not None else 0
        paid = (usage["input_tokens"] - cached) * self.input + usage["output_tokens"] * self.output
        return (paid + cached * (self.cached or 0)) / 1e6


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """`steps` are model calls, `seconds` from the run's start, `tokens` those of all calls, in and
    out, `cost` in the currency of the prices. None is no limit."""

    steps: int | None = STEPS_MAX
    seconds: float | None = None
    tokens: int | None = None
    cost: float | None = None

    def exceeded(
        self, steps: int, usage: Mapping[str, int] | None, price: Price | None = None
    ) -> str | None:
        """Why the model may not be asked again; None if it may."""
        if self.steps is not None and steps >= self.steps:
            return f"The run has reached its limit of {self.steps} model calls."
        if usage is None:
            return None
        if self.tokens is not None:
            used = usage["input_tokens"] + usage["output_tokens"]
            if used >= self.tokens:
                return f"The run has used {used} tokens; its limit is {self.tokens}."
        if self.cost is not None and price is not None and price.of(usage) >= self.cost:
            return f"The run has cost {price.of(usage):.6g}; its limit is {self.cost:g}."
        return None

    @property
    def over_time(self) -> str:
        return f"The run has reached its limit of {self.seconds:g} seconds."

    def within(self, asked: Mapping[str, Any] | None) -> Limits:
        """These limits, narrowed by what a request asks for; nothing makes them wider."""
        changes = {}
        for name, value in (asked or {}).items():
            own = getattr(self, name)
            changes[name] = value if own is None else min(own, value)
        return msgspec.structs.replace(self, **changes)
