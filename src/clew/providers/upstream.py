"""A model server over HTTP: what all upstreams share, whatever dialect they speak.

A request is tried again only while nothing was said yet, so no word reaches people twice. The API
key goes into one header and is cut out of every message a server sends back.

What came with one read from the network goes on together, as a list: a list costs one turn of the
generators it passes through, where its entries would cost one each.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import Any, ClassVar, Protocol, TypeVar

import httpx2
import msgspec

from clew.core.errors import BadRequest
from clew.providers.provider import ModelEntry, ProviderError
from clew.providers.sse import EventReader, EventTooLong, WholeReader, reader_for
from clew.providers.upstream_errors import UpstreamError, broke_off, refused

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 600.0
LINGER_S = 0.05
"""How long the end of a body is waited for once its answer is whole."""

ANSWER_BYTES_MAX = 128 * 1024 * 1024
"""Of one answer, as it comes in: a server that never ends must not fill the memory. The longest of
models' own, 128,000 tokens with a chunk each, takes some 45 MB."""

ERROR_BYTES_MAX = 64 * 1024
MESSAGE_MAX = 1000

_ENDLESS = f"The model's answer is longer than {ANSWER_BYTES_MAX} bytes."

Sleep = Callable[[float], Awaitable[object]]
Learn = Callable[[ProviderError], bool]
T = TypeVar("T")
Out = TypeVar("Out", covariant=True)

_encode = msgspec.json.Encoder().encode


class Answer(Protocol[Out]):
    """One answer as it grows, in one dialect: feed it the data of events, then ask for its end."""

    done: bool
    """The server said that nothing more will come."""

    @property
    def is_whole(self) -> bool:
        """Whether the model came to its end, so that a connection lost now loses nothing."""
        ...

    def feed(self, data: bytes) -> Sequence[Out]:
        """What one event says. Raises ProviderError for one that is broken or an error."""
        ...

    def end(self, attempts: int) -> Sequence[Out]:
        """What is left to say. Raises ProviderError when the answer was cut off."""
        ...


class Document:
    """An Answer that is one JSON document, given on as it came."""

    def __init__(self) -> None:
        self.done = False

    @property
    def is_whole(self) -> bool:
        return self.done

    def feed(self, data: bytes) -> Sequence[bytes]:
        self.done = True
        return (data,)

    def end(self, attempts: int) -> Sequence[bytes]:
        if not self.done:
            raise broke_off()
        return ()


class _Listed(msgspec.Struct):
    id: str
    owned_by: str | None = None
    created: int | float | None = None

    def entry(self) -> ModelEntry:
        return ModelEntry(self.id, self.owned_by or "upstream", int(self.created or 0))


class _Listing(msgspec.Struct):
    data: list[_Listed] = []


