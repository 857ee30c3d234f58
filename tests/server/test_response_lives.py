"""What can be done with a response once it is made, or while it is: by the official client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import httpx2
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from clew.core.ids import key_of, thread_of_run
from clew.providers.provider import Abilities, Delta, Finish, ModelRequest, TextDelta, ToolCallDelta

from .live import Live, run
from .test_responses import WEATHER, ask, refusal, said

QUESTION = "What is the code I gave you?"
NOT_BACKGROUND = (
    "This response cannot be streamed because it was not created with background=true.",
    "stream",
    None,
)


def not_found(act: Any) -> str:
    """The sentence of a 404."""
    with pytest.raises(openai.NotFoundError) as refused:
        act()
    return str(refused.value.body["message"])


def until_ended(client: OpenAI, id: str) -> Any:
    response = client.responses.retrieve(id)
    while response.status in ("queued", "in_progress"):
        response = client.responses.retrieve(id)
    return response


# in the background


def test_a_background_response_is_answered_at_once(client: OpenAI):
    """Queued, and later complete; a slow model holds up nobody."""
    response = ask(client, "hello", background=True)
    assert (response.status, response.background, response.output) == ("queued", True, [])
    ended = until_ended(client, response.id)
    assert (ended.status, ended.output_text) == ("completed", "Hello there, dear friend.")
    assert ended.background is True


def test_a_background_response_is_stored(client: OpenAI):
    """It could not be asked for otherwise."""
    message, param, code = refusal(lambda: ask(client, "x", background=True, store=False))
    assert (param, code) == ("background", "unsupported_parameter")
    assert message.startswith("Unsupported parameter: 'background'.")


def test_the_stream_of_a_background_response_is_told_again(client: OpenAI):
    """From any number on, with the same events; after the last there is nothing."""
    stream = client.responses.create(model="scripted", input="hello", background=True, stream=True)
    events = list(stream)
    assert [event.type for event in events[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    assert events[0].response.status == "queued"
    id, last = events[0].response.id, events[-1].sequence_number
    assert list(client.responses.retrieve(id, stream=True)) == events
    for after in (0, 4, last - 1):
        rest = list(client.responses.retrieve(id, stream=True, starting_after=after))
        assert rest == events[after + 1 :]
    for after in (last, last + 100):
        assert list(client.responses.retrieve(id, stream=True, starting_after=after)) == []


def test_a_background_response_is_followed_while_it_goes_on(client: OpenAI):
    """Who comes later gets what was told and what is still to come."""
    stream = client.responses.create(
        model="scripted", input="dictate", background=True, stream=True
    )
    id = next(iter(stream)).response.id
    stream.close()
    follower = iter(client.responses.retrieve(id, stream=True, starting_after=1))
    told = [next(follower)]
    while told[-1].type != "response.output_text.delta":
        told.append(next(follower))
    assert [event.sequence_number for event in told] == [2, 3, 4, 5]
    assert client.responses.cancel(id).status == "cancelled"
    assert [event.type for event in follower][-1] == "response.failed"


def test_the_clients_stream_helper_goes_on_where_it_was(client: OpenAI):
    """`responses.stream(response_id=…, starting_after=…)` gives the rest, and the response."""
    created = client.responses.create(model="scripted", input="count", background=True, stream=True)
    *_, last = created
    id = last.response.id
    with client.responses.stream(response_id=id, starting_after=3) as stream:
        assert min(event.sequence_number for event in stream) == 4
        assert stream.get_final_response().output_text == "one two three four five"


def test_only_a_streamed_background_response_is_told_again(client: OpenAI):
    """OpenAI's sentence for every other; a place in a stream is for a stream."""
    plain = ask(client, "hello")
    assert refusal(lambda: client.responses.retrieve(plain.id, stream=True)) == NOT_BACKGROUND
    quiet = ask(client, "hello", background=True).id
    assert refusal(lambda: client.responses.retrieve(quiet, stream=True)) == NOT_BACKGROUND
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.retrieve(plain.id, extra_query={"starting_after": 1})
    assert refused.value.param == "starting_after"
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.retrieve(plain.id, stream=True, starting_after=-1)
    assert (refused.value.param, refused.value.code) == (
        "starting_after",
        "integer_below_min_value",
    )


