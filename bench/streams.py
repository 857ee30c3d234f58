"""Reads many streams at once from a process of its own, looking at as little as it can.

    python -m bench.streams URL STREAMS [--one-by-one | --hold]      < a JSON list of [path, body]

Streams take the requests in turn. It says, as JSON, how many streams ended, how long each took to
its first word and to its end, and how long all of them took together. With `--hold` it says so as
soon as each has its first word, and then holds them open until its input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import msgspec

from bench.upstream import WORD
from clew.cli import serve

SAID = WORD.encode()
ENDED = b"0\r\n\r\n"
SECONDS_MAX = 120


class Reading(asyncio.Protocol):
    """One stream: asked for at once, read to its end."""

    def __init__(self, request: bytes) -> None:
        self._request, self._tail = request, b""
        self.first_ms: float | None = None
        self.whole_ms: float | None = None
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._began = time.perf_counter()
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.first_ms is None and SAID in data:
            self.first_ms = (time.perf_counter() - self._began) * 1000
            self.first.set_result(None)
        self._tail = (self._tail + data)[-len(ENDED) :] if len(data) < 16 else data[-len(ENDED) :]
        if self._tail == ENDED:
            self.whole_ms = (time.perf_counter() - self._began) * 1000
            self._end(True)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(False)

    def _end(self, well: bool) -> None:
        if not self.first.done():
            self.first.set_result(None)
        if not self.ended.done():
            self.ended.set_result(well)
            self._transport.close()


def encoded(path: str, host: str, body: Any) -> bytes:
    """A POST of JSON as bytes."""
    data = msgspec.json.encode(body)
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n%b" % (len(data), data)


async def read(
    url: str, requests: list[tuple[str, Any]], streams: int, *, one_by_one: bool, hold: bool
) -> None:
    asked = [encoded(path, urlsplit(url).netloc, body) for path, body in requests]
    begun: list[Reading] = []
    began = time.perf_counter()
    async with asyncio.timeout(SECONDS_MAX):
        for number in range(streams):
            begun.append(await _begin(url, asked[number % len(asked)]))
            if one_by_one:
                await begun[-1].ended
        await asyncio.gather(*(one.first if hold else one.ended for one in begun))
    said = {
        "ended": sum(one.ended.done() and one.ended.result() for one in begun),
        "first_ms": [one.first_ms for one in begun if one.first_ms is not None],
        "whole_ms": [one.whole_ms for one in begun if one.whole_ms is not None],
        "seconds": time.perf_counter() - began,
    }
    print(msgspec.json.encode(said).decode(), flush=True)
    if hold:
        await asyncio.to_thread(sys.stdin.read)


async def _begin(url: str, request: bytes) -> Reading:
    place, loop = urlsplit(url), asyncio.get_running_loop()
    assert place.hostname
    assert place.port
    _, reading = await loop.create_connection(lambda: Reading(request), place.hostname, place.port)
    return reading


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("streams", type=int)
    parser.add_argument("--one-by-one", action="store_true")
    parser.add_argument("--hold", action="store_true")
    options = parser.parse_args()
    requests = msgspec.json.decode(sys.stdin.readline())
    with asyncio.Runner(loop_factory=serve.loop_factory()) as runner:
        how = {"one_by_one": options.one_by_one, "hold": options.hold}
        runner.run(read(options.url, requests, options.streams, **how))


if __name__ == "__main__":
    main()
