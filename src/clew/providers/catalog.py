"""Which provider answers for a model."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from clew.core.errors import BadRequest
from clew.core.limits import Price
from clew.providers.anthropic import Anthropic
from clew.providers.nobody import Nobody
from clew.providers.openai_compatible import OpenAICompatible
from clew.providers.openai_responses import OpenAIResponses
from clew.providers.provider import ModelEntry, Provider, ProviderError
from clew.providers.scripted import Scripted
from clew.providers.upstream import Upstream

SCRIPTED = "scripted"
"""The model that is always the built-in one."""

LIST_TIMEOUT_S = 3.0
"""How long an upstream may take to list its models before the list goes out without them."""

Kind = Literal["openai-compatible", "openai-responses", "anthropic"]
KINDS: Mapping[str, type[OpenAICompatible | OpenAIResponses | Anthropic]] = {
    kind.name: kind for kind in (OpenAICompatible, OpenAIResponses, Anthropic)
}

log = logging.getLogger("clew.providers")


class UpstreamSettings(msgspec.Struct, forbid_unknown_fields=True):
    """A model server: where it is, how it is spoken to, and for which models.

    `models` are names or patterns (`claude-*`); the names are listed even when the server lists
    none. `key_env` names the environment variable that holds the key. `price` is what tokens cost.
    """

    url: Annotated[str, msgspec.Meta(pattern="^https?://[^/]")]
    kind: Kind = "openai-compatible"
    key: str | None = None
    key_env: str | None = None
    models: tuple[str, ...] = ("*",)
    price: Price | None = None

    @property
    def secret(self) -> str | None:
        """The key. BadRequest when it is to be in a variable that is not set."""
        if self.key_env is None:
            return self.key
        if not os.environ.get(self.key_env):
            message = f"The key of {self.url} is to be in {self.key_env}, which is not set."
            raise BadRequest(message, "key_env")
        return os.environ[self.key_env]

    def answers_for(self, model: str) -> bool:
        return any(fnmatchcase(model, pattern) for pattern in self.models)

    @property
    def named(self) -> list[str]:
        """The models it names, patterns left out."""
        return [name for name in self.models if not set(name) & set("*?[")]


class Catalog:
    """The scripted model for its own name, and for models the script has rules for; for every
    other, the first upstream that answers for it. Without any upstream, scripted answers for all.

    `upstream`, with its `key` and `kind`, is a server for all models that `upstreams` leave.
    """

    def __init__(
        self,
        upstream: str | None = None,
        upstream_key: str | None = None,
        script: str | Path | None = None,
        *,
        upstream_kind: str = "openai-compatible",
        upstreams: Sequence[UpstreamSettings | Mapping[str, Any]] = (),
    ) -> None:
        self._scripted = Scripted.from_file(script) if script else Scripted()
        settings = [_settings(one) for one in upstreams]
        if upstream is not None:
            last = {"url": upstream, "key": upstream_key, "kind": upstream_kind}
            settings.append(_settings(last))
        self._upstreams = [(one, KINDS[one.kind](one.url, one.secret)) for one in settings]

    def __call__(self, model: str) -> Provider:
        if not self._upstreams or model == SCRIPTED or model in self._scripted.models:
            return self._scripted
        found = (server for one, server in self._upstreams if one.answers_for(model))
        return next(found, Nobody())

    def price_of(self, model: str) -> Price | None:
        """What the model's tokens cost, where somebody has said so."""
        prices = (one.price for one, _ in self._upstreams if one.answers_for(model))
        return None if self(model) is self._scripted else next(prices, None)

    async def models(self) -> list[ModelEntry]:
        """The models that can be asked, as far as they can be known; a server that is down has
        only those it is configured for."""
        lists = await asyncio.gather(*(_listed(one, server) for one, server in self._upstreams))
        ours = [SCRIPTED, *sorted(self._scripted.models - {SCRIPTED})]
        entries = [ModelEntry(name, "clew", 0) for name in ours]
        entries += (entry for (one, server), found in zip(self._upstreams, lists, strict=True)
                    for entry in found if self(entry.id) is server)  # fmt: skip
        return list({entry.id: entry for entry in reversed(entries)}.values())[::-1]

    async def close(self) -> None:
        await self._scripted.close()
        for _, server in self._upstreams:
            await server.close()


async def _listed(settings: UpstreamSettings, server: Upstream) -> list[ModelEntry]:
    try:
        async with asyncio.timeout(LIST_TIMEOUT_S):
            found = await server.models(LIST_TIMEOUT_S)
    except (ProviderError, TimeoutError) as error:
        log.warning("%s lists no models: %s", settings.url, error or "it took too long")
        found = []
    known = {entry.id for entry in found}
    return found + _entries(name for name in settings.named if name not in known)


def _entries(names: Iterable[str]) -> list[ModelEntry]:
    return [ModelEntry(name, "upstream", 0) for name in names]


def _settings(said: UpstreamSettings | Mapping[str, Any]) -> UpstreamSettings:
    try:
        return msgspec.convert(said, UpstreamSettings)
    except msgspec.ValidationError as error:
        raise BadRequest(f"A wrong upstream: {error}", "upstreams") from None
