"""A server that speaks Responses itself: what it says goes through whole.

Nothing is kept there (`store: false`): the thread here is the only history, and reasoning goes back
to the model sealed, as it came.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from clew.providers.provider import Abilities, Delta, Finish, ModelRequest, ProviderError
from clew.providers.responses_events import ResponsesAnswer, read_compaction
from clew.providers.responses_request import (
    INCLUDES,
    PASSED_ON,
    SEALED_REASONING,
    compact_request,
    responses_request,
)
from clew.providers.upstream import Upstream

PATH = "/responses"

TOOLS = frozenset(
    """function custom file_search code_interpreter mcp web_search web_search_2025_08_26
    web_search_preview web_search_preview_2025_03_11 computer computer_use_preview image_generation
    local_shell shell apply_patch tool_search namespace programmatic_tool_calling""".split()
)


class OpenAIResponses(Upstream):
    """A Provider, and one that Compacts, over `POST {base_url}/responses`."""

    name = "openai-responses"
    speaks = "Responses"
    abilities = Abilities(
        tools=TOOLS,
        settings=PASSED_ON | {"verbosity", "reasoning"},
        include=INCLUDES,
        compacts=True,
        files=True,
    )

    def __init__(self, base_url: str, api_key: str | None = None, **options: Any) -> None:
        super().__init__(base_url, api_key, **options)
        self._unsealed: set[str] = set()
        """Models that seal no reasoning, and refuse to be asked for it."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """Yield the answer's deltas, then one Finish. Raises ProviderError."""

        def body() -> dict[str, Any]:
            return responses_request(request, sealed=request.model not in self._unsealed)

        def learn(error: ProviderError) -> bool:
            return self._learn_unsealed(request.model, error)

        said = self._ask(PATH, body, ResponsesAnswer, request.model, learn)
        async with aclosing(said) as batches:
            async for batch in batches:
                for delta in batch:
                    yield delta

    async def compact(self, request: ModelRequest) -> tuple[list[dict[str, Any]], Finish]:
        """See Compacts."""
        body = compact_request(request)
        return read_compaction(await self._fetch(f"{PATH}/compact", body, request.model))

    def _learn_unsealed(self, model: str, error: ProviderError) -> bool:
        """Models that do not reason refuse to have their reasoning sealed."""
        asked = SEALED_REASONING in error.message or "ncrypted content is not" in error.message
        if model in self._unsealed or not asked:
            return False
        self._unsealed.add(model)
        return True
