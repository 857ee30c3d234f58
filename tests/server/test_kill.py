"""SIGKILL at random moments under eight writers: what was acknowledged is there, once, in order.

Invariants 1 (acknowledged means durable), 2 (no gap, no tie), 3 (a request's items land together)
and 6 (a retry is not a second act), over a real process that is really killed.
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import clew
from clew.server.http import DEFAULT_PROJECT

from .served import Served, serving

WRITERS = 8
THREADS = 3
ACKNOWLEDGED_MAX = 200
"""A round is killed after so many acknowledgements at most; the number is chance."""

HALF_A_COMMIT_S = 0.002
"""Jitter, so that the kill falls anywhere between two acknowledgements."""


class Writer:
    """Adds messages with texts of their own over one connection, until that breaks.

    Each third writer sends three items at once, each other third sends an idempotency key.
    """

    def __init__(self, number: int, thread: str, killer: Killer) -> None:
        self.thread, self.killer = thread, killer
        self.batch = 3 if number % 3 == 1 else 1
        self.keyed = number % 3 == 2
        self.texts = (f"{thread} {number} {count}" for count in itertools.count())
        self.acknowledged: list[tuple[str, str]] = []
        self.in_flight: list[str] = []
        self.broken: Any = None

    def write(self, server: Served) -> None:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
        try:
            while True:
                self.in_flight = list(itertools.islice(self.texts, self.batch))
                self.acknowledge(self.send(connection))
                self.killer.count()
        except (ConnectionError, http.client.HTTPException):
            pass
        except BaseException as error:
            self.broken = error
            raise
        finally:
            connection.close()

    def send(self, connection: http.client.HTTPConnection) -> list[str]:
        """Send what is in flight; the ids it got."""
        items = [{"role": "user", "content": text} for text in self.in_flight]
        headers = {"idempotency-key": self.in_flight[0]} if self.keyed else {}
        path, body = f"/v1/threads/thread_{self.thread}/messages", items[0]
        if self.batch > 1:
            path, body = f"/v1/conversations/conv_{self.thread}/items", {"items": items}
        connection.request("POST", path, json.dumps(body).encode(), headers)
        answer = connection.getresponse()
        said = json.loads(answer.read())
        assert answer.status == 200, said
        return [item["id"] for item in said["data"]] if self.batch > 1 else [said["id"]]

    def acknowledge(self, ids: list[str]) -> None:
        self.acknowledged += zip(self.in_flight, ids, strict=True)
        self.in_flight = []


class Killer:
    """Kills the server once so many requests were acknowledged."""

    def __init__(self, server: Served, chance: random.Random) -> None:
        self.server = server
        self.left = chance.randint(1, ACKNOWLEDGED_MAX)
        self.jitter_s = chance.uniform(0, HALF_A_COMMIT_S)
        self.lock = threading.Lock()

    def count(self) -> None:
        with self.lock:
            self.left -= 1
            due = self.left == 0
        if due:
            threading.Event().wait(self.jitter_s)
            self.server.kill()


def write_until_killed(server: Served, chance: random.Random) -> list[Writer]:
    """Eight writers on three new threads; returns them when the server is dead."""
    threads = [call(server, "POST", "/v1/threads", {})["id"] for _ in range(THREADS)]
    killer = Killer(server, chance)
    writers = [
        Writer(n, threads[n % THREADS].removeprefix("thread_"), killer) for n in range(WRITERS)
    ]
    workers = [threading.Thread(target=one.write, args=(server,)) for one in writers]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    server.process.wait()
    assert [one.broken for one in writers if one.broken] == []
    return writers


def check_after_restart(server: Served, store_url: str, writers: list[Writer]) -> None:
    """By the API: all acknowledged items, each once, batches whole; then retries act once."""
    retry(server, writers)
    for thread in {one.thread for one in writers}:
        listed = Counter(items_of(server, thread))
        assert set(listed.values()) <= {1}, "an item is there twice"
        texts = Counter(text for text, _ in listed)
        assert set(texts.values()) <= {1}, "a request acted twice"
        for one in (one for one in writers if one.thread == thread):
            assert set(one.acknowledged) <= listed.keys(), "an acknowledged item is lost"
            assert sum(text in texts for text in one.in_flight) in (0, one.batch)
            assert not (one.keyed and one.in_flight)
    check_order(store_url, {one.thread for one in writers})


def retry(server: Served, writers: list[Writer]) -> None:
    """Send again, with its key, what the kill left in the air."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    for one in writers:
        if one.keyed and one.in_flight:
            one.acknowledge(one.send(connection))
    connection.close()


def check_order(store_url: str, threads: set[str]) -> None:
    """By the store itself: seqs from 1 without gap or tie."""
    with clew.open(store_url) as here:
        for thread in threads:
            items = here.read_items(DEFAULT_PROJECT, thread, below=1 << 62, limit=10_000)
            assert [item.seq for item in items] == list(range(len(items), 0, -1))
            assert here.get_thread(DEFAULT_PROJECT, thread).last_seq == len(items)


def items_of(server: Served, thread: str) -> Iterator[tuple[str, str]]:
    """Text and id of everything in a thread, page by page."""
    after = ""
    while True:
        page = call(
            server, "GET", f"/v1/conversations/conv_{thread}/items?limit=100&order=asc{after}"
        )
        yield from ((item["content"][0]["text"], item["id"]) for item in page["data"])
        if not page["has_more"]:
            return
        after = f"&after={page['last_id']}"


def call(server: Served, method: str, path: str, body: Any = None) -> Any:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    connection.request(method, path, None if body is None else json.dumps(body))
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, said
    return said


def play(store_url: str, folder: Path, rounds: int, seed: int) -> None:
    """So many rounds on one store; each restart checks what the kill before it left."""
    chance = random.Random(seed)
    writers: list[Writer] = []
    for left in range(rounds, -1, -1):
        with serving("--store", store_url, "--port", "0", folder=folder) as server:
            if writers:
                assert sum(len(one.acknowledged) for one in writers) > 0
                check_after_restart(server, store_url, writers)
            if left:
                writers = write_until_killed(server, chance)


@pytest.fixture
def killed_store(new_store_url: Callable[[], str]) -> str:
    """A store that nobody else has open, so that each restart has to recover it."""
    return new_store_url()


def test_a_killed_server_loses_nothing_it_acknowledged(killed_store: str, tmp_path: Path):
    """Three kills; after each, everything acknowledged is there once, without gap or tie."""
    seed = random.randrange(1 << 32)
    print(f"{seed=}")
    play(killed_store, tmp_path, rounds=3, seed=seed)


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(4))
def test_a_server_killed_again_and_again_loses_nothing(
    killed_store: str, tmp_path: Path, seed: int
):
    """25 kills for each of four seeds on each engine: the same."""
    play(killed_store, tmp_path, rounds=25, seed=seed)
