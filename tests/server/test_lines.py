"""The line of a busy thread, over HTTP: who waits is seen, followed, cancelled and erased."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from clew.options import Options
from clew.testing.upstream import Received, Reply, Upstream, says

from .held import Held, until
from .live import CLIENT, Live, run
from .served import serving
from .test_busy import Scene

_numbers = itertools.count(1)
AT_ONCE = [8, 64]


@pytest.fixture(scope="module")
def model() -> Held:
    return Held()


@pytest.fixture(scope="module")
def held(new_store_url: Callable[[], str], model: Held) -> Iterator[Live]:
    with Live(new_store_url(), cast(Any, model)) as server:
        yield server


@pytest.fixture
def client(held: Live, project: str) -> Iterator[OpenAI]:
    with held.client(project=project) as client:
        yield client


@pytest.fixture
def scene(client: OpenAI, model: Held) -> Scene:
    """A thread whose run the model is held in, and whose newcomers wait in line."""
    return Scene(client, model, on_busy="queue")


# what is seen of it


def test_the_runs_in_line_are_seen_with_their_places(scene: Scene):
    """The list has them, newest first, each with the place it has by now; a run that comes to its
    turn has none."""
    waiting = [scene.send("runs", f"q{n}") for n in range(3)]
    assert [run.clew["place"] for run in waiting] == [1, 2, 3]
    listed = scene.runs.list(scene.thread).data
    assert [run.id for run in listed] == [*[run.id for run in reversed(waiting)], scene.active]
    assert [run.clew.get("place") for run in listed] == [3, 2, 1, None]
    assert [run.status for run in listed] == [*["queued"] * 3, "in_progress"]
    scene.runs.cancel(waiting[0].id, thread_id=scene.thread)
    assert [scene.run(run.id).clew.get("place") for run in waiting] == [None, 1, 2]
    scene.let()
    assert scene.ended(waiting[2].id) == "completed"
    assert "place" not in scene.run(waiting[2].id).clew


def test_a_response_in_line_is_queued(scene: Scene, client: OpenAI):
    """So it is created, and so it is retrieved, until its turn comes."""
    made = scene.send("responses")
    found = client.responses.retrieve(made.id)
    for shown in (made, found):
        assert (shown.status, cast(Any, shown).clew["place"]) == ("queued", 1)
        assert shown.output == []
    scene.let()
    ended = until(lambda: next((r for r in [client.responses.retrieve(made.id)] if r.output), None))
    assert ended.output_text == f"Re: {scene.news}"


def test_create_and_poll_waits_in_line(held: Live, scene: Scene, project: str):
    """The client's own helper comes back when its run has had its turn."""

    async def main() -> None:
        async with held.async_client(project=project) as client:
            asks: Any = [{"role": "user", "content": scene.news}]
            polling = asyncio.create_task(
                client.beta.threads.runs.create_and_poll(
                    thread_id=scene.thread,
                    assistant_id=scene.assistant,
                    additional_messages=asks,
                    poll_interval_ms=5,
                )
            )
            while len((await client.beta.threads.runs.list(scene.thread)).data) < 2:
                await asyncio.sleep(0.01)
            scene.let()
            assert (await polling).status == "completed"

    run(main())
    assert scene.log()[-1] == f"Re: {scene.news}"


@pytest.mark.parametrize("face", ["threads", "responses"])
def test_a_stream_begins_while_its_run_waits(client: OpenAI, scene: Scene, model: Held, face: str):
    """Its first events come at once, the others when its turn has come, in one stream."""
    asks: Any = [{"role": "user", "content": scene.news}]
    if face == "threads":
        events: Any = client.beta.threads.runs.create(
            scene.thread, assistant_id=scene.assistant, additional_messages=asks, stream=True
        )
        names = ["thread.run.created", "thread.run.queued"]
    else:
        events = client.responses.create(
            model="m", conversation=scene.conversation, input=scene.news, stream=True
        )
        names = ["response.created", "response.queued"]
    with events:
        told = [next(iter(events)) for _ in names]
        assert [getattr(event, "event", None) or event.type for event in told] == names
        runs = [event.data if face == "threads" else event.response for event in told]
        assert [(run.status, run.clew["place"]) for run in runs] == [("queued", 1)] * 2
        assert model.count(scene.news) == 0
        scene.let()
        last = list(events)[-1]
        assert (getattr(last, "event", None) or last.type).endswith("completed")
    assert scene.log()[-1] == f"Re: {scene.news}"


