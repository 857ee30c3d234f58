"""Both kinds of the official client, with one way to use them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import clew


class Answer:
    """A response that is being read, by a client of either kind."""

    def __init__(self, client: Client, response: Any) -> None:
        self._run, self._response = client.run, response
        if isinstance(client, Blocking):
            self._pieces = response.iter_raw()
        else:
            self._pieces = response.aiter_raw()

    def next(self) -> bytes | None:
        return self._run(lambda: next(self._pieces, None), lambda: anext(self._pieces, None))

    def rest(self) -> bytes:
        return b"".join(iter(self.next, None))

    def close(self) -> None:
        self._run(self._response.close, self._response.aclose)


class Blocking:
    def __init__(self, here: clew.Clew) -> None:
        self.openai: Any = here.openai(max_retries=0)
        self._http = self.openai._client

    def run(self, call: Callable[[], Any], _: Callable[[], Any]) -> Any:
        return call()

    def ask(self, content: Any = None, **options: Any) -> Answer:
        request = self._http.build_request("POST", "http://clew/v1/ask", content=content, **options)
        return Answer(self, self._http.send(request, stream=True))

    def close(self) -> None:
        self.openai.close()


class Awaiting:
    def __init__(self, here: clew.Clew) -> None:
        self.runner = asyncio.Runner()
        self.openai: Any = here.async_openai(max_retries=0)
        self._http = self.openai._client

    def run(self, _: Callable[[], Any], call: Callable[[], Any]) -> Any:
        async def wait() -> Any:
            return await call()

        return self.runner.run(wait())

    def ask(self, content: Iterator[bytes] | bytes | None = None, **options: Any) -> Answer:
        if isinstance(content, Iterator):
            content = awaited(content)
        request = self._http.build_request("POST", "http://clew/v1/ask", content=content, **options)
        return Answer(self, self.run(lambda: None, lambda: self._http.send(request, stream=True)))

    def close(self) -> None:
        self.run(lambda: None, self.openai.close)
        self.runner.close()


Client = Blocking | Awaiting


async def awaited(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for each in pieces:
        yield each
