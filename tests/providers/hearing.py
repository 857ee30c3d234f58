"""Asking a provider once, over real HTTP, and noting what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from clew.core.items import Item, message
from clew.providers.catalog import KINDS
from clew.providers.provider import Delta, ModelRequest, ProviderError, TextDelta
from clew.testing.upstream import Reply, Upstream

KEY = "sk-very-secret"
WINDOW = [message("msg_1", "user", "Hi", 0)]


class Heard(msgspec.Struct):
    """The deltas, how it failed, how long it paused, and what the server was asked."""

    deltas: list[Delta]
    error: ProviderError | None
    waits: list[float]
    upstream: Upstream

    @property
    def text(self) -> str:
        said = (delta for delta in self.deltas if isinstance(delta, TextDelta))
        return "".join(delta.text for delta in said if delta.kind == "output_text")

    @property
    def body(self) -> dict[str, Any]:
        """What the last request said."""
        return self.upstream.requests[-1].body


def hear(
    kind: str,
    *replies: Reply,
    items: Sequence[Item] = WINDOW,
    times: int = 1,
    said: dict[str, Any] | None = None,
    **settings: Any,
) -> Heard:
    """Calls of a provider of that kind to a server with these replies; the last one counts."""
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    async def run() -> Heard:
        async with Upstream(*replies) as upstream:
            options = {"sleep": note, "random": lambda: 0.0} | settings
            provider = KINDS[kind](upstream.base_url, KEY, **options)
            for _ in range(times):
                request = ModelRequest("m", items, **(said or {}))
                deltas, error = await ask(provider, request)
            await provider.close()
            return Heard(deltas, error, waits, upstream)

    return asyncio.run(run())


async def ask(provider: Any, request: ModelRequest) -> tuple[list[Delta], ProviderError | None]:
    deltas: list[Delta] = []
    try:
        async for delta in provider.stream(request):
            deltas.append(delta)
    except ProviderError as error:
        return deltas, error
    return deltas, None
