"""What happens on a busy thread: five policies, on every route that writes to it.

Said by the request, by the thread, or by the server; decided before the model is asked.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import httpx2
import openai
import pytest
from openai import OpenAI

from clew.options import Options

from .held import Held, until
from .live import Live

POLICIES = ["reject", "queue", "interrupt", "rollback", "steer"]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def model() -> Held:
    return Held()


@pytest.fixture(scope="module")
def busy(new_store_url: Callable[[], str], model: Held) -> Iterator[Live]:
    """A server of the model that can be held."""
    with Live(new_store_url(), cast(Any, model), Options()) as server:
        yield server


@pytest.fixture
def client(busy: Live, project: str) -> Iterator[OpenAI]:
    with busy.client(project=project) as client:
        yield client


@pytest.fixture
def http(busy: Live, project: str) -> Iterator[httpx2.Client]:
    with busy.http(project) as http:
        yield http


class Scene:
    """A thread whose run the model is held in; `question` is what it was asked, `news` what comes
    while it answers."""

    def __init__(self, client: OpenAI, model: Held, first: str = "hold", **thread: Any) -> None:
        self.client, self.model, self.number = client, model, next(_numbers)
        self.question, self.news = f"{first} {self.number}", f"news {self.number}"
        tool: Any = {"type": "function", "function": {"name": "f"}}
        self.assistant = client.beta.assistants.create(model="m", tools=[tool]).id
        asks: Any = [{"role": "user", "content": self.question}]
        self.thread = client.beta.threads.create(extra_body=thread).id
        self.conversation = self.thread.replace("thread_", "conv_")
        run = {"assistant_id": self.assistant, "additional_messages": asks}
        self.active = self.runs.create(self.thread, **run).id
        until(lambda: model.count(self.question))

    @property
    def runs(self) -> Any:
        return self.client.beta.threads.runs

    def send(self, route: str, text: str | None = None, **more: Any) -> Any:
        """Send the news, by one of the routes that write to a thread."""
        text, body = text or self.news, {"extra_body": more}
        said: Any = {"role": "user", "content": text}
        if route == "messages":
            return self.client.beta.threads.messages.create(self.thread, **said, **body)
        if route == "items":
            items = self.client.conversations.items
            return items.create(self.conversation, items=[said], **body)
        if route == "runs":
            news = {"assistant_id": self.assistant, "additional_messages": [said]}
            return self.runs.create(self.thread, **news, **body)
        place = {"conversation": self.conversation, "background": True}
        return self.client.responses.create(model="m", input=text, **place, **body)

    def run(self, id: str | None = None) -> Any:
        return self.runs.retrieve(id or self.active, thread_id=self.thread)

    def ended(self, id: str | None = None) -> str:
        """How a run ends."""
        ends = ("completed", "cancelled", "failed", "expired", "incomplete")
        found = until(lambda: next((r for r in [self.run(id)] if r.status in ends), None))
        return str(found.status)

    def log(self) -> list[str]:
        items = self.client.conversations.items.list(self.conversation, order="asc", limit=100)
        return [item.content[0].text if item.type == "message" else item.type for item in items]

    def comes_to(self, log: list[str]) -> None:
        for _ in range(1_000):
            if self.log() == log:
                return
            time.sleep(0.01)
        assert self.log() == log

    def let(self) -> None:
        self.model.let(self.question)


ANSWERS = {"runs": True, "responses": True, "messages": False, "items": False}
"""Route -> whether what comes by it is answered."""


def check(scene: Scene, route: str, policy: str, came: Callable[[], Any]) -> None:
    """What a policy does with what comes by a route."""
    question, news, model = scene.question, scene.news, scene.model
    if policy == "reject":
        with pytest.raises(openai.BadRequestError) as refused:
            came()
        assert "currently operating" in str(refused.value) or scene.active in str(refused.value)
        assert (model.count(question), model.count(news)) == (1, 0)
        scene.let()
        assert scene.ended() == "completed"
        assert scene.log() == [question, "Half done"]
        assert model.count(news) == 0
        return
    made = came()
    answer = [f"Re: {news}"] if ANSWERS[route] else []
    if policy == "queue":
        assert (scene.log(), model.count(news)) == ([question], 0)
        if ANSWERS[route]:
            assert (made.status, made.clew["place"]) == ("queued", 1)
    if policy == "steer" and ANSWERS[route]:
        assert made.id.partition("_")[2] == scene.active.partition("_")[2]
    if policy in ("queue", "steer"):
        assert (model.count(question), model.count(news)) == (1, 0)
        scene.let()
    if policy == "steer":
        answer = [f"Re: {news}"]
    before = {"rollback": [], "interrupt": [question, "Half"]}.get(policy, [question, "Half done"])
    whole = [*before, news, *answer]
    scene.comes_to(whole)
    ends = "completed" if policy in ("queue", "steer") else "cancelled"
    assert scene.ended() == ends
    if answer:
        assert scene.ended(f"run_{made.id.partition('_')[2]}" if ANSWERS[route] else None) == (
            "completed"
        )
    assert (model.count(question), model.count(news)) == (1, len(answer))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("route", ANSWERS)
def test_a_request_says_what_happens(client: OpenAI, model: Held, route: str, policy: str):
    """On each route, each policy: decided at once, and no model is asked before its turn."""
    scene = Scene(client, model)
    check(scene, route, policy, lambda: scene.send(route, on_busy=policy))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("route", ANSWERS)
def test_a_thread_says_what_happens(client: OpenAI, model: Held, route: str, policy: str):
    """Where the request does not: what the thread was made with."""
    scene = Scene(client, model, on_busy=policy)
    check(scene, route, policy, lambda: scene.send(route))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("route", ANSWERS)
def test_the_server_says_what_happens(
    busy: Live, client: OpenAI, model: Held, route: str, policy: str
):
    """Where neither request nor thread does."""
    scene = Scene(client, model)
    busy.here.app.server.on_busy = policy
    try:
        check(scene, route, policy, lambda: scene.send(route))
    finally:
        busy.here.app.server.on_busy = "reject"


def test_the_server_may_say_it_by_project(busy: Live, client: OpenAI, model: Held, project: str):
    """What it says of one project is not so in another."""
    server = busy.here.app.server
    server.on_busy_in = {project: "queue"}
    try:
        scene = Scene(client, model)
        check(scene, "runs", "queue", lambda: scene.send("runs"))
        assert server.busy("proj_other", None).policy(None) == "reject"
    finally:
        server.on_busy_in = {}


def test_a_request_overrides_its_thread_and_that_the_server(
    busy: Live, client: OpenAI, model: Held
):
    """The nearest one that says something counts."""
    scene = Scene(client, model, on_busy="reject")
    busy.here.app.server.on_busy = "interrupt"
    try:
        with pytest.raises(openai.BadRequestError):
            scene.send("messages")
        check(scene, "runs", "queue", lambda: scene.send("runs", on_busy="queue"))
    finally:
        busy.here.app.server.on_busy = "reject"


def test_the_setting_of_a_thread_can_be_changed(client: OpenAI, model: Held):
    """By either face, also while it is busy, and both show it; a new thread's by its first run."""
    scene = Scene(client, model)
    changed: Any = client.beta.threads.update(scene.thread, extra_body={"on_busy": "queue"})
    assert changed.clew["on_busy"] == "queue"
    shown: Any = client.conversations.retrieve(scene.conversation)
    assert shown.clew["on_busy"] == "queue"
    scene.send("messages")
    shown = client.conversations.update(
        scene.conversation, metadata={}, extra_body={"on_busy": "reject"}
    )
    assert shown.clew["on_busy"] == "reject"
    with pytest.raises(openai.BadRequestError):
        scene.send("messages")
    scene.let()
    thread: Any = {"on_busy": "steer", "messages": [{"role": "user", "content": "hi"}]}
    run = client.beta.threads.create_and_run(assistant_id=scene.assistant, thread=thread)
    made: Any = client.beta.threads.retrieve(run.thread_id)
    assert made.clew["on_busy"] == "steer"
    made = client.conversations.create(extra_body={"on_busy": "rollback"})
    assert made.clew["on_busy"] == "rollback"