# cancelled


def test_a_background_response_is_cancelled(client: OpenAI):
    """At once, for good, and as often as asked; it has said nothing."""
    id = ask(client, "dictate", background=True).id
    cancelled = client.responses.cancel(id)
    assert (cancelled.status, cancelled.output, cancelled.completed_at) == ("cancelled", [], None)
    assert client.responses.cancel(id) == cancelled
    assert client.responses.retrieve(id) == cancelled


@pytest.mark.parametrize(("input", "status"), [("hello", "completed"), ("break", "failed")])
def test_what_is_over_cannot_be_cancelled(client: OpenAI, input: str, status: str):
    """Told in OpenAI's words, and nothing changes."""
    ended = until_ended(client, ask(client, input, background=True).id)
    assert refusal(lambda: client.responses.cancel(ended.id)) == (
        f"Cannot cancel a {status} response.",
        None,
        None,
    )
    assert client.responses.retrieve(ended.id) == ended


def test_a_response_that_is_waited_for_cannot_be_cancelled(client: OpenAI):
    """Nor what does not exist."""
    response = ask(client, "hello")
    message, _, _ = refusal(lambda: client.responses.cancel(response.id))
    assert message == "Cannot cancel a synchronous response."
    assert not_found(lambda: client.responses.cancel("resp_none")) == (
        "Response with id 'resp_none' not found."
    )


def test_a_cancellation_is_retried_by_its_key(client: OpenAI):
    """The same key gets the same answer; another request with it is refused."""
    key = {"Idempotency-Key": "cancel-1"}
    id = ask(client, "dictate", background=True).id
    cancelled = client.responses.cancel(id, extra_headers=key)
    assert client.responses.cancel(id, extra_headers=key) == cancelled
    assert client.responses.cancel(id, extra_headers={"Idempotency-Key": "cancel-2"}) == cancelled
    done = until_ended(client, ask(client, "hello", background=True).id)
    message, _, _ = refusal(lambda: client.responses.cancel(done.id, extra_headers=key))
    assert message == "Cannot cancel a completed response."


def test_a_cancellation_and_an_end_at_once_are_one_of_the_two(client: OpenAI):
    """Whichever came first stands, and everybody is told the same."""

    def race(_: int) -> None:
        id = ask(client, "count", background=True).id
        try:
            told = client.responses.cancel(id).status
        except openai.BadRequestError as refused:
            told = str(refused.body["message"]).split()[-2]
        assert told in ("cancelled", "completed")
        assert client.responses.retrieve(id).status == told

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(race, range(24)))


def test_many_cancel_at_once(client: OpenAI):
    """All are told that it is cancelled."""
    id = ask(client, "dictate", background=True).id
    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda _: client.responses.cancel(id).status, range(12)))
    assert set(told) == {"cancelled"}


# deleted


def test_a_deleted_response_is_gone(client: OpenAI, live: Live, project: str):
    """Nothing leads to it any more, and what was said in its chain is in no thread."""
    response = ask(client, "My code is Z-99.")
    raw = client.responses.with_raw_response.delete(response.id)
    assert raw.http_response.json() == {
        "id": response.id,
        "object": "response.deleted",
        "deleted": True,
        "clew": raw.http_response.json()["clew"],
    }
    assert raw.http_response.json()["clew"]["receipt"]["runs"] == 1
    sentence = f"Response with id '{response.id}' not found."
    for act in (
        lambda: client.responses.retrieve(response.id),
        lambda: client.responses.delete(response.id),
        lambda: client.responses.cancel(response.id),
        lambda: list(client.responses.input_items.list(response.id)),
    ):
        assert not_found(act) == sentence
    message, param, code = refusal(lambda: ask(client, "x", previous_response_id=response.id))
    assert (param, code) == ("previous_response_id", "previous_response_not_found")
    assert message == f"Previous response with id '{response.id}' not found."
    listed: Any = client.get("/threads", cast_to=object)
    assert listed["data"] == []


