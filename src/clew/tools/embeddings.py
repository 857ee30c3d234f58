"""Embeddings from any server that answers `POST {url}/embeddings` as OpenAI's does.

What passes (no connection, silence, 408, 409, 429, 500 and above) is tried again, a few times and
with growing pauses; the rest is not. The key goes into one header and is cut out of every message.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import httpx2
import msgspec

from clew.core.embeddings import DIMENSIONS_MAX, Embedded, unit
from clew.core.errors import BadRequest

TEXTS_TOGETHER = 64
"""Texts of one request. OpenAI takes 2,048, others as many as fit into a graphics card."""

BATCH_BYTES = 200_000
"""Bytes of one request's texts: some 50,000 tokens, of OpenAI's 300,000."""

QUERY_CHARACTERS = 8_000
"""Of a longer query its beginning is embedded: models take 8,192 tokens at most, some 512."""

ATTEMPTS = 3
CONNECT_TIMEOUT_S, TIMEOUT_S = 5.0, 60.0
BACKOFF_S, BACKOFF_S_MAX = 0.5, 8.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
SAID_MAX = 500
RETRIED = frozenset({408, 409, 429})

Sleep = Callable[[float], Awaitable[object]]


class EmbeddingError(Exception):
    """There are no embeddings. `passes` says whether they may come if asked for again later."""

    def __init__(self, message: str, *, passes: bool, pause_s: float | None = None) -> None:
        super().__init__(message)
        self.message, self.passes, self.pause_s = message, passes, pause_s


def embedder_of(
    url: str | None, model: str | None, key: str | None = None, dimensions: int | None = None
) -> Embedder | None:
    """The embedder that settings ask for; None where they ask for none. BadRequest by name."""
    if url is None and model is None:
        return None
    if url is None or model is None:
        missing = "embeddings_url" if url is None else "embeddings_model"
        raise BadRequest(f"Embeddings need both a URL and a model: {missing} is missing.", missing)
    return Embedder(url, model, key, dimensions)


class _One(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_One]


class Embedder:
    """Texts into vectors by one model. `dimensions` are asked for where they are given; else the
    first answer says how many there are, and all others must have as many.

    A `client` that is given stays its owner's to close.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None = None,
        dimensions: int | None = None,
        *,
        client: httpx2.AsyncClient | None = None,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.model = model
        self._url, self._key = _checked(url, model, key), key or ""
        self._asked, self._dimensions = dimensions, dimensions
        self._owns_client = client is None
        self._client = client or httpx2.AsyncClient()
        self._timeout = httpx2.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        self._sleep, self._chance = sleep, chance

    async def close(self) -> None:
        if self._owns_client:
            await self._client.aclose()

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """The vectors of texts. Raises EmbeddingError."""
        vectors: list[list[float]] = []
        for batch in _batches(texts):
            vectors += await self._embed(batch)
        return Embedded(self.model, vectors)

    async def embed_queries(self, queries: Sequence[str]) -> list[list[float]]:
        """The vectors of what is looked for. Raises EmbeddingError."""
        return (await self.embed([query[:QUERY_CHARACTERS] for query in queries])).vectors

    async def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await asyncio.to_thread(self._read, await self._ask(texts), len(texts))
            except EmbeddingError as error:
                if not error.passes or attempt == ATTEMPTS:
                    raise
                pause_s = error.pause_s
            if pause_s is None:
                pause_s = BACKOFF_S * 2 ** (attempt - 1) * (0.5 + self._chance() / 2)
            await self._sleep(min(pause_s, BACKOFF_S_MAX))
        raise AssertionError("the last attempt returns or raises")

    async def _ask(self, texts: Sequence[str]) -> bytes:
        """The body of an answer that was a success."""
        asked: dict[str, Any] = {
            "model": self.model,
            "input": [text or " " for text in texts],
            "encoding_format": "float",
        }
        if self._asked is not None:
            asked["dimensions"] = self._asked
        headers = {"content-type": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        try:
            async with self._client.stream(
                "POST",
                self._url,
                content=msgspec.json.encode(asked),
                headers=headers,
                timeout=self._timeout,
            ) as response:
                body = await _body(response)
        except httpx2.RequestError as error:
            kind = type(error).__name__
            message = f"The embeddings server could not be reached ({kind})."
            raise EmbeddingError(message, passes=True) from error
        if not response.is_success:
            raise self._refused(response, body)
        return body

    def _refused(self, response: httpx2.Response, body: bytes) -> EmbeddingError:
        status = response.status_code
        said = body.decode(errors="replace")[:SAID_MAX]
        if self._key:
            said = said.replace(self._key, "[API key]")
        message = f"The embeddings server answered {status}: {said}"
        passes = status in RETRIED or status >= 500
        return EmbeddingError(message, passes=passes, pause_s=_asked_pause(response))

    def _read(self, body: bytes, count: int) -> list[list[float]]:
        """The vectors in the order of the texts, whatever the order of the answer."""
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _broken(f"what is no list of embeddings ({error})") from None
        found = {one.index: one.embedding for one in answer.data}
        if len(answer.data) != count or found.keys() != set(range(count)):
            raise _broken(f"{len(answer.data)} embeddings for {count} texts, or not one for each")
        vectors = [found[index] for index in range(count)]
        self._check_dimensions({len(vector) for vector in vectors})
        try:
            return [unit(vector) for vector in vectors]
        except ValueError as error:
            raise _broken(str(error)) from None

    def _check_dimensions(self, found: set[int]) -> None:
        expected = {self._dimensions or min(found)}
        if found != expected or not 0 < min(found) <= DIMENSIONS_MAX:
            raise _broken(f"vectors of {sorted(found)} dimensions, not of {sorted(expected)}")
        self._dimensions = min(found)


def _broken(what: str) -> EmbeddingError:
    return EmbeddingError(f"The embeddings server gave {what}.", passes=False)


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many texts together as one request may have."""
    first, size = 0, 0
    for place, text in enumerate(texts):
        bytes = len(text.encode())
        if place > first and (place - first == TEXTS_TOGETHER or size + bytes > BATCH_BYTES):
            yield texts[first:place]
            first, size = place, 0
        size += bytes
    if first < len(texts):
        yield texts[first:]


async def _body(response: httpx2.Response) -> bytes:
    pieces, size = [], 0
    async for piece in response.aiter_bytes():
        pieces.append(piece)
        size += len(piece)
        if size > ANSWER_BYTES_MAX:
            raise _broken(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    return b"".join(pieces)


def _asked_pause(response: httpx2.Response) -> float | None:
    """Seconds that the server asks to be left alone, where it says so in seconds."""
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _checked(url: str, model: str, key: str | None) -> str:
    if not url.startswith(("http://", "https://")):
        raise BadRequest("A base URL begins with http:// or https://.", "embeddings_url")
    try:
        httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise BadRequest(f"The base URL is not a URL: {error}.", "embeddings_url") from error
    if not model:
        raise BadRequest("Embeddings need the name of a model.", "embeddings_model")
    if key and not (key.isascii() and key.isprintable()):
        raise BadRequest("The embeddings key has characters no key has.", "embeddings_key")
    return url.rstrip("/") + "/embeddings"
