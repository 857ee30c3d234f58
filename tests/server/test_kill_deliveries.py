"""SIGKILL between a change and its telling: who starts next tells it; two servers tell it once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openai import OpenAI

from clew.core.webhooks import EVENT_TYPES

from .live import CLIENT
from .receiver import Receiver, Reply
from .served import Served, serving

THREADS = 12


def client_of(server: Served) -> OpenAI:
    return OpenAI(**CLIENT | {"base_url": f"{server.url}/v1"})


def registered(client: OpenAI, receiver: Receiver) -> Any:
    events: Any = list(EVENT_TYPES)
    return client.webhooks.create(event_types=events, name="hook", url=receiver.url)


def test_what_a_killed_server_did_is_told(tmp_path: Path, new_store_url: Callable[[], str]):
    """All that it acknowledged, by the next one, also what it was telling when it was killed."""
    flags = ("--store", new_store_url(), "--port", "0")
    with Receiver() as receiver:
        receiver.reply = Reply(hangs=True)
        with serving(*flags, folder=tmp_path) as server:
            with client_of(server) as client:
                webhook = registered(client, receiver)
                made = [client.beta.threads.create().id for _ in range(THREADS)]
                being_told = receiver.next()
                made.append(client.beta.threads.create().id)
            server.kill()
            server.process.wait()
        while not receiver.told.empty():
            receiver.told.get()
        receiver.reply = Reply()
        with serving(*flags, folder=tmp_path):
            told: list[Any] = []
            while {each.event["data"]["id"] for each in told} != set(made):
                told.append(receiver.next())  # one of the dead may still come in, too
        assert being_told.headers["webhook-id"] in {each.headers["webhook-id"] for each in told}
        for each in told:
            unwrap = OpenAI(**CLIENT).webhooks.unwrap
            unwrap(each.body, each.headers, secret=webhook.signing_secret)


def test_two_servers_tell_once(tmp_path: Path, new_store_url: Callable[[], str]):
    """Whichever of them a request went to, one of them tells of it."""
    flags = ("--store", new_store_url(), "--port", "0")
    with (
        Receiver() as receiver,
        serving(*flags, folder=tmp_path) as one,
        serving(*flags, folder=tmp_path) as other,
        client_of(one) as first,
        client_of(other) as second,
    ):
        registered(first, receiver)
        made = [client.beta.threads.create().id for client in (first, second) * THREADS]
        last = second.beta.threads.create(metadata={"last": "yes"}).id
        ids = Counter(each.event["data"]["id"] for each in receiver_until(receiver, last, made))
        assert ids == Counter([*made, last])
        for server in (one, other):
            assert server.stop() == 0  # what was told is settled on the way out
        assert receiver.told.empty()


def receiver_until(receiver: Receiver, last: str, made: list[str]) -> list[Any]:
    """As many as happened; the last of them is there too."""
    told = [receiver.next() for _ in range(len(made) + 1)]
    assert last in {each.event["data"]["id"] for each in told}
    return told