def test_what_followed_a_deleted_response_stays(client: OpenAI):
    """Later responses of the chain are there, and no longer see what it said."""
    first = ask(client, "My code is Z-99.")
    second = ask(client, "hello", previous_response_id=first.id)
    third = ask(client, "count", previous_response_id=second.id)
    client.responses.delete(first.id)
    assert client.responses.retrieve(third.id) == third
    texts = [item.content[0].text for item in client.responses.input_items.list(third.id)]
    assert texts == ["count", "Hello there, dear friend.", "hello"]
    after = ask(client, QUESTION, previous_response_id=third.id)
    assert "Z-99" not in after.output_text


def test_a_branch_keeps_what_it_shares_with_a_deleted_response(client: OpenAI):
    """A response of another branch still sees its own history."""
    first = ask(client, "My code is Z-99.")
    ask(client, "hello", previous_response_id=first.id)
    branch = ask(client, "count", previous_response_id=first.id)
    client.responses.delete(first.id)
    after = ask(client, QUESTION, previous_response_id=branch.id)
    assert "Z-99" in after.output_text


def test_a_conversation_keeps_its_items(client: OpenAI):
    """A response that is deleted leaves what was said in it."""
    conversation = client.conversations.create().id
    response = ask(client, "hello", conversation=conversation)
    client.responses.delete(response.id)
    assert said(client, conversation) == ["hello", "Hello there, dear friend."]
    assert not_found(lambda: client.responses.retrieve(response.id)).startswith("Response with id")
    assert ask(client, "count", conversation=conversation).status == "completed"


def test_a_response_is_deleted_while_it_is_made(client: OpenAI):
    """Its model is let go of, its conversation is free, its followers are told the end."""
    conversation = client.conversations.create().id
    stream = client.responses.create(
        model="scripted",
        input="dictate",
        conversation=conversation,
        background=True,
        stream=True,
    )
    events = iter(stream)
    id = next(events).response.id
    client.responses.delete(id)
    assert all(event.type != "response.completed" for event in events)
    assert ask(client, "hello", conversation=conversation).status == "completed"
    assert said(client, conversation)[0] == "dictate"


def test_a_chain_is_deleted_while_it_is_made(client: OpenAI, live: Live, project: str):
    """Nothing is left of it, and what its model says later is nowhere."""
    id = ask(client, "dictate", background=True).id
    client.responses.delete(id)
    key = thread_of_run(key_of("run", id) or "") or ""
    assert not_found(lambda: client.beta.threads.retrieve(f"thread_{key}")).startswith("No thread")
    while live.here.app.server.executor.following(key_of("run", id) or ""):
        pass
    assert not_found(lambda: client.responses.retrieve(id)).startswith("Response with id")


def test_a_deletion_is_retried_by_its_key(client: OpenAI, http: httpx2.Client):
    """The same key gets the first answer, from a chain and from a conversation."""
    conversation = client.conversations.create().id
    for response in (ask(client, "hello"), ask(client, "hello", conversation=conversation)):
        key = {"Idempotency-Key": f"delete-{response.id}"}
        first = http.delete(f"/v1/responses/{response.id}", headers=key)
        again = http.delete(f"/v1/responses/{response.id}", headers=key)
        assert first.status_code == again.status_code == 200
        assert first.content == again.content
        assert again.headers["idempotent-replayed"] == "true"


def test_many_delete_at_once(client: OpenAI, http: httpx2.Client):
    """One of them did it."""
    id = ask(client, "hello").id
    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda _: http.delete(f"/v1/responses/{id}").status_code, range(12)))
    assert sorted(told) == [200] + [404] * 11


