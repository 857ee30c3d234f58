"""Webhooks with the real client: registered, told, verified, tested, and sent again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.types.webhooks import ResponseCompletedWebhookEvent

from clew.core.webhooks import EVENT_TYPES

from .live import Live
from .receiver import Receiver, Reply, Told

ALL: Any = list(EVENT_TYPES)
PREFIXES = {"response": "resp_", "thread": "thread_", "message": "msg_", "run": "run_"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def registered(client: OpenAI, receiver: Receiver, *types: str) -> Any:
    events: Any = list(types) or ALL
    return client.webhooks.create(event_types=events, name="hook", url=receiver.url)


def unwrap(client: OpenAI, told: Told, secret: str) -> Any:
    return client.webhooks.unwrap(told.body, told.headers, secret=secret)


def dead_letters(http: httpx2.Client, webhook: str, **query: Any) -> Any:
    answer = http.get(f"/v1/webhook_endpoints/{webhook}/dead_letters", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def refusal(act: Any) -> tuple[str | None, str | None]:
    """Param and code of a 400."""
    with pytest.raises(openai.BadRequestError) as refused:
        act()
    return refused.value.param, refused.value.code


# what is told


def test_a_thread_is_told_as_it_happens(client: OpenAI, receiver: Receiver):
    """Signed so that the official client verifies it, in order, by ids."""
    webhook = registered(client, receiver)
    assistant = client.beta.assistants.create(model="scripted").id
    thread = client.beta.threads.create(metadata={"a": "b"}).id
    message = client.beta.threads.messages.create(thread, role="user", content="hello").id
    run = client.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id=assistant)
    client.beta.threads.delete(thread)
    told = receiver.until("thread.deleted")
    events = [unwrap(client, each, webhook.signing_secret) for each in told]
    types = [event.type for event in events]
    assert types[:2] == ["thread.created", "thread.message.created"]
    assert types[-2:] == ["thread.run.completed", "thread.deleted"]
    assert (events[1].data.id, events[1].data.thread_id) == (message, thread)
    assert events[-1].data.id == thread
    assert run.status == "completed"
    assert b"hello" not in b"".join(each.body for each in told)


def test_a_run_tells_each_of_its_statuses(client: OpenAI, receiver: Receiver):
    """That it was made, began and ended, with what it wrote in between."""
    registered(client, receiver)
    assistant = client.beta.assistants.create(model="scripted").id
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "hello"}]).id
    run = client.beta.threads.runs.create(thread_id=thread, assistant_id=assistant)
    told = receiver.until("thread.run.completed")
    assert [each.type for each in told] == [
        "thread.created",
        "thread.message.created",
        "thread.run.created",
        "thread.run.queued",
        "thread.run.in_progress",
        "thread.message.created",
        "thread.run.completed",
    ]
    assert told[-1].event["data"] == {"id": run.id, "thread_id": thread}
    assert told[-2].event["data"]["run_id"] == run.id
    assert len({each.headers["webhook-id"] for each in told}) == len(told)


def test_a_response_is_told_as_openai_tells_it(client: OpenAI, receiver: Receiver):
    """`unwrap` gives the client's own class, with the id of the response."""
    webhook = registered(client, receiver, "response.completed", "response.failed")
    response = client.responses.create(model="scripted", input="hello")
    told = receiver.next()
    event = unwrap(client, told, webhook.signing_secret)
    assert isinstance(event, ResponseCompletedWebhookEvent)
    assert (event.data.id, event.object) == (response.id, "event")
    assert abs(event.created_at - time.time()) < 60
    assert told.headers["webhook-id"] == event.id
    assert told.headers["content-type"] == "application/json"


def test_another_secret_does_not_verify(client: OpenAI, receiver: Receiver):
    """Nor does another body, or a telling that came too late."""
    webhook = registered(client, receiver, "thread.created")
    client.beta.threads.create()
    told = receiver.next()
    other = registered(client, receiver, "thread.deleted").signing_secret
    late = told.headers | {"webhook-timestamp": str(int(time.time()) - 301)}
    unwrap(client, told, webhook.signing_secret)
    for body, headers, secret in (
        (told.body, told.headers, other),
        (told.body + b" ", told.headers, webhook.signing_secret),
        (told.body, late, webhook.signing_secret),
    ):
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.unwrap(body, headers, secret=secret)


def test_another_projects_webhook_hears_nothing(live: Live, client: OpenAI, receiver: Receiver):
    """A webhook is told of its own project alone."""
    with live.client(project="proj_elsewhere") as foreign:
        webhook = registered(foreign, receiver, "thread.created")
        client.beta.threads.create()
        thread = foreign.beta.threads.create().id
        assert receiver.next().event["data"]["id"] == thread
        foreign.webhooks.delete(webhook.id)
    assert receiver.told.empty()


