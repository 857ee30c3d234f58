"""Streams that come back: from any event on, during a run and after it, at any process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.types.beta import AssistantStreamEvent

from clew.core.ids import thread_of_run
from clew.providers.catalog import Catalog
from clew.testing.upstream import Reply, Upstream, says

from .held import Held, until
from .live import Live, run
from .served import serving
from .test_busy import Scene

PROJECT = "proj_rejoined"
HEADERS = {"openai-project": PROJECT}
TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}

Told = tuple[str, bytes]
"""An event: its id, and all of its bytes."""


@pytest.fixture(scope="module")
def model() -> Held:
    return Held()


@pytest.fixture(scope="module")
def held(new_store_url: Callable[[], str], model: Held) -> Iterator[Live]:
    with Live(new_store_url(), cast(Any, model)) as server:
        yield server


@pytest.fixture
def scene(held: Live, model: Held, project: str) -> Iterator[Scene]:
    with held.client(project=project) as client:
        yield Scene(client, model, on_busy="queue")


def events_of(stream: bytes) -> list[Told]:
    """The events of a stream, by their ids."""
    blocks = stream.split(b"\n\n")[:-1]
    return [(block.split(b"\nid: ")[1].split(b"\n")[0].decode(), block) for block in blocks]


def rejoined(http: httpx2.Client, path: str, after: str | None = None, **query: Any) -> list[Told]:
    """A stream that was gone on with."""
    headers = {} if after is None else {"last-event-id": after}
    answer = http.get(path, headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return events_of(answer.content)


def begun(http: httpx2.Client, text: str, **settings: Any) -> tuple[str, list[Told]]:
    """A run with its thread, streamed to its end: where it is, and what was told."""
    assistant = http.post("/v1/assistants", json={"model": "scripted", **settings}).json()["id"]
    thread = {"messages": [{"role": "user", "content": text}]}
    body = {"assistant_id": assistant, "thread": thread, "stream": True}
    stream = http.post("/v1/threads/runs", json=body).content
    thread_id = stream.split(b'"thread_id":"')[1].split(b'"')[0].decode()
    [id] = [run["id"] for run in http.get(f"/v1/threads/{thread_id}/runs").json()["data"]]
    return f"/v1/threads/{thread_id}/runs/{id}", events_of(stream)


@pytest.mark.parametrize("text", ["hello", "weather in Rome and Oslo", "break", "limit"])
def test_every_event_has_a_number_to_go_on_from(http: httpx2.Client, text: str):
    """Whatever the last event that came, the rest is what would have come: by the header, which a
    browser sends by itself, and by the query."""
    path, told = begun(http, text, tools=[TOOL])
    assert [id for id, _ in told] == [str(number) for number in range(len(told))]
    assert told[0][1].startswith(b"event: thread.created\n")
    assert told[-1][1].startswith(b"event: done\n")
    run_told = told[1:]
    assert rejoined(http, f"{path}/events") == run_told
    for number in range(len(told) + 1):
        rest = run_told[number:]
        assert rejoined(http, f"{path}/events", str(number)) == rest
        assert rejoined(http, f"{path}/events", starting_after=number) == rest
    assert rejoined(http, f"{path}/events", "2", starting_after=1) == run_told[2:]


def test_each_turn_of_a_run_has_its_own_numbers(http: httpx2.Client):
    """Behind the turn's own, so that no number of one is mistaken for one of another; without a
    number, it is the newest turn that is told."""
    path, first = begun(http, "weather in Rome", tools=[TOOL])
    action = http.get(path).json()["required_action"]["submit_tool_outputs"]
    outputs = [{"tool_call_id": call["id"], "output": "sunny"} for call in action["tool_calls"]]
    body = {"tool_outputs": outputs, "stream": True}
    second = events_of(http.post(f"{path}/submit_tool_outputs", json=body).content)
    turn = second[0][0].partition(".")[0]
    assert [id for id, _ in second] == [f"{turn}.{n}" for n in range(1, len(second) + 1)]
    assert second[0][1].startswith(b"event: thread.run.step.completed\n")
    assert rejoined(http, f"{path}/events") == second
    for number, (id, _) in enumerate(second, 1):
        assert rejoined(http, f"{path}/events", id) == second[number:]
    assert rejoined(http, f"{path}/events", starting_after="0") == first[1:]
    for place in ("1.0", f"{int(turn) - 1}.0", f"{int(turn) + 1}.0", "999999.3"):
        refused = http.get(f"{path}/events", params={"starting_after": place})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "starting_after")


@pytest.mark.parametrize("bad", ["x", "-1", "1.", ".1", "1.2.3", "9" * 16, "1 2"])
def test_what_is_no_number_is_refused_by_name(http: httpx2.Client, bad: str):
    """Of a run, and of a response."""
    path, _ = begun(http, "hello")
    request = {"model": "scripted", "input": "hello", "background": True, "stream": True}
    created = http.post("/v1/responses", json=request).content
    response = created.split(b'"id":"')[1].split(b'"')[0].decode()
    places = [(f"{path}/events", {}), (f"/v1/responses/{response}", {"stream": "true"})]
    for place, query in places:
        refused = http.get(place, headers={"last-event-id": bad}, params=query)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "Last-Event-ID")
    refused = http.get(f"{path}/events", params={"starting_after": bad})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "starting_after")


def test_steps_show_what_is_asked_for(http: httpx2.Client):
    """`include` is taken here too, and anything else refused."""
    path, told = begun(http, "hello")
    shown = "step_details.tool_calls[*].file_search.results[*].content"
    assert rejoined(http, f"{path}/events", **{"include[]": shown}) == told[1:]
    refused = http.get(f"{path}/events", params={"include[]": "everything"})
    assert refused.status_code == 400
    assert http.get(f"{path[:-1]}x/events").status_code == 404


def test_the_official_client_reads_a_rejoined_run(client: OpenAI, http: httpx2.Client):
    """With its own stream class, which skips the ids."""
    path, told = begun(http, "hello")
    events: Any = client.get(
        f"{path.removeprefix('/v1')}/events",
        cast_to=cast(Any, AssistantStreamEvent),
        stream=True,
        stream_cls=openai.Stream[AssistantStreamEvent],
    )
    names = [event.event for event in events]
    assert names[0] == "thread.run.created"
    assert names[-1] == "thread.run.completed"
    assert len(names) == len(told) - 2


def test_a_response_goes_on_after_the_last_event(http: httpx2.Client):
    """The ids are its sequence numbers; the header does what `starting_after` does."""
    body = {"model": "scripted", "input": "hello", "background": True, "stream": True}
    told = events_of(http.post("/v1/responses", json=body).content)
    assert [id for id, _ in told] == [str(number) for number in range(len(told))]
    for id, block in told:
        assert b'"sequence_number":%b,' % id.encode() in block
    response = told[0][1].split(b'"id":"')[1].split(b'"')[0].decode()
    path = f"/v1/responses/{response}"
    for number in range(len(told)):
        rest = told[number + 1 :]
        assert rejoined(http, path, str(number), stream="true") == rest
        assert rejoined(http, path, stream="true", starting_after=number) == rest
    assert rejoined(http, path, "3", stream="true", starting_after=1) == told[4:]


def test_a_response_without_background_is_not_rejoined(http: httpx2.Client):
    """As OpenAI refuses it."""
    answer = http.post("/v1/responses", json={"model": "scripted", "input": "hello"}).json()
    refused = http.get(f"/v1/responses/{answer['id']}", params={"stream": "true"})
    assert refused.json()["error"]["message"] == (
        "This response cannot be streamed because it was not created with background=true."
    )


# runs under way


def test_a_run_is_joined_while_the_model_answers(scene: Scene, held: Live, project: str):
    """Who joins is told what was said, then what is said."""
    path = f"/v1/threads/{scene.thread}/runs/{scene.active}/events"
    with held.http(project) as http, http.stream("GET", path) as response:
        pieces = response.iter_raw()
        said = b""
        while b'"Half"' not in said:
            said += next(pieces)
        scene.let()
        whole = said + b"".join(pieces)
        assert b'" done"' in whole
        assert events_of(whole) == rejoined(http, path)


def test_a_run_in_line_is_joined(scene: Scene, held: Live, model: Held, project: str):
    """It is told at once as queued, with its place, then as it goes on."""
    waiting = scene.send("runs")
    path = f"/v1/threads/{scene.thread}/runs/{waiting.id}/events"
    with held.http(project) as http, http.stream("GET", path) as response:
        pieces = response.iter_raw()
        said = b""
        while b"thread.run.queued" not in said:
            said += next(pieces)
        assert b'"place":1' in said
        assert model.count(scene.news) == 0
        scene.let()
        whole = said + b"".join(pieces)
        assert events_of(whole) == rejoined(http, path)
        assert b"thread.run.completed" in whole


# other processes


class Joined:
    """A stream as far as it was read."""

    def __init__(self, response: httpx2.Response) -> None:
        self.said = b""
        self._pieces = response.aiter_raw()

    async def until(self, word: bytes) -> bytes:
        while word not in self.said or not self.said.endswith(b"\n\n"):
            self.said += await anext(self._pieces)
        return self.said

    async def whole(self) -> bytes:
        async for piece in self._pieces:
            self.said += piece
        return self.said


def test_a_run_in_line_is_joined_at_another_process(
    new_store_url: Callable[[], str], tmp_path: Path
):
    """It is told at once as queued there too, and then the same as where it waits."""
    url = new_store_url()

    async def main() -> None:
        first = Reply(says("Hel", "lo").pieces[:2], ending="hang")
        async with Upstream(first, says("Good", "bye")) as upstream:
            flags = ("--store", url, "--port", "0", "--upstream", upstream.base_url)
            with (
                serving(*flags, folder=tmp_path) as one,
                Live(url, Catalog(upstream.base_url)) as two,
            ):
                here = httpx2.AsyncClient(base_url=one.url, headers=HEADERS, timeout=30)
                there = httpx2.AsyncClient(base_url=two.url, headers=HEADERS, timeout=30)
                async with here, there:
                    made = await here.post("/v1/assistants", json={"model": "m"})
                    assistant = made.json()["id"]
                    thread = (await here.post("/v1/threads", json={})).json()["id"]
                    runs = f"/v1/threads/{thread}/runs"
                    asks = [{"role": "user", "content": "hi"}]
                    body = {"assistant_id": assistant, "additional_messages": asks}
                    active = (await here.post(runs, json=body)).json()["id"]
                    waits = body | {"on_busy": "queue", "stream": True}
                    async with here.stream("POST", runs, json=waits) as response:
                        waiting = Joined(response)
                        said = await waiting.until(b"thread.run.queued")
                        id = said.split(b'"id":"')[1].split(b'"')[0].decode()
                        async with there.stream("GET", f"{runs}/{id}/events") as joined:
                            other = Joined(joined)
                            assert b'"place":1' in await other.until(b"thread.run.queued")
                            await there.post(f"{runs}/{active}/cancel")
                            whole = await waiting.whole()
                            assert events_of(await other.whole())[2:] == events_of(whole)[2:]
                    assert b"thread.run.completed" in whole
                    again = await there.get(f"{runs}/{id}/events")
                    assert events_of(again.content)[2:] == events_of(whole)[2:]

    run(main())


@pytest.mark.parametrize("face", ["threads", "responses"])
def test_a_stream_comes_back_after_its_process_was_killed(
    new_store_url: Callable[[], str], tmp_path: Path, face: str
):
    """The client goes on with the last id it got at another process, which takes the run over: the
    numbers go on, nothing is told twice, and nothing is missing."""
    url = new_store_url()

    async def main() -> None:
        partly = Reply(says("Hel", "lo").pieces[:2], ending="hang")
        async with Upstream(partly, says("Good", "bye")) as upstream:
            flags = ("--store", url, "--port", "0", "--upstream", upstream.base_url)
            with (
                serving(*flags, folder=tmp_path) as killed,
                Live(url, Catalog(upstream.base_url)) as other,
            ):
                here = httpx2.AsyncClient(base_url=killed.url, headers=HEADERS, timeout=30)
                there = httpx2.AsyncClient(base_url=other.url, headers=HEADERS, timeout=30)
                async with here, there:
                    path, body = await asked(here, face)
                    async with here.stream("POST", path, json=body) as response:
                        reading = Joined(response)
                        told = events_of(await reading.until(b'"lo"'))
                        place = place_of(face, told)
                        until_kept(other, told, b"\xa2lo")
                        killed.kill()
                    last = told[-1][0]
                    query = {} if face == "threads" else {"stream": "true"}
                    again = await there.get(place, headers={"last-event-id": last}, params=query)
                    rest = events_of(again.content)
                    numbers = [int(id) for id, _ in (*told, *rest)]
                    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
                    ending = b"".join(block for _, block in rest)
                    done = b"response.completed" if face == "responses" else b"thread.run.completed"
                    assert done in ending
                    assert ending.index(b'"incomplete"') < ending.index(b'"Good"')
                    whole = await there.get(place, params=query)
                    of_run = told[1:] if face == "threads" else told  # without its thread's
                    assert events_of(whole.content) == [*of_run, *rest]

    run(main())


def until_kept(server: Live, told: list[Told], packed: bytes) -> None:
    """What a client got is on disk a moment later; who is killed before that loses it."""
    key = told[1][1].split(b'"id":"')[1].split(b'"')[0].decode().partition("_")[2]
    place = PROJECT, thread_of_run(key), key, 0
    until(lambda: any(packed in row for _, row in server.here.list_events(*place)))


async def asked(http: httpx2.AsyncClient, face: str) -> tuple[str, dict[str, Any]]:
    """A path and a body that stream an answer, and can be come back to."""
    if face == "responses":
        return "/v1/responses", {"model": "m", "input": "hi", "stream": True, "background": True}
    assistant = (await http.post("/v1/assistants", json={"model": "m"})).json()["id"]
    thread = {"messages": [{"role": "user", "content": "hi"}]}
    return "/v1/threads/runs", {"assistant_id": assistant, "thread": thread, "stream": True}


def place_of(face: str, told: list[Told]) -> str:
    """Where a stream can be gone on with."""
    id = told[1][1].split(b'"id":"')[1].split(b'"')[0].decode()
    if face == "responses":
        return f"/v1/responses/{id}"
    thread = told[1][1].split(b'"thread_id":"')[1].split(b'"')[0].decode()
    return f"/v1/threads/{thread}/runs/{id}/events"