# who leaves it


def test_a_run_in_line_is_cancelled(scene: Scene, client: OpenAI, model: Held):
    """At once, and its stream ends with it; its question stays and is read with the next one."""
    asks: Any = [{"role": "user", "content": scene.news}]
    events: Any = client.beta.threads.runs.create(
        scene.thread, assistant_id=scene.assistant, additional_messages=asks, stream=True
    )
    with events:
        waiting = next(iter(events)).data
        ended = scene.runs.cancel(waiting.id, thread_id=scene.thread)
        assert (ended.status, ended.clew.get("place")) == ("cancelled", None)
        assert [event.event for event in events] == ["thread.run.queued", "thread.run.cancelled"]
    last = scene.send("runs", "last")
    scene.let()
    assert scene.ended(last.id) == "completed"
    assert scene.log() == [scene.question, "Half done", scene.news, "last", "Re: last"]
    assert model.count(scene.news) == 0


def test_a_run_cancelled_in_line_is_told_so_ever_after(held: Live, scene: Scene, project: str):
    """It never began, and its stream does not say that it did."""
    waiting = scene.send("runs")
    scene.runs.cancel(waiting.id, thread_id=scene.thread)
    with held.http(project) as http:
        told = http.get(f"/v1/threads/{scene.thread}/runs/{waiting.id}/events").text
    names = [line.removeprefix("event: ") for line in told.splitlines() if "event: " in line]
    assert names == [*(f"thread.run.{s}" for s in ("created", "queued", "cancelled")), "done"]
    scene.let()


def test_the_servers_own_setting(new_store_url: Callable[[], str], project: str):
    """As it is configured."""
    model = Held()
    server = Live(new_store_url(), cast(Any, model), Options(on_busy="queue"))
    with server, server.client(project=project) as client:
        scene = Scene(client, model)
        assert scene.send("runs").status == "queued"
        scene.let()
        scene.comes_to([scene.question, "Half done", scene.news, f"Re: {scene.news}"])