# registering


def test_a_webhook_is_registered(client: OpenAI, receiver: Receiver):
    """Its secret is shown when it is made, and only hinted at later."""
    webhook = registered(client, receiver, "thread.created")
    assert webhook.signing_secret.startswith("whsec_")
    assert webhook.id.startswith("whep_")
    shown = client.webhooks.retrieve(webhook.id)
    assert shown.url == receiver.url
    assert shown.signing_secret_hint is not None
    assert webhook.signing_secret not in shown.model_dump_json()
    assert shown.signing_secret_hint[-4:] == webhook.signing_secret[-4:]


def test_webhooks_are_listed_newest_first(client: OpenAI, receiver: Receiver):
    """In pages, without their secrets."""
    made = [registered(client, receiver, "thread.created").id for _ in range(3)]
    first = client.webhooks.list(limit=2)
    assert [each.id for each in first.data] == [made[2], made[1]]
    rest = client.webhooks.list(limit=2, after=made[1])
    assert [each.id for each in rest.data] == [made[0]]
    assert [each.id for each in client.webhooks.list(limit=1)] == made[::-1]


def test_a_webhook_is_changed(client: OpenAI, receiver: Receiver):
    """Each field by itself; from then on it hears what it wants now, where it is now."""
    webhook = registered(client, receiver, "thread.deleted").id
    with Receiver() as other:
        changed = client.webhooks.update(webhook, name="other", url=other.url)
        assert (changed.name, changed.event_types) == ("other", ["thread.deleted"])
        client.webhooks.update(webhook, event_types=["thread.created"])  # type: ignore[list-item]
        thread = client.beta.threads.create().id
        assert other.next().event["data"]["id"] == thread
    assert receiver.told.empty()


def test_a_deleted_webhook_is_told_nothing(client: OpenAI, receiver: Receiver):
    """And is not found any more."""
    webhook = registered(client, receiver, "thread.created").id
    deleted = client.webhooks.delete(webhook)
    assert (deleted.id, deleted.deleted) == (webhook, True)
    for act in (client.webhooks.retrieve, client.webhooks.delete):
        with pytest.raises(openai.NotFoundError, match=f"No webhook endpoint found.*{webhook}"):
            act(webhook)


def test_the_event_types_are_listed(client: OpenAI):
    """OpenAI's own for responses, and those of threads."""
    assert client.webhooks.event_types.list().data == ALL


def test_a_rotated_secret_signs(client: OpenAI, receiver: Receiver):
    """At once and alone, or beside the old one for a day."""
    first = registered(client, receiver, "thread.created")
    second = client.webhooks.rotate_secret(first.id, keep_old_secret_active_for_24_hours=True)
    assert second.signing_secret != first.signing_secret
    client.beta.threads.create()
    told = receiver.next()
    unwrap(client, told, first.signing_secret)
    unwrap(client, told, second.signing_secret)
    third = client.webhooks.rotate_secret(first.id)
    client.beta.threads.create()
    told = receiver.next()
    unwrap(client, told, third.signing_secret)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        unwrap(client, told, second.signing_secret)


def test_a_sample_of_each_event_is_sent(client: OpenAI, receiver: Receiver):
    """As a test of the webhook, signed, whatever it wants to hear."""
    webhook = registered(client, receiver, "thread.created")
    for type in ALL:
        result = client.webhooks.test(webhook.id, event_type=type)
        event = unwrap(client, receiver.next(), webhook.signing_secret)
        assert (result.status_code, result.event_type, event.type) == (200, type, type)
        assert event.data.id.startswith(PREFIXES[type.split(".")[-2]])


def test_a_test_tells_what_was_answered(client: OpenAI, receiver: Receiver):
    """Any status, once; where nobody answers, that is said."""
    webhook = registered(client, receiver, "thread.created")
    receiver.reply = Reply(500)
    assert client.webhooks.test(webhook.id, event_type="response.completed").status_code == 500
    assert receiver.told.qsize() == 1
    with Receiver() as gone:
        client.webhooks.update(webhook.id, url=gone.url)
    act = lambda: client.webhooks.test(webhook.id, event_type="response.completed")  # noqa: E731
    assert refusal(act) == (None, "webhook_unreachable")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "not a url",
        "http://",
        "https://user:secret@example.com/",
        "http://example.com:99999/",
        "http://example.com/#part",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://0.0.0.0:80/",
        "http://100.100.100.200/",
    ],
)
def test_a_url_that_cannot_be_told_is_refused(client: OpenAI, url: str):
    """By name; addresses at which clouds give away secrets are among them."""
    act = lambda: client.webhooks.create(event_types=ALL, name="a", url=url)  # noqa: E731
    assert refusal(act) == ("url", "invalid_value")
    assert client.webhooks.list().data == []


