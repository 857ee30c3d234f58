"""Any server that speaks chat completions: OpenAI, vLLM, Ollama, llama.cpp, gateways."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from clew.providers.chat_chunks import ChatAnswer
from clew.providers.chat_relay import ChatRelay
from clew.providers.chat_request import asks_for_scores, chat_request
from clew.providers.provider import Abilities, Delta, ModelRequest, ProviderError
from clew.providers.upstream import Upstream

PATH = "/chat/completions"


class OpenAICompatible(Upstream):
    """A Provider, and a Relay, over `POST {base_url}/chat/completions`."""

    name = "openai-compatible"
    speaks = "chat completions"
    abilities = Abilities(
        tools=frozenset({"function", "custom"}),
        settings=frozenset({"verbosity", "top_logprobs"}),
        include=frozenset({"message.output_text.logprobs"}),
    )

    def __init__(self, base_url: str, api_key: str | None = None, **options: Any) -> None:
        super().__init__(base_url, api_key, **options)
        self._tokens_fields: dict[str, str] = {}

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """Yield the answer's deltas, then one Finish. Raises ProviderError."""

        def body() -> dict[str, Any]:
            return chat_request(request, self._tokens_fields.get(request.model, "max_tokens"))

        def learn(error: ProviderError) -> bool:
            return self._learn_tokens_field(request, error)

        scored = asks_for_scores(request)
        said = self._ask(PATH, body, lambda: ChatAnswer(scored=scored), request.model, learn)
        async with aclosing(said) as batches:
            async for batch in batches:
                for delta in batch:
                    yield delta

    async def relay(self, body: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        """The request goes out as it is; see Relay."""
        said = self._ask(PATH, lambda: body, ChatRelay, str(body.get("model")))
        async with aclosing(said) as batches:
            async for batch in batches:
                for chunk in batch:
                    yield chunk

    def _learn_tokens_field(self, request: ModelRequest, error: ProviderError) -> bool:
        """OpenAI's newer models refuse `max_tokens` and name its successor, while Ollama silently
        ignores the successor; so the old name goes first and a refusal teaches the new one."""
        known = request.model in self._tokens_fields
        if known or request.tokens_max is None or "max_completion_tokens" not in error.message:
            return False
        self._tokens_fields[request.model] = "max_completion_tokens"
        return True
