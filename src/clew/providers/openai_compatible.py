"""Any server that speaks chat completions: OpenAI, vLLM, Ollama, llama.cpp, gateways.

A request is tried again only while nothing was said yet, so no word reaches people twice. The API
key goes into one header and is cut out of every message a server sends back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing

import httpx2
import msgspec

from clew.core.errors import BadRequest
from clew.providers.chat_chunks import ChatAnswer
from clew.providers.chat_request import chat_request
from clew.providers.provider import Abilities, Delta, ModelRequest, ProviderError
from clew.providers.sse import EVENT_BYTES_MAX, EventReader, EventTooLong
from clew.providers.upstream_errors import UpstreamError, broke_off, refused

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 600.0
ERROR_BYTES_MAX = 64 * 1024
MESSAGE_MAX = 1000

_encode = msgspec.json.Encoder().encode


class OpenAICompatible:
    """A Provider over `POST {base_url}/chat/completions`, streamed.

    `timeout_s` is how long the server may stay silent. A `client` that is given stays its owner's
    to close. `sleep` and `random` make the pauses between attempts.
    """

    name = "openai-compatible"
    abilities = Abilities()

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout_s: float = READ_TIMEOUT_S,
        attempts_max: int = 3,
        client: httpx2.AsyncClient | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._url = _checked_url(base_url) + "/chat/completions"
        self._api_key = _checked_key(api_key) or ""
        self._timeout = httpx2.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        self._attempts_max = attempts_max
        self._owns_client = client is None
        # As many streams as there are runs: the executor bounds them, not the pool.
        self._client = client or httpx2.AsyncClient(limits=httpx2.Limits())
        self._sleep, self._random = sleep, random
        self._tokens_fields: dict[str, str] = {}

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """Yield the answer's deltas, then one Finish. Raises ProviderError."""
        attempt, silent = 1, True
        while True:
            try:
                async with aclosing(self._attempt(request, attempt)) as deltas:
                    async for delta in deltas:
                        silent = False
                        yield delta
                return
            except ProviderError as error:
                pause_s = self._pause_s(request, error, attempt) if silent else None
                if pause_s is None:
                    self._sign(error, attempt)
                    raise
            await self._sleep(pause_s)
            attempt += 1

    async def close(self) -> None:
        if self._owns_client:
            await self._client.aclose()

    async def _attempt(self, request: ModelRequest, attempt: int) -> AsyncGenerator[Delta, None]:
        answer = ChatAnswer()
        try:
            async with self._post(request) as response:
                async for data in _data(response, request.model):
                    for delta in answer.feed(data):
                        yield delta
                    if answer.done:
                        break
        except httpx2.RequestError as error:
            if not answer.is_whole:
                raise _lost(error) from error
        for delta in answer.end(attempt):
            yield delta

    def _post(self, request: ModelRequest) -> AbstractAsyncContextManager[httpx2.Response]:
        tokens_field = self._tokens_fields.get(request.model, "max_tokens")
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        if self._api_key:
            headers["authorization"] = f"Bearer {self._api_key}"
        content = _encode(chat_request(request, tokens_field))
        return self._client.stream(
            "POST", self._url, content=content, headers=headers, timeout=self._timeout
        )

    def _pause_s(self, request: ModelRequest, error: ProviderError, attempt: int) -> float | None:
        """Seconds until the next attempt; None when this was the last."""
        learned = self._learn_tokens_field(request, error)
        if attempt >= self._attempts_max or not isinstance(error, UpstreamError):
            return None
        if learned:
            return 0.0
        return error.pause_s(attempt, self._random) if error.passes else None

    def _learn_tokens_field(self, request: ModelRequest, error: ProviderError) -> bool:
        """OpenAI's newer models refuse `max_tokens` and name its successor, while Ollama silently
        ignores the successor; so the old name goes first and a refusal teaches the new one."""
        known = request.model in self._tokens_fields
        if known or request.tokens_max is None or "max_completion_tokens" not in error.message:
            return False
        self._tokens_fields[request.model] = "max_completion_tokens"
        return True

    def _sign(self, error: ProviderError, attempt: int) -> None:
        """Say how often it was tried, without the key, and no longer than people read."""
        said = error.message
        if self._api_key:
            said = said.replace(self._api_key, "[API key]")
        error.message = said[:MESSAGE_MAX]
        error.args, error.attempts = (error.message,), attempt


async def _data(response: httpx2.Response, model: str) -> AsyncIterator[str | bytes]:
    """The chunks of the answer; an answer that is not a stream is one chunk."""
    if not response.is_success:
        body = await _read(response, ERROR_BYTES_MAX)
        raise refused(response.status_code, response.headers, body, model)
    if response.headers.get("content-type", "").startswith("application/json"):
        yield await _read(response, EVENT_BYTES_MAX)
        return
    reader = EventReader()
    try:
        async for piece in response.aiter_bytes():
            for event in reader.feed(piece):
                yield event
    except EventTooLong as error:
        raise ProviderError("server_error", f"The model's stream is broken: {error}.") from error


async def _read(response: httpx2.Response, bytes_max: int) -> bytes:
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) >= bytes_max:
            break
    return body[:bytes_max]


def _lost(error: httpx2.RequestError) -> UpstreamError:
    """The connection failed. A server that was silent too long is not asked to start again."""
    kind = type(error).__name__
    if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout)):
        message = f"The model server could not be reached ({kind})."
        return UpstreamError("server_error", message, passes=True)
    if isinstance(error, httpx2.ReadTimeout):
        return UpstreamError("server_error", "The model server was silent for too long.")
    return broke_off(kind)


def _checked_url(base_url: str) -> str:
    if not base_url.startswith(("http://", "https://")):
        raise BadRequest("A base URL begins with http:// or https://.", "base_url")
    try:
        httpx2.URL(base_url)
    except httpx2.InvalidURL as error:
        raise BadRequest(f"The base URL is not a URL: {error}.", "base_url") from error
    return base_url.rstrip("/")


def _checked_key(api_key: str | None) -> str | None:
    """A key that no header can hold is refused here, where no error message quotes it."""
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        raise BadRequest("The upstream's API key has characters no key has.", "api_key")
    return api_key