def test_a_response_of_another_project_is_not_there(client: OpenAI, live: Live):
    """Whatever one wants to do with it."""
    id = ask(client, "dictate", background=True).id
    with live.client(project="proj_stranger") as stranger:
        for act in (
            lambda: stranger.responses.retrieve(id),
            lambda: stranger.responses.delete(id),
            lambda: stranger.responses.cancel(id),
            lambda: list(stranger.responses.input_items.list(id)),
        ):
            assert not_found(act) == f"Response with id '{id}' not found."
    assert client.responses.cancel(id).status == "cancelled"


# what it was made from


def test_the_input_items_of_a_response(client: OpenAI):
    """The history before it, then its own input; what came later is not among them."""
    first = ask(client, "hello")
    second = ask(
        client,
        [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "count"}],
        previous_response_id=first.id,
    )
    ask(client, "hello", previous_response_id=second.id)
    items = client.responses.input_items.list(second.id, order="asc")
    assert [item.content[0].text for item in items] == [
        "hello",
        "Hello there, dear friend.",
        "Be brief.",
        "count",
    ]
    newest_first = [item.id for item in client.responses.input_items.list(second.id, limit=1)]
    assert newest_first == [item.id for item in items][::-1]
    [page] = client.responses.input_items.list(
        second.id, order="asc", after=newest_first[-1], limit=1, include=[]
    ).data
    assert page.id == newest_first[-2]
    assert [item.id for item in client.responses.input_items.list(first.id)] == newest_first[-1:]


def test_the_input_items_of_a_response_in_a_conversation(client: OpenAI):
    """All of the conversation up to its own input."""
    conversation = client.conversations.create(
        items=[{"type": "message", "role": "user", "content": "before"}]
    ).id
    response = ask(client, "hello", conversation=conversation)
    ask(client, "count", conversation=conversation)
    items = client.responses.input_items.list(response.id, order="asc")
    assert [item.content[0].text for item in items] == ["before", "hello"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"order": "up"}, "order"),
        ({"include[]": "all"}, "include[0]"),
        ({"page": 2}, "page"),
    ],
)
def test_a_wrong_page_of_input_items_is_refused(client: OpenAI, query: dict[str, Any], param: str):
    """By the name of the parameter."""
    id = ask(client, "hello").id
    _, named, _ = refusal(lambda: client.responses.input_items.list(id, extra_query=query))
    assert named == param
    with pytest.raises(openai.NotFoundError):
        client.responses.input_items.list(id, after="msg_none")


def test_an_item_of_the_history_can_be_referred_to(client: OpenAI):
    """The model sees it where it stands; what is not in the history is not found."""
    first = ask(client, "My code is Z-99.")
    reference: Any = {"type": "item_reference", "id": first.output[0].id}
    asked: Any = {"role": "user", "content": QUESTION}
    second = ask(client, [reference, asked], previous_response_id=first.id)
    assert "Z-99" in second.output_text
    items = client.responses.input_items.list(second.id, order="asc").data
    assert [item.content[0].text for item in items] == [
        "My code is Z-99.",
        first.output_text,
        QUESTION,
    ]
    later: Any = {"type": "item_reference", "id": second.output[0].id}
    for options in ({}, {"previous_response_id": first.id}):
        with pytest.raises(openai.NotFoundError) as refused:
            ask(client, [later, asked], **options)
        assert (refused.value.body["message"], refused.value.param) == (
            f"Item with id '{later['id']}' not found. Items are not persisted when `store` is set "
            "to false. Try again with `store` set to true, or remove this item from your input.",
            "input",
        )


