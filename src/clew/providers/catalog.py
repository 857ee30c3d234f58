"""Which provider answers for a model."""

from __future__ import annotations

from pathlib import Path

from clew.providers.openai_compatible import OpenAICompatible
from clew.providers.provider import Provider
from clew.providers.scripted import Scripted

SCRIPTED = "scripted"
"""The model that is always the built-in one."""


class Catalog:
    """The scripted model for its own name, and for models the script has rules for; the upstream,
    if there is one, for every other model."""

    def __init__(
        self,
        upstream: str | None = None,
        upstream_key: str | None = None,
        script: str | Path | None = None,
    ) -> None:
        self._scripted = Scripted.from_file(script) if script else Scripted()
        self._upstream = OpenAICompatible(upstream, upstream_key) if upstream else None

    def __call__(self, model: str) -> Provider:
        if self._upstream is None or model == SCRIPTED or model in self._scripted.models:
            return self._scripted
        return self._upstream

    async def close(self) -> None:
        await self._scripted.close()
        if self._upstream is not None:
            await self._upstream.close()
