"""SIGKILL while files are indexed: who starts next finishes each of them, once and whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from openai import OpenAI

from .served import Served, serving
from .test_vector_stores import uploaded

FILES = 3
WORDS = 60_000
"""Of each file: half a megabyte, a second's work or less."""


def client_of(server: Served) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="none")


def texts() -> list[str]:
    return [" ".join(f"f{n}w{word}" for word in range(WORDS)) for n in range(FILES)]


def begin(server: Served) -> tuple[str, list[str]]:
    """Add files, and return while the indexer is at work; the server is dead then."""
    with client_of(server) as client:
        store = client.vector_stores.create().id
        files = [uploaded(client, text) for text in texts()]
        client.vector_stores.file_batches.create(store, file_ids=files)
        while client.vector_stores.retrieve(store).file_counts.completed == 0:
            pass
        server.kill()
    server.process.wait()
    return store, files


def test_a_killed_indexer_is_succeeded(tmp_path: Path, new_store_url: Callable[[], str]):
    """After a kill all files are completed, read whole, and found once."""
    flags = ("--store", new_store_url(), "--port", "0")
    with serving(*flags, folder=tmp_path) as server:
        store, files = begin(server)
    with serving(*flags, folder=tmp_path) as server, client_of(server) as client:
        status, waiting = "in_progress", client.vector_stores.retrieve(store).file_counts
        while status == "in_progress":
            now = client.vector_stores.retrieve(store)
            status = now.status
        assert waiting.in_progress > 0, "all files were indexed before the kill"
        assert (now.file_counts.completed, now.file_counts.total) == (FILES, FILES)
        for number, (file, text) in enumerate(zip(files, texts(), strict=True)):
            pieces = client.vector_stores.files.content(file, vector_store_id=store)
            assert "".join(piece.text for piece in pieces) == text
            found = client.vector_stores.search(store, query=f"f{number}w0").data
            assert [each.file_id for each in found] == [file]