def test_a_number_that_means_such_an_address_is_not_told(client: OpenAI):
    """The address is looked at when it is known: 2852039166 is 169.254.169.254."""
    webhook = client.webhooks.create(event_types=ALL, name="a", url="http://2852039166/").id
    with pytest.raises(openai.BadRequestError, match=r"does not connect to 169\.254"):
        client.webhooks.test(webhook, event_type="response.completed")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"event_types": []}, "event_types"),
        ({"event_types": ["batch.completed"]}, "event_types[0]"),
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"url": None}, "url"),
        ({"secret": "mine"}, "secret"),
    ],
)
def test_bad_webhooks_are_refused(http: httpx2.Client, body: Any, param: str):
    """By name: what Clew never tells of among them."""
    good = {"event_types": ["thread.created"], "name": "a", "url": "http://localhost/"}
    answer = http.post("/v1/webhook_endpoints", json=good | body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("missing", ["event_types", "name", "url"])
def test_a_webhook_needs_all_three(http: httpx2.Client, missing: str):
    """A missing one is named."""
    good = {"event_types": ["thread.created"], "name": "a", "url": "http://localhost/"}
    del good[missing]
    answer = http.post("/v1/webhook_endpoints", json=good)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, missing)


# what was given up


def test_a_webhook_that_is_gone_is_disabled(
    client: OpenAI, http: httpx2.Client, receiver: Receiver
):
    """410 says so; it is told nothing until it is enabled, and then what was due before."""
    webhook = registered(client, receiver, "thread.created").id
    receiver.reply = Reply(410)
    thread = client.beta.threads.create().id
    receiver.next()
    path = f"/v1/webhook_endpoints/{webhook}"
    while (state := http.get(path).json()["clew"])["enabled"]:
        pass
    assert state["disabled_reason"] == "it answered 410 Gone"
    client.beta.threads.create()
    receiver.reply = Reply()
    assert http.post(path, json={"enabled": True}).json()["clew"]["enabled"] is True
    assert receiver.next().event["data"]["id"] == thread
    third = client.beta.threads.create().id
    assert receiver.next().event["data"]["id"] == third


def test_a_dead_letter_is_sent_again(
    live: Live, client: OpenAI, http: httpx2.Client, project: str, receiver: Receiver
):
    """By its id, or with all the others; it is the same event."""
    webhook = registered(client, receiver, "thread.created").id
    give_up(live, project, webhook, client, receiver, 3)
    receiver.reply = Reply()
    dead = dead_letters(http, webhook)
    assert len(dead) == 3
    assert dead[0]["last_error"] == "HTTP 503"
    assert dead_letters(http, webhook, limit=1, after=dead[0]["id"]) == dead[1:2]
    path = f"/v1/webhook_endpoints/{webhook}/dead_letters"
    answer = http.post(f"{path}/{dead[1]['id']}/redeliver")
    assert answer.json() == {"object": "webhook_endpoint.redelivery", "count": 1}
    assert receiver.next().headers["webhook-id"] == dead[1]["id"]
    answer = http.post(f"{path}/{dead[1]['id']}/redeliver")
    assert answer.status_code == 404
    assert "No dead letter found" in answer.json()["error"]["message"]
    assert http.post(f"{path}/redeliver").json()["count"] == 2
    told = {receiver.next().headers["webhook-id"] for _ in range(2)}
    assert told == {dead[0]["id"], dead[2]["id"]}
    assert dead_letters(http, webhook) == []


def give_up(
    live: Live, project: str, webhook: str, client: OpenAI, receiver: Receiver, count: int
) -> None:
    """Let so many events be attempted in vain, then give them up as after the last attempt."""
    receiver.reply = Reply(503, {"retry-after": "3600"})
    for _ in range(count):
        client.beta.threads.create()
    for _ in range(count):
        receiver.next()
    later = live.here.app.server.now() + 2 * 3_600_000
    batch = None
    while batch is None or [each.attempts for each in batch.deliveries] != [1] * count:
        batch = live.here.claim_deliveries("lease", later, later + 1, 100)
        if batch is not None and batch.project != project:
            batch = None  # of another test; it is left to itself from now on
        elif batch is not None:
            live.here.hold_deliveries(batch, 0)  # not all of them may be settled yet
    assert batch.webhook.key == webhook.removeprefix("whep_")
    for each in batch.deliveries:
        each.attempts, each.dead_at = 11, each.created_at
    live.here.settle_deliveries(batch, [], batch.deliveries, batch.webhook)
