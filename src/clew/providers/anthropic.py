"""Anthropic's Messages API, and servers that speak it.

Two of its rules differ from model to model and are learned from a refusal, once for each model: how
much it may say at most, and whether it thinks by effort or within a budget.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from clew.providers.anthropic_events import AnthropicAnswer
from clew.providers.anthropic_request import Habits, anthropic_request
from clew.providers.provider import Abilities, Delta, ModelRequest, ProviderError
from clew.providers.upstream import Upstream

PATH = "/messages"
VERSION = "2023-06-01"

_TOKENS_MAX = re.compile(r"max_tokens: (\d+) > (\d+)")
_NO_EFFORT = re.compile(r"adaptive|effort")


class Anthropic(Upstream):
    """A Provider over `POST {base_url}/messages`, streamed."""

    name = "anthropic"
    speaks = "Messages"
    lists_at = "/models?limit=1000"  # it pages, and never has so many
    abilities = Abilities(
        settings=frozenset({"reasoning.summary"}),
        formats=frozenset({"text", "json_schema"}),
        temperature_max=1.0,
    )

    def __init__(self, base_url: str, api_key: str | None = None, **options: Any) -> None:
        super().__init__(base_url, api_key, **options)
        self._habits: dict[str, Habits] = {}

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """Yield the answer's deltas, then one Finish. Raises ProviderError."""
        habits = self._habits.get(request.model) or Habits()

        def body() -> dict[str, Any]:
            return anthropic_request(request, habits)

        def learn(error: ProviderError) -> bool:
            learned = _learn(habits, request, error)
            if learned:
                self._habits[request.model] = habits
            return learned

        said = self._ask(PATH, body, AnthropicAnswer, request.model, learn)
        async with aclosing(said) as batches:
            async for batch in batches:
                for delta in batch:
                    yield delta

    def _headers(self) -> dict[str, str]:
        return super()._headers() | {"anthropic-version": VERSION}

    def _key_header(self) -> dict[str, str]:
        return {"x-api-key": self._api_key}


def _learn(habits: Habits, request: ModelRequest, error: ProviderError) -> bool:
    """What a refusal tells of the model; whether it is news."""
    limit = _TOKENS_MAX.search(error.message)
    if limit and request.tokens_max is None and int(limit[2]) < habits.tokens_max:
        habits.tokens_max = int(limit[2])
        return True
    if habits.adapts and request.reasoning_effort and _NO_EFFORT.search(error.message):
        habits.adapts = False
        return True
    return False
