"""An embeddings server for tests: real HTTP, and vectors that mean something without a model.

    async with Embeddings(dimensions=256, synonyms=[("car", "automobile")]) as server:
        embedder = Embedder(server.url, "double")

Each word points in a direction of its own; words that `synonyms` puts together point in the same.
A text points where its words do together. Words with digits in them (numbers, ids, codes) all point
in one direction, as with real models, to which one code is like another. Faults are given in
advance: each request takes the next status of `fails`, until there are none.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from typing import Any, Self

import msgspec

_WORD = re.compile(r"[^\W_]+")
_COMMON = frozenset("a an and are as at by for from how in is it of on or that the to what".split())
_CODE = "0"


class Embeddings:
    """The server, as an async context manager, on a free port of this machine.

    `requests` are the bodies that came; `headers` those of the last request.
    """

    def __init__(
        self,
        dimensions: int = 128,
        synonyms: Sequence[Sequence[str]] = (),
        fails: Sequence[int] = (),
        answer: bytes | None = None,
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.fails, self.answer = list(fails), answer
        self._dimensions = dimensions
        self._meaning = {word: group[0] for group in synonyms for word in group}
        self._directions: dict[str, list[float]] = {}
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None, "the server is not running"
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def vector(self, text: str, dimensions: int | None = None) -> list[float]:
        """Where a text points."""
        words = [word.lower() for word in _WORD.findall(text)]
        telling = [word for word in words if word not in _COMMON] or words or [_CODE]
        directions = [self._direction(word) for word in telling]
        return [sum(numbers) for numbers in zip(*directions, strict=True)][:dimensions]

    def _direction(self, word: str) -> list[float]:
        meaning = self._meaning.get(word, word)
        if any(letter.isdigit() for letter in meaning):
            meaning = _CODE
        if meaning not in self._directions:
            chance = random.Random(meaning)
            self._directions[meaning] = [chance.gauss(0, 1) for _ in range(self._dimensions)]
        return self._directions[meaning]

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                lines = [line.split(": ", 1) for line in head[1:] if line]
                self.headers = {name.lower(): value for name, value in lines}
                body = await reader.readexactly(int(self.headers["content-length"]))
                self.requests.append(msgspec.json.decode(body))
                status, answer = self._answered()
                writer.write(
                    b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n"
                    b"content-length: %d\r\n\r\n%b" % (status, len(answer), answer)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answered(self) -> tuple[int, bytes]:
        if self.fails and (status := self.fails.pop(0)) != 200:
            said = f"not now; you came with {self.headers.get('authorization')}"
            return status, msgspec.json.encode({"error": {"message": said}})
        if self.answer is not None:
            return 200, self.answer
        asked = self.requests[-1]
        found = [
            {"object": "embedding", "index": index, "embedding": self.vector(text, size)}
            for size in (asked.get("dimensions"),)
            for index, text in enumerate(asked["input"])
        ]
        found.reverse()  # the order is in the index, and nowhere else
        return 200, msgspec.json.encode({"object": "list", "data": found, "model": asked["model"]})
