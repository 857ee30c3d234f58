"""Documents in vector stores, by the official client: good ones are found, bad ones harm nobody."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from ..tools import papers
from .live import Live
from .test_vector_stores import POLL_MS, polled, uploaded

GOOD = {
    "paper.pdf": (papers.pdf(["The heron stood in the shallows."]), "heron"),
    "letter.docx": (papers.docx("The badger wrote a letter."), "badger"),
    "talk.pptx": (papers.pptx("The otter gave a talk."), "otter"),
    "sheet.xlsx": (papers.xlsx(['<c t="str"><v>The weasel counted.</v></c>']), "weasel"),
    "table.csv": (b"animal,place\nstoat,under the hedge\n", "hedge"),
    "data.json": (b'{"animal":"mole","said":"\\u00dcber"}', "über"),
    "notes.md": (b"# Notes\n\n- the *shrew* is small\n", "shrew"),
    "code.py": (b"def vole() -> str:\n    return 'burrow'\n", "burrow"),
    "page.html": (b"<html><p>The hare</p></html>", "hare"),
    "letter.pdf": (papers.docx("The polecat is no PDF."), "polecat"),
    "paper.txt": (papers.pdf(["The marten is no text."]), "marten"),
}


@pytest.fixture
def store(client: OpenAI) -> str:
    return client.vector_stores.create().id


def test_documents_are_found_by_their_words(client: OpenAI, store: str):
    """Every format is read, also under the name of another."""
    ids = {name: uploaded(client, data, name) for name, (data, _) in GOOD.items()}
    batch = client.vector_stores.file_batches.create_and_poll(
        store, file_ids=list(ids.values()), poll_interval_ms=POLL_MS
    )
    assert batch.file_counts.completed == len(GOOD)
    for name, (_, word) in GOOD.items():
        found = client.vector_stores.search(store, query=word).data
        assert [each.filename for each in found] == [name]


def test_a_rows_chunk_names_its_columns(client: OpenAI, store: str):
    """The text of a table says of each value what it is."""
    file = uploaded(client, GOOD["table.csv"][0], "table.csv")
    polled(client, store, file)
    (part,) = client.vector_stores.files.content(file, vector_store_id=store)
    assert part.text == "animal: stoat\nplace: under the hedge\n\n"


def test_bad_files_fail_alone(live: Live, client: OpenAI, store: str, project: str):
    """Each bad file of a batch fails by its own fault; the good ones are completed, and the server
    answers meanwhile."""
    bad = list(papers.bad())
    codes = {uploaded(client, data, name): code for _, name, data, code in bad}
    good = [uploaded(client, data, name) for name, (data, _) in GOOD.items()]
    batch = client.vector_stores.file_batches.create(store, file_ids=[*codes, *good])
    waits = list(_waits(live, project, client, store, batch.id))
    batch = client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store)
    counts = batch.file_counts
    assert (counts.failed, counts.completed, counts.total) == (
        len(codes),
        len(good),
        len(codes) + len(good),
    )
    failed = client.vector_stores.files.list(store, filter="failed", limit=100)
    assert {each.id: each.last_error.code for each in failed} == codes
    assert all(each.last_error.message.endswith(".") for each in failed)
    assert sorted(waits)[len(waits) // 2] < 0.25
    for _, word in GOOD.values():
        assert client.vector_stores.search(store, query=word).data


def _waits(live: Live, project: str, client: OpenAI, store: str, batch: str) -> Iterator[float]:
    """How long the server took to answer something else, again and again until all is done."""
    status: Any = "in_progress"
    with live.http(project) as http:
        while status == "in_progress":
            begun = time.monotonic()
            assert http.post("/v1/threads", json={}).status_code == 200
            yield time.monotonic() - begun
            time.sleep(POLL_MS / 1000)
            now = client.vector_stores.file_batches.retrieve(batch, vector_store_id=store)
            status = now.status


def test_a_file_taken_out_stops_its_reader(client: OpenAI, store: str):
    """A document that is deleted while it is read is gone, and the next one is read."""
    long = papers.pdf(*[[f"Line {line} of a long paper." for line in range(40)]] * 1_500)
    file = uploaded(client, long, "long.pdf")
    client.vector_stores.files.create(store, file_id=file)
    client.files.delete(file)
    good = uploaded(client, GOOD["paper.pdf"][0], "paper.pdf")
    assert polled(client, store, good).status == "completed"
    assert client.vector_stores.retrieve(store).file_counts.total == 1