class Upstream:
    """The base of providers whose model is behind HTTP.

    `timeout_s` is how long the server may stay silent. A `client` that is given stays its owner's
    to close. `sleep` and `random` make the pauses between attempts.
    """

    speaks: ClassVar[str]
    """What its servers offer, in words for people."""

    lists_at: ClassVar[str] = "/models"

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout_s: float = READ_TIMEOUT_S,
        attempts_max: int = 3,
        client: httpx2.AsyncClient | None = None,
        sleep: Sleep = asyncio.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._url = _checked_url(base_url)
        self._api_key = _checked_key(api_key) or ""
        self._timeout = httpx2.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        self._attempts_max = attempts_max
        self._owns_client = client is None
        # As many streams as there are runs: the executor bounds them, not the pool.
        self._client = client or httpx2.AsyncClient(limits=httpx2.Limits())
        self._sleep, self._random = sleep, random

    async def close(self) -> None:
        if self._owns_client:
            await self._client.aclose()

    async def models(self, timeout_s: float) -> list[ModelEntry]:
        """The models the server lists. Raises ProviderError."""
        timeout = httpx2.Timeout(timeout_s)
        url, headers = self._url + self.lists_at, self._headers()
        try:
            response = await self._client.get(url, headers=headers, timeout=timeout)
            listed = msgspec.json.decode(response.content, type=_Listing).data
        except (httpx2.RequestError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            kind = type(error).__name__
            raise ProviderError("server_error", f"The model server has no list ({kind}).") from None
        return [model.entry() for model in listed]

    def _headers(self) -> dict[str, str]:
        """What every request carries; a dialect adds its own."""
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream, application/json",
            "accept-encoding": "identity",  # unpacking tokens one by one costs more than it saves
        }
        return headers | (self._key_header() if self._api_key else {})

    def _key_header(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._api_key}"}

    async def _ask(
        self,
        path: str,
        body: Callable[[], Mapping[str, Any]],
        new_answer: Callable[[], Answer[T]],
        model: str,
        learn: Learn = lambda error: False,
    ) -> AsyncGenerator[Sequence[T], None]:
        """Whatever the answer says, as it comes. Raises ProviderError.

        `learn` is shown what failed, and says whether it changed the body so that it may now work.
        """
        attempt, silent = 1, True
        while True:
            try:
                said = self._attempt(path, body(), new_answer(), model, attempt)
                async with aclosing(said) as batches:
                    async for batch in batches:
                        silent = False
                        yield batch
                return
            except ProviderError as error:
                pause_s = self._pause_s(error, attempt, learn) if silent else None
                if pause_s is None:
                    self._sign(error, attempt)
                    raise
            await self._sleep(pause_s)
            attempt += 1

    async def _fetch(self, path: str, body: Mapping[str, Any], model: str) -> bytes:
        """The one document that answers. Raises ProviderError."""
        said = self._ask(path, lambda: body, Document, model)
        async with aclosing(said) as batches:
            return b"".join([document async for batch in batches for document in batch])

    async def _attempt(
        self, path: str, body: Mapping[str, Any], answer: Answer[T], model: str, attempt: int
    ) -> AsyncGenerator[Sequence[T], None]:
        reader: EventReader | WholeReader | None = None
        size, silence = 0, Silence(self._timeout.read)
        try:
            async with self._post(path, body) as response:
                await self._accept(response, model)
                pieces = _pieces(response)
                silence.listen(response)
                async for piece in pieces:
                    silence.is_broken = True
                    reader = reader or reader_for(piece)
                    said, failure = _told(answer, reader, piece)
                    if said:
                        yield said
                    if failure is not None:
                        raise failure
                    size += len(piece)
                    if size > ANSWER_BYTES_MAX:
                        raise ProviderError("server_error", _ENDLESS)
                    if answer.done:
                        await _drain(pieces)
                        break
        except httpx2.RequestError as error:
            if not answer.is_whole:
                raise (_too_silent() if silence.was_too_long else _lost(error)) from error
        finally:
            silence.end()
        for data in reader.end() if reader else ():
            yield answer.feed(data)
        last = answer.end(attempt)
        if last:
            yield last

    def _post(
        self, path: str, body: Mapping[str, Any]
    ) -> AbstractAsyncContextManager[httpx2.Response]:
        return self._client.stream(
            "POST",
            self._url + path,
            content=_encode(body),
            headers=self._headers(),
            timeout=self._timeout,
        )

    async def _accept(self, response: httpx2.Response, model: str) -> None:
        if response.is_success:
            return
        body = b""
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) >= ERROR_BYTES_MAX:
                break
        status, headers = response.status_code, response.headers
        raise refused(status, headers, body[:ERROR_BYTES_MAX], model, self.speaks)

    def _pause_s(self, error: ProviderError, attempt: int, learn: Learn) -> float | None:
        """Seconds until the next attempt; None when this was the last."""
        if attempt >= self._attempts_max or not isinstance(error, UpstreamError):
            return None
        if learn(error):
            return 0.0
        return error.pause_s(attempt, self._random) if error.passes else None

    def _sign(self, error: ProviderError, attempt: int) -> None:
        """Say how often it was tried, without the key, and no longer than people read."""
        said = error.message
        if self._api_key:
            said = said.replace(self._api_key, "[API key]")
        error.message = said[:MESSAGE_MAX]
        error.args, error.attempts = (error.message,), attempt


class Silence:
    """Ends an answer whose server says nothing for `seconds`, or up to twice that, by closing the
    connection: one timer for many reads, where the client would set one for each.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._response: httpx2.Response | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self.is_broken = self.was_too_long = False

    def listen(self, response: httpx2.Response) -> None:
        """From here on: the head of the answer is there."""
        if self._seconds is not None:
            self._response = response
            response.request.extensions["timeout"]["read"] = None
            self._wait()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        self.is_broken = False
        assert self._seconds is not None
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look)

    def _look(self) -> None:
        if self.is_broken:
            self._wait()
            return
        assert self._response is not None
        self.was_too_long = True
        stream = self._response.extensions["network_stream"]
        self._closing = asyncio.ensure_future(stream.aclose())


def _told(
    answer: Answer[T], reader: EventReader | WholeReader, piece: bytes
) -> tuple[list[T], ProviderError | None]:
    """What a piece of the stream says, and what is wrong with it: words before a fault count."""
    said: list[T] = []
    try:
        for data in reader.feed(piece):
            said += answer.feed(data)
            if answer.done:
                break
    except ProviderError as error:
        return said, error
    except EventTooLong as error:
        return said, ProviderError("server_error", f"The model's stream is broken: {error}.")
    return said, None


def _pieces(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The body, unpacked if the server packed it although nobody asked."""
    packed = "content-encoding" in response.headers
    return response.aiter_bytes() if packed else response.aiter_raw()


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read on to the end of the body, if it comes at once: only then can the connection be used
    again, which saves the next request a handshake."""
    with suppress(TimeoutError, httpx2.RequestError):
        async with asyncio.timeout(LINGER_S):
            async for _ in pieces:
                pass


def _lost(error: httpx2.RequestError) -> UpstreamError:
    """The connection failed. A server that was silent too long is not asked to start again."""
    kind = type(error).__name__
    if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout)):
        message = f"The model server could not be reached ({kind})."
        return UpstreamError("server_error", message, passes=True)
    return _too_silent() if isinstance(error, httpx2.ReadTimeout) else broke_off(kind)


def _too_silent() -> UpstreamError:
    return UpstreamError("server_error", "The model server was silent for too long.")


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
