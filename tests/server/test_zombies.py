"""SIGSTOP for longer than a lease, then SIGCONT: who was away changes nothing any more.

Invariants 5 (at most one run writes to a thread at a time) and 7 (finished tool calls are not run
twice), over real processes: what the one who took over wrote and told stays, to the byte.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import clew
from clew.core.events import Event
from clew.core.ids import key_of
from clew.core.kept import unpack
from clew.core.paging import Page
from clew.executor.replay import is_end
from clew.server.http import DEFAULT_PROJECT

from .matrix import (
    ANSWER,
    FOLDER,
    Killed,
    Point,
    World,
    ask,
    check_calls,
    ended,
    flags_of,
    follow_up,
    texts,
    turn,
    world,
)
from .served import Served, serving


@pytest.fixture(scope="module")
def here() -> Iterator[World]:
    with world() as made:
        yield made


def written(store: clew.Clew, conversation: str, response: str) -> tuple[Any, ...]:
    """Everything there is of a run that is over, and told to its end: its thread's items, itself,
    its calls, its kept events."""
    thread, run = key_of("thread", conversation), key_of("run", response)
    while not is_end(told(store, thread, run)[-1]):
        time.sleep(0.05)
    items = store.read_items(DEFAULT_PROJECT, thread, below=1 << 62, limit=1_000)
    whole = [(item.seq, item.id, item.body) for item in items]
    at = DEFAULT_PROJECT, thread, run
    return whole, store.get_run(*at), store.list_calls(*at), store.list_events(*at, 0)


def told(store: clew.Clew, thread: str, run: str) -> list[Event]:
    stands = store.get_run(DEFAULT_PROJECT, thread, run)
    rows = store.list_events(DEFAULT_PROJECT, thread, run, 0)
    return [event for _, packed in rows for event in unpack(packed, stands)]


def response_of(store: clew.Clew, conversation: str) -> str:
    """The one response of a conversation, once it is there."""
    runs: list[Any] = []
    while not runs:
        runs, _ = store.list_runs(DEFAULT_PROJECT, key_of("thread", conversation), Page(1))
    return f"resp_{runs[0].key}"


def stop_amid(here: World, server: Served, point: Point) -> str:
    """A conversation, in whose turn the server will be stopped."""
    here.forget()
    here.go_on = threading.Event()
    here.kills[point.verb, "case", point.number] = server.process
    conversation: str = ask(server, "POST", "/v1/conversations", {})["id"]
    return conversation


@pytest.mark.parametrize("what", ["model", "tool"])
def test_who_was_stopped_changes_nothing_any_more(
    here: World, new_store_url: Callable[[], str], what: str
) -> None:
    """The model goes on with its answer, or the tool with its result, for one who is succeeded: it
    is in no item and no event, and that one ends in peace. A client that waits there all the time
    is given what the other made."""
    flags, point = flags_of(here, store_url := new_store_url()), Point("apart", what, "amid", 2)
    with (
        serving(*flags, folder=FOLDER) as zombie,
        serving(*flags, folder=FOLDER) as other,
        clew.open(store_url) as store,
        ThreadPoolExecutor(1) as pool,
    ):
        conversation = stop_amid(here, zombie, point)
        waits = pool.submit(turn, here, zombie, conversation, "case", "apart", background=False)
        response = response_of(store, conversation)
        done = ended(other, response)
        assert (done["status"], texts(done["output"])[-1]) == ("completed", "".join(ANSWER))
        follow_up(here, Killed(point, "case", conversation, response, 0.0), other)
        was = written(store, conversation, response)
        zombie.process.send_signal(signal.SIGCONT)
        assert here.go_on is not None
        here.go_on.set()
        assert waits.result(30) == done
        assert ask(zombie, "GET", f"/v1/responses/{response}") == done
        assert zombie.stop() == 0  # what it had to write is written by now, or was refused
        assert written(store, conversation, response) == was
        items = store.read_items(
            DEFAULT_PROJECT, key_of("thread", conversation), below=1 << 62, limit=1_000
        )
        check_calls(here, Killed(point, "case", conversation, response, 0.0), items)
        assert ask(other, "GET", f"/v1/responses/{response}") == done
