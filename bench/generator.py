"""The load generator for machines without wrk: `generator.py URL CONNECTIONS SECONDS < requests`.

Keep-alive connections on one event loop, each with one request under way, requests built ahead.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from statistics import median
from urllib.parse import urlsplit

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop


class Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last one is complete."""

    def __init__(self, requests: Iterator[bytes], taken: list[float]) -> None:
        self._requests, self._taken = requests, taken
        self._received = b""
        self.failed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if is_complete(self._received):
            self._taken.append(time.perf_counter() - self._sent)
            self.failed += not self._received.startswith(b"HTTP/1.1 2")
            self._received = b""
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self.failed += error is not None

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))


def is_complete(answer: bytes) -> bool:
    """Whether an HTTP answer with a content-length has arrived whole."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)


def encoded(method: str, path: str, body: str, host: str) -> bytes:
    """One request as it goes over the wire."""
    content = body.encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(content)}\r\n"
    kind = "content-type: application/json\r\n" if content else ""
    return f"{head}{kind}\r\n".encode() + content


async def generate(url: str, connections: int, seconds: float, spec: dict[str, object]) -> str:
    address = urlsplit(url)
    wire = [
        encoded(str(spec["method"]), path, str(spec["body"]), address.netloc)
        for path in spec["paths"]  # type: ignore[attr-defined]
    ]
    requests, taken, loop = itertools.cycle(wire), [], asyncio.get_running_loop()
    began = time.perf_counter()
    opened = [
        await loop.create_connection(
            lambda: Connection(requests, taken), address.hostname, address.port
        )
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    ended, count = time.perf_counter() - began, len(taken)
    failed = sum(connection.failed for _, connection in opened)
    for transport, _ in opened:
        transport.abort()
    p50_ms = median(taken[:count] or [0]) * 1000
    return json.dumps({"requests": count, "seconds": ended, "p50_ms": p50_ms, "failed": failed})


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        url, connections, seconds = sys.argv[1:]
        work = generate(url, int(connections), float(seconds), json.load(sys.stdin))
        print(runner.run(work))
