"""Embeddings as people set them up: settings, a search by meaning, and what is refused at start."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import clew
from clew.cli import main
from clew.core.errors import BadRequest, ClewError
from clew.testing.embeddings import Embeddings


@contextmanager
def embeddings() -> Iterator[str]:
    """The URL of a server that runs in a thread of its own."""
    loop, server = asyncio.new_event_loop(), Embeddings(synonyms=[("car", "automobile")])
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
        yield server.url
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/clew.db"
    create: Callable[[], str] = request.getfixturevalue("new_postgres_database")
    return create()


def test_a_store_is_searched_by_meaning(url: str):
    """With embeddings the official client finds a paraphrase, and a code among codes."""
    with (
        embeddings() as server,
        clew.open(url, embeddings_url=server, embeddings_model="double") as here,
        here.openai() as client,
    ):
        store = client.vector_stores.create(name="s")
        for text in (b"the car", b"part KX4711", b"part KX4712"):
            file = client.files.create(file=("a.txt", text), purpose="assistants")
            client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)

        def first(query: str, ranker: str = "auto") -> tuple[str, float]:
            options = {"ranker": ranker}
            found = client.vector_stores.search(
                store.id,
                query=query,
                ranking_options=options,  # type: ignore[arg-type]
            ).data
            return found[0].content[0].text, found[0].score

        assert first("automobile") == ("the car", 0.5)
        assert first("KX4712")[0] == "part KX4712"
        assert first("the car") == ("the car", 1.0)
        assert first("automobile", "none")[0] == "the car"


def test_half_a_setting_is_refused():
    """A model needs a URL and a URL a model; the one that is missing is named."""
    for given, missing in (("url", "embeddings_model"), ("model", "embeddings_url")):
        with pytest.raises(BadRequest, match=missing):
            clew.open("sqlite://:memory:", **{f"embeddings_{given}": "http://x"})


def test_a_missing_extension_is_named_at_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Without sqlite-vec Clew starts, unless embeddings are asked for: then it says what to do."""
    monkeypatch.setitem(sys.modules, "sqlite_vec", None)
    monkeypatch.chdir(tmp_path)
    with clew.open("sqlite:///clew.db"):
        pass
    with pytest.raises(ClewError, match="sqlite-vec"):
        clew.open("sqlite:///clew.db", embeddings_url="http://x", embeddings_model="m")
    monkeypatch.setenv("CLEW_EMBEDDINGS_URL", "http://x")
    monkeypatch.setenv("CLEW_EMBEDDINGS_MODEL", "m")
    assert main(["serve", "--port", "0"]) == 1
    assert "pip install 'clew[vectors]'" in capsys.readouterr().err