def test_an_unknown_policy_is_refused_by_name(client: OpenAI, model: Held):
    """On every route that takes one, and nothing is written."""
    scene = Scene(client, model)
    acts: list[Callable[[], Any]] = [
        lambda: client.beta.threads.create(extra_body={"on_busy": "wait"}),
        lambda: client.beta.threads.update(scene.thread, extra_body={"on_busy": "wait"}),
        lambda: client.conversations.create(extra_body={"on_busy": "wait"}),
        lambda: client.conversations.update(
            scene.conversation, metadata={}, extra_body={"on_busy": "wait"}
        ),
        *(partial(scene.send, route, on_busy="wait") for route in ANSWERS),
    ]
    for act in acts:
        with pytest.raises(openai.BadRequestError) as refused:
            act()
        assert refused.value.param == "on_busy"
        assert refused.value.code == "invalid_value"
    thread: Any = {"on_busy": "wait"}
    with pytest.raises(openai.BadRequestError) as refused:
        client.beta.threads.create_and_run(assistant_id=scene.assistant, thread=thread)
    assert refused.value.param == "thread.on_busy"
    scene.let()
    assert scene.ended() == "completed"
    assert scene.log() == [scene.question, "Half done"]


# a run that waits for its client


@pytest.mark.parametrize("policy", ["queue", "interrupt", "rollback", "steer"])
@pytest.mark.parametrize("route", ANSWERS)
def test_a_run_that_waits_for_its_client(client: OpenAI, model: Held, route: str, policy: str):
    """Interrupting ends it at once; whoever steers or queues waits until its outputs are there."""
    scene = Scene(client, model, "call")
    paused = until(lambda: next((r for r in [scene.run()] if r.required_action), None))
    made = scene.send(route, on_busy=policy)
    answer = [f"Re: {scene.news}"] if ANSWERS[route] else []
    if policy in ("interrupt", "rollback"):
        assert scene.run().status == "cancelled"
        before = [scene.question, "function_call"] if policy == "interrupt" else []
        scene.comes_to([*before, scene.news, *answer])
        with pytest.raises(openai.BadRequestError, match="do not accept tool outputs"):
            submit(scene, paused)
        return
    if ANSWERS[route]:
        assert (made.status, made.clew["place"]) == ("queued", 1)
    assert scene.run() == paused
    submit(scene, paused)
    turn = [scene.question, "function_call", "function_call_output", "Re: function_call_output"]
    scene.comes_to([*turn, scene.news, *answer])
    assert scene.ended() == "completed"


def submit(scene: Scene, paused: Any) -> Any:
    calls = paused.required_action.submit_tool_outputs.tool_calls
    outputs: Any = [{"tool_call_id": call.id, "output": "ok"} for call in calls]
    return scene.runs.submit_tool_outputs(paused.id, thread_id=scene.thread, tool_outputs=outputs)