def test_the_tokens_of_an_input_are_counted(client: OpenAI):
    """What was said before counts, and instructions and tools do; nothing is stored."""
    count = client.responses.input_tokens.count
    short = count(model="scripted", input="hello").input_tokens
    assert 0 < short < count(model="scripted", input="hello " * 50).input_tokens
    assert short < count(model="scripted", input="hello", instructions="Be brief.").input_tokens
    assert short < count(model="scripted", input="hello", tools=[WEATHER]).input_tokens
    first = ask(client, "count")
    onward = count(model="scripted", input="hello", previous_response_id=first.id).input_tokens
    assert onward > short
    assert count(input="hello").input_tokens == short
    conversation = client.conversations.create(
        items=[{"type": "message", "role": "user", "content": "count " * 30}]
    ).id
    assert count(model="scripted", conversation=conversation).input_tokens > 30
    assert said(client, conversation) == ["count " * 30]
    assert refusal(lambda: count(model="scripted"))[2] == "missing_required_parameter"
    refused = refusal(lambda: count(input="x", previous_response_id="resp_none"))
    assert refused[2] == "previous_response_not_found"


def test_a_history_is_compacted(client: OpenAI):
    """The items that come back stand for it as input; it stays as it was."""
    first = ask(client, "My code is Z-99.")
    compacted = client.responses.compact(model="scripted", previous_response_id=first.id)
    assert (compacted.object, compacted.output[-1].type) == ("response.compaction", "compaction")
    assert compacted.usage.output_tokens > 0
    output: Any = [item.to_dict() for item in compacted.output]
    after = ask(client, [*output, {"role": "user", "content": QUESTION}])
    assert after.status == "completed"
    assert client.responses.retrieve(first.id) == first
    alone = client.responses.compact(model="scripted", input="My code is Z-99.")
    assert alone.id != compacted.id
    assert refusal(lambda: client.responses.compact(model="scripted"))[2] == (
        "missing_required_parameter"
    )
    assert not_found(lambda: client.responses.retrieve(compacted.id))


# what it is asked with


def test_a_prompt_is_not_found(client: OpenAI):
    """Clew has none of its own, and the model knows none."""
    for options in ({}, {"input": "x"}):
        sentence = not_found(
            lambda options=options: client.responses.create(
                model="scripted", prompt={"id": "pmpt_1"}, **options
            )
        )
        assert sentence == "Prompt with id 'pmpt_1' not found."


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [{"type": "image_generation"}]}, "tools[0].type"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"include": ["message.output_text.logprobs"]}, "include[0]"),
        ({"moderation": {"model": "omni-moderation-latest"}}, "moderation"),
        ({"access_programs": {"cyber": "daybreak_red"}}, "access_programs"),
        ({"image": {"context_compression": "enabled"}}, "image"),
    ],
)
def test_what_the_model_cannot_do_is_refused_before_anything_is_stored(
    client: OpenAI, options: dict[str, Any], param: str
):
    """By the name of the parameter."""
    _, named, code = refusal(lambda: ask(client, "hello", **options))
    assert (named, code) == (param, "unsupported_parameter")
    listed: Any = client.get("/threads", cast_to=object)
    assert listed["data"] == []


def test_everything_that_asks_for_nothing_is_let_pass(client: OpenAI):
    """Hints and defaults are taken, and shown again where the response has a place for them."""
    response = ask(
        client,
        "hello",
        background_options={"completion_window": "soonest"},
        image={"context_compression": "auto"},
        access_programs={"cyber": "standard"},
        prompt_cache_key="k",
        prompt_cache_options={"mode": "implicit"},
        prompt_cache_retention="24h",
        service_tier="fast",
        safety_identifier="s",
        max_tool_calls=2,
        top_logprobs=0,
        parallel_tool_calls=False,
        context_management=[{"type": "compaction", "compact_threshold": 1000}],
    )
    assert (response.prompt_cache_key, response.max_tool_calls) == ("k", 2)
    assert response.prompt_cache_options.ttl == "30m"


