"""A large file, by a real process: it is never in memory as a whole, and others need not wait."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openai import AsyncOpenAI, OpenAI

from .served import Served, serving

MB = 2**20
SIZE = 100 * MB
GROWTH_MAX = 48 * MB
"""Of the process, while such a file goes in and out: SQLite's page caches are 16 MB each."""

APPEND_MS_MAX = 1_000
"""The longest an append may take meanwhile, on a busy machine."""


class Noise:
    """A file of many bytes that no one holds: each block is made when it is read."""

    name = "noise.bin"

    def __init__(self, size: int) -> None:
        self._left, self._number = size, 0
        self.digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read():
            yield block

    def read(self, size: int = 65_536) -> bytes:
        self._number += 1
        block = self._number.to_bytes(8, "big") * (min(65_536, self._left) // 8)
        self._left -= len(block)
        self.digest.update(block)
        return block


def body(noise: Noise) -> Iterator[bytes]:
    yield b'--B\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    yield b'--B\r\nContent-Disposition: form-data; name="file"; filename="noise.bin"\r\n\r\n'
    yield from noise
    yield b"\r\n--B--\r\n"


@pytest.fixture
def served(new_store_url: Callable[[], str], tmp_path: Path) -> Iterator[Served]:
    with serving("--port", "0", "--store", new_store_url(), folder=tmp_path) as process:
        yield process


def client_of(served: Served) -> OpenAI:
    return OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=60)


def memory(served: Served, line: str) -> int:
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(status.partition(f"{line}:")[2].split()[0]) * 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_a_large_file_is_never_in_memory(served: Served):
    """100 MB in and out: what came is what was sent, and the process hardly grows."""
    with client_of(served) as client:
        small = client.files.create(file=b"x" * 300_000, purpose="user_data")
        client.files.content(small.id).read()
        before = memory(served, "VmRSS")
        Path(f"/proc/{served.process.pid}/clear_refs").write_text("5")  # forget the peak so far
        noise = Noise(SIZE)
        headers = {"content-type": "multipart/form-data; boundary=B"}
        begun = time.perf_counter()
        http = client._client
        made = http.post(f"{served.url}/v1/files", content=body(noise), headers=headers).json()
        sent = time.perf_counter()
        assert made["bytes"] == SIZE
        found = hashlib.sha256()
        with client.files.with_streaming_response.content(made["id"]) as content:
            for piece in content.iter_bytes(1 << 16):
                found.update(piece)
        received = time.perf_counter()
        assert found.digest() == noise.digest.digest()
        grown = memory(served, "VmHWM") - before
        print(
            f"in {SIZE / MB / (sent - begun):.0f} MB/s, "
            f"out {SIZE / MB / (received - sent):.0f} MB/s, grown by {grown / MB:.1f} MB"
        )
        assert grown < GROWTH_MAX
        client.files.delete(made["id"])
        print(f"deleted in {time.perf_counter() - received:.2f} s")


def test_appends_go_on_while_a_large_file_comes(served: Served):
    """Messages are added to a thread all the time; none has to wait for the file."""
    size = SIZE // 2

    async def play() -> list[float]:
        base = {"base_url": f"{served.url}/v1", "api_key": "none", "max_retries": 0}
        async with AsyncOpenAI(**base) as client:
            thread = (await client.beta.threads.create()).id
            upload = asyncio.create_task(
                client.files.create(file=os.urandom(size), purpose="user_data")
            )
            took: list[float] = []
            while not upload.done():
                begun = time.perf_counter()
                await client.beta.threads.messages.create(thread, role="user", content="on")
                took.append((time.perf_counter() - begun) * 1000)
            assert (await upload).bytes == size
            return sorted(took)

    took = asyncio.run(play())
    print(f"{len(took)} appends, median {took[len(took) // 2]:.1f} ms, longest {took[-1]:.0f} ms")
    assert len(took) >= 10
    assert took[-1] < APPEND_MS_MAX