def test_a_background_response_in_line_is_cancelled_or_deleted(
    scene: Scene, client: OpenAI, model: Held
):
    """Neither is ever asked; a deleted one is not found any more."""
    cancelled, deleted = (scene.send("responses", f"{what} {scene.number}") for what in "cd")
    assert client.responses.cancel(cancelled.id).status == "cancelled"
    client.responses.delete(deleted.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(deleted.id)
    last = scene.send("runs")
    assert last.clew["place"] == 1
    scene.let()
    assert scene.ended(last.id) == "completed"
    assert model.count(f"c {scene.number}") == model.count(f"d {scene.number}") == 0


def test_a_message_in_line_is_read_changed_and_erased(scene: Scene, client: OpenAI, model: Held):
    """It is found by its id, but is no part of the log yet; erased it never will be."""
    messages = client.beta.threads.messages
    kept, gone = scene.send("messages", "kept"), scene.send("messages", "gone")
    assert messages.retrieve(gone.id, thread_id=scene.thread) == gone
    messages.update(kept.id, thread_id=scene.thread, metadata={"k": "v"})
    assert gone.id not in [one.id for one in messages.list(scene.thread)]
    assert messages.delete(gone.id, thread_id=scene.thread).deleted
    with pytest.raises(openai.NotFoundError):
        messages.retrieve(gone.id, thread_id=scene.thread)
    scene.let()
    scene.comes_to([scene.question, "Half done", "kept"])
    assert messages.retrieve(kept.id, thread_id=scene.thread).metadata == {"k": "v"}


def test_a_thread_is_erased_with_its_line(scene: Scene, client: OpenAI, model: Held):
    """Streams of those that wait end, and nothing of them is ever asked."""
    asks: Any = [{"role": "user", "content": scene.news}]
    events: Any = client.beta.threads.runs.create(
        scene.thread, assistant_id=scene.assistant, additional_messages=asks, stream=True
    )
    scene.send("messages", "more")
    with events:
        waiting = next(iter(events)).data.id
        assert client.beta.threads.delete(scene.thread).deleted
        assert "thread.run.completed" not in [event.event for event in events]
    with pytest.raises(openai.NotFoundError):
        scene.run(waiting)
    scene.let()
    assert model.count(scene.news) == 0


# requests that are sent again, or on a condition


def test_a_retry_does_not_wait_twice(scene: Scene, client: OpenAI, model: Held):
    """The same key gives the first answer again, its place included; a stream is told again."""
    asks: Any = [{"role": "user", "content": scene.news}]
    again: Any = {
        "thread_id": scene.thread,
        "assistant_id": scene.assistant,
        "additional_messages": asks,
        "extra_headers": {"idempotency-key": scene.news},
    }
    first = scene.runs.create(**again)
    assert scene.runs.create(**again) == first
    assert first.clew["place"] == 1
    message = {"role": "user", "content": "m", "extra_headers": {"idempotency-key": "m"}}
    said = [client.beta.threads.messages.create(scene.thread, **cast(Any, message)) for _ in "ab"]
    assert said[0] == said[1]
    assert len(scene.runs.list(scene.thread).data) == 2
    scene.let()
    scene.comes_to([scene.question, "Half done", scene.news, f"Re: {scene.news}", "m"])
    assert scene.runs.create(**again) == first
    assert model.count(scene.news) == 1


def test_a_stale_condition_keeps_out_of_the_line(scene: Scene, client: OpenAI, model: Held):
    """If-Match is checked before the policy; what matches waits."""
    thread = client.beta.threads.with_raw_response.retrieve(scene.thread)
    tag = thread.headers["etag"]
    for stale, status in ((tag, None), (tag, 412)):
        headers = {"if-match": stale}
        act = client.beta.threads.messages.with_raw_response.create
        said: Any = {"role": "user", "content": "m", "extra_headers": headers}
        if status is None:
            act(scene.thread, **said)
        else:
            with pytest.raises(openai.APIStatusError) as refused:
                act(scene.thread, **said)
            assert refused.value.status_code == status
    scene.let()
    scene.comes_to([scene.question, "Half done", "m"])


def test_what_steers_is_answered_before_the_run_is_over(scene: Scene, client: OpenAI, model: Held):
    """Its stream goes on with the second answer; the run is completed once, after it."""
    events: Any = client.get(
        f"/threads/{scene.thread}/runs/{scene.active}/events",
        cast_to=cast(Any, object),
        stream=True,
        stream_cls=openai.Stream[Any],
    )
    with events:
        scene.send("messages", on_busy="steer")
        assert scene.run().status == "in_progress"
        scene.let()
        told = list(events)
    names = [event["event"] for event in told]
    texts = [event["data"] for event in told if event["event"] == "thread.message.completed"]
    said = [text["content"][0]["text"]["value"] for text in texts]
    assert said == ["Half done", f"Re: {scene.news}"]
    assert names.count("thread.run.completed") == 1
    assert names[-1] == "thread.run.completed"
    assert scene.log() == [scene.question, "Half done", scene.news, f"Re: {scene.news}"]
    assert model.asked[-1] == [scene.question, "Half done", scene.news]


# many at once


def turns(
    route: str, client: AsyncOpenAI, assistant: str, thread: str, text: str, **more: Any
) -> Any:
    """One turn with this question, by a route."""
    asks: Any = [{"role": "user", "content": text}]
    if route == "runs":
        return client.beta.threads.runs.create(
            thread, assistant_id=assistant, additional_messages=asks, extra_body=more
        )
    place: Any = thread.replace("thread_", "conv_")
    return client.responses.create(
        model="m", conversation=place, input=text, background=True, extra_body=more
    )


@pytest.mark.parametrize("count", AT_ONCE)
@pytest.mark.parametrize("route", ["runs", "responses"])
def test_all_that_come_at_once_have_their_turn(
    held: Live, scene: Scene, model: Held, project: str, route: str, count: int
):
    """With `queue`, in the order in which they came, each seeing all before it, answers too."""
    before = len(model.asked)

    async def main() -> list[Any]:
        async with held.async_client(project=project) as client:
            texts = [f"turn {scene.number} {number}" for number in range(count)]
            args = route, client, scene.assistant, scene.thread
            made = await asyncio.gather(*(turns(*args, text, on_busy="queue") for text in texts))
            return [(run.clew["place"], text) for run, text in zip(made, texts, strict=True)]

    came = sorted(run(main()))
    assert [place for place, _ in came] == list(range(1, count + 1))
    assert len(model.asked) == before
    scene.let()
    log = [scene.question, "Half done"]
    for _, text in came:
        log += [text, f"Re: {text}"]
    until(lambda: len(model.asked) == before + count)
    whole = until(lambda: log if log_of(scene) == log else None)
    assert model.asked[before:] == [whole[: 3 + 2 * number] for number in range(count)]


def log_of(scene: Scene) -> list[str]:
    """The whole log, however long."""
    items = scene.client.conversations.items.list(scene.conversation, order="asc", limit=100)
    return [item.content[0].text for item in cast(Any, items)]


@pytest.mark.parametrize("count", AT_ONCE)
@pytest.mark.parametrize("route", ["runs", "responses"])
def test_one_of_all_that_come_at_once_wins(
    held: Live, client: OpenAI, model: Held, project: str, route: str, count: int
):
    """With `reject`: the others are refused in OpenAI's words, and no model is asked for them."""
    assistant = client.beta.assistants.create(model="m").id
    thread = client.beta.threads.create().id
    texts = [f"hold {next(_numbers)} at once" for _ in range(count)]
    before = len(model.asked)

    async def main() -> list[Any]:
        async with held.async_client(project=project) as asking:
            args = route, asking, assistant, thread
            return await asyncio.gather(
                *(turns(*args, text) for text in texts), return_exceptions=True
            )

    made = run(main())
    refused = [one for one in made if isinstance(one, openai.BadRequestError)]
    [won] = [one for one in made if not isinstance(one, Exception)]
    assert len(refused) == count - 1
    key = won.id.partition("_")[2]
    words = (
        f"Thread {thread} already has an active run run_{key}."
        if route == "runs"
        else "Another process is currently operating on this conversation. "
        "Please retry in a few seconds."
    )
    assert {one.body["message"] for one in refused} == {words}
    until(lambda: len(model.asked) > before)
    [asked] = model.asked[before:]
    for text in texts:
        model.let(text)
    until(lambda: client.beta.threads.runs.retrieve(f"run_{key}", thread_id=thread).completed_at)
    assert len(model.asked) == before + 1
    items = client.conversations.items.list(thread.replace("thread_", "conv_"), order="asc")
    assert [item.content[0].text for item in cast(Any, items)] == [*asked, "Half done"]


# two processes


class Echo(Upstream):
    """Answers `Re: ` to what it was asked last; a question that begins with "hold" is held."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def reply_to(self, request: Received) -> Reply:
        question = request.body["messages"][-1]["content"]
        if question.startswith("hold"):
            await self.gate.wait()
        return says(f"Re: {question}")


def test_two_processes_share_one_line(new_store_url: Callable[[], str], tmp_path: Path):
    """64 turns that come by both at once are answered once each, in the order in which they came,
    each to the process that it came by."""
    url = new_store_url()

    async def main() -> None:
        async with Echo() as upstream:
            flags = ("--store", url, "--port", "0", "--upstream", upstream.base_url)
            with serving(*flags, folder=tmp_path) as one, serving(*flags, folder=tmp_path) as two:
                asking = [AsyncOpenAI(**CLIENT, base_url=f"{s.url}/v1") for s in (one, two)]
                place: Any = (await asking[0].conversations.create()).id
                ask: Any = {"model": "m", "conversation": place, "extra_body": {"on_busy": "queue"}}
                first = asyncio.create_task(asking[0].responses.create(input="hold", **ask))
                while not upstream.requests:
                    await asyncio.sleep(0.01)
                waiting = [
                    asyncio.create_task(asking[n % 2].responses.create(input=f"q{n}", **ask))
                    for n in range(64)
                ]
                runs: Any = []
                while len(runs) < 65:
                    page = await asking[1].beta.threads.runs.list(
                        place.replace("conv_", "thread_"), limit=100
                    )
                    runs = page.data
                upstream.gate.set()
                answers = [await first, *await asyncio.gather(*waiting)]
                assert [one.output_text for one in answers] == [
                    "Re: hold",
                    *[f"Re: q{n}" for n in range(64)],
                ]
                items = asking[1].conversations.items.list(place, order="asc", limit=100)
                log = [item.content[0].text async for item in cast(Any, items)]
                places = {f"resp_{run.id[4:]}": run.clew.get("place", 0) for run in runs}
                came = sorted(answers, key=lambda answer: places[answer.id])
                assert log[1::2] == [answer.output_text for answer in came]
                assert log[0::2] == [text.removeprefix("Re: ") for text in log[1::2]]
                asked = [[m["content"] for m in r.body["messages"]] for r in upstream.requests]
                assert asked == [log[: 1 + 2 * number] for number in range(65)]
                for one_client in asking:
                    await one_client.close()

    run(main())


@pytest.mark.parametrize("policy", ["interrupt", "rollback", "steer"])
def test_a_policy_reaches_the_process_that_works(
    new_store_url: Callable[[], str], tmp_path: Path, policy: str
):
    """What comes by one process cuts off, or joins, the run that another one works on."""
    url = new_store_url()

    async def main() -> None:
        async with Echo() as upstream:
            flags = ("--store", url, "--port", "0", "--upstream", upstream.base_url)
            with serving(*flags, folder=tmp_path) as one, serving(*flags, folder=tmp_path) as two:
                here, there = (AsyncOpenAI(**CLIENT, base_url=f"{s.url}/v1") for s in (one, two))
                async with here, there:
                    place: Any = (await here.conversations.create()).id
                    ask: Any = {"model": "m", "conversation": place}
                    first = asyncio.create_task(here.responses.create(input="hold", **ask))
                    while not upstream.requests:
                        await asyncio.sleep(0.01)
                    began, body = await revision(here, place), {"on_busy": policy}
                    second = asyncio.create_task(
                        there.responses.create(input="news", extra_body=body, **ask)
                    )
                    if policy == "steer":
                        runs: Any = here.beta.threads.runs
                        place_of_runs = place.replace("conv_", "thread_")
                        [active] = (await runs.list(place_of_runs)).data
                        while await revision(here, place) == began:
                            await asyncio.sleep(0.01)
                        upstream.gate.set()
                        ended = await asyncio.gather(first, second)
                        assert {answer.id[5:] for answer in ended} == {active.id[4:]}
                    else:
                        assert (await second).output_text == "Re: news"
                        assert (await first).status == "cancelled"
                    items = here.conversations.items.list(place, order="asc")
                    log = [item.content[0].text async for item in cast(Any, items)]
                    before = {"interrupt": ["hold"], "rollback": []}.get(
                        policy, ["hold", "Re: hold"]
                    )
                    assert log == [*before, "news", "Re: news"]

    run(main())


async def revision(client: AsyncOpenAI, conversation: str) -> str:
    """It changes when something comes, also into the line."""
    raw = await client.conversations.with_raw_response.retrieve(conversation)
    return str(raw.headers["etag"])