def test_no_query_is_passed_over(http: httpx2.Client):
    """`beta`, which the SDK's beta face sends, is known; nothing else is."""
    asked = {"model": "scripted", "input": "hello"}
    made = http.post("/v1/responses?beta=true", json=asked)
    assert made.status_code == 200
    one = f"/v1/responses/{made.json()['id']}"
    for method, path in (
        ("POST", "/v1/responses"),
        ("POST", "/v1/responses/input_tokens"),
        ("POST", "/v1/responses/compact"),
        ("GET", one),
        ("GET", f"{one}/input_items"),
        ("POST", f"{one}/cancel"),
        ("DELETE", one),
    ):
        refused = http.request(method, f"{path}?colour=red", json=asked)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "colour")
    assert http.get(f"{one}?beta=true").status_code == 200


def test_an_answer_is_parsed(client: OpenAI):
    """`responses.parse` gets an object of the type it asks for."""

    class Place(BaseModel):
        city: str
        people: int

    response = client.responses.parse(model="scripted", input="place", text_format=Place)
    assert response.output_parsed == Place(city="Rome", people=3)
    assert response.text.format.type == "json_schema"


def test_the_asynchronous_client_does_the_same(live: Live, project: str):
    """Every method, once."""

    async def play() -> None:
        async with live.async_client(project=project) as client:
            made = await client.responses.create(model="scripted", input="dictate", background=True)
            assert (await client.responses.cancel(made.id)).status == "cancelled"
            items = [item async for item in client.responses.input_items.list(made.id)]
            assert len(items) == 1
            assert (await client.responses.retrieve(made.id)).status == "cancelled"
            assert await client.responses.delete(made.id) is None
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(made.id)
            counted = await client.responses.input_tokens.count(model="m", input="x")
            assert counted.input_tokens > 0
            compacted = await client.responses.compact(model="scripted", input="x")
            assert compacted.output
            stream: Any = await client.responses.create(
                model="scripted", input="count", background=True, stream=True
            )
            events = [event async for event in stream]
            id = events[0].response.id
            async with client.responses.stream(response_id=id, starting_after=2) as rest:
                final = await rest.get_final_response()
            assert final.output_text == "one two three four five"

    run(play())


class Custom:
    """A model with a custom tool: it calls it, then says what it answered."""

    name = "custom"
    abilities = Abilities(tools=frozenset({"function", "custom"}))

    def __call__(self, model: str) -> Custom:
        return self

    def price_of(self, model: str) -> None:
        """It costs nothing."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        await asyncio.sleep(0)
        if request.items[-1].kind == "user":
            yield ToolCallDelta(0, "2 + 2", "call_1", "sums", kind="custom_tool_call")
            yield Finish("tool_calls")
            return
        yield TextDelta(f"It is {request.items[-1].data()['output']}.")
        yield Finish("stop")

    async def close(self) -> None:
        """There is nothing to let go of."""


def test_a_custom_tool_is_called_and_answered():
    """Its input is free text; its output comes with the next response."""
    with Live("sqlite:///:memory:", cast(Any, Custom())) as live, live.client() as client:
        tools: Any = [{"type": "custom", "name": "sums", "description": "Adds."}]
        choice: Any = {"type": "custom", "name": "sums"}
        first = ask(client, "2 + 2?", tools=tools, tool_choice=choice)
        [call] = first.output
        assert (call.type, call.name, call.input) == ("custom_tool_call", "sums", "2 + 2")
        assert (first.tools[0].name, first.tool_choice.type) == ("sums", "custom")
        message, _, _ = refusal(lambda: ask(client, "x", previous_response_id=first.id))
        assert message == "No tool output found for function call call_1."
        output: Any = {"type": "custom_tool_call_output", "call_id": "call_1", "output": "4"}
        second = ask(client, [output], previous_response_id=first.id, tools=tools)
        assert second.output_text == "It is 4."
        items = client.responses.input_items.list(second.id, order="asc")
        assert [item.type for item in items] == [
            "message",
            "custom_tool_call",
            "custom_tool_call_output",
        ]
