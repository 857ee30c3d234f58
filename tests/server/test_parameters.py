"""Parameters that no test of their noun needs: each has its effect, or comes back as it was given.

What only some upstreams can do is in test_abilities.
"""

from __future__ import annotations

import io
import json
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from clew.testing import upstream_responses as says
from clew.testing.upstream import Reply

from .doubles import Doubles
from .test_upstreams import served

WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": {}, "strict": False}
HELLO: Any = [{"role": "user", "content": "hello"}]


def ids(page: Any) -> list[str]:
    return [one.id for one in page.data]


def refusal(act: Any) -> tuple[str | None, str | None]:
    """Param and code of a 400."""
    with pytest.raises(openai.BadRequestError) as refused:
        act()
    return refused.value.param, refused.value.code


# threads, conversations, assistants


def test_the_resources_of_a_thread_are_replaced(client: OpenAI):
    """By what the update names."""
    store = client.vector_stores.create().id
    thread = client.beta.threads.create(
        tool_resources={"code_interpreter": {"file_ids": [uploaded(client, "ant")]}}
    ).id
    resources: Any = {"file_search": {"vector_store_ids": [store]}}
    changed = client.beta.threads.update(thread, tool_resources=resources)
    assert changed.tool_resources.file_search.vector_store_ids == [store]
    assert client.beta.threads.retrieve(thread) == changed


def test_conversations_are_listed_by_page_time_and_metadata(client: OpenAI, http: httpx2.Client):
    """As threads are: OpenAI has no such list, so it is asked for over plain HTTP."""
    made = [client.conversations.create(metadata={"n": str(n // 2)}) for n in range(4)]
    all_ids = [one.id for one in made]

    def listed(**query: Any) -> list[str]:
        answer = http.get("/v1/conversations", params=query)
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["data"]]

    assert listed(order="asc", limit=2) == all_ids[:2]
    assert listed(order="asc", after=all_ids[1]) == all_ids[2:]
    assert listed(order="asc", before=all_ids[2]) == all_ids[:2]
    assert listed(order="asc", **{"metadata[n]": "1"}) == all_ids[2:]
    now = made[-1].created_at
    assert listed(created_after=now + 60) == listed(updated_after=now + 60) == []
    assert listed(created_before=now - 60) == listed(updated_before=now - 60) == []
    wide = {"created_after": made[0].created_at, "created_before": now}
    assert listed(**wide, updated_after=made[0].created_at, updated_before=now + 60) == [
        *reversed(all_ids)
    ]


def test_a_conversation_takes_no_item_by_reference(client: OpenAI):
    """Neither when it is made nor later; it is told to send the item itself."""
    reference: Any = [{"type": "item_reference", "id": "msg_1"}]
    conversation = client.conversations.create().id
    for act in (
        lambda: client.conversations.create(items=reference),
        lambda: client.conversations.items.create(conversation, items=reference),
    ):
        assert refusal(act) == ("items[0]", "unsupported_parameter")
    assert client.conversations.items.list(conversation).data == []


def test_lists_of_items_go_back_from_a_cursor(client: OpenAI):
    """`before` is everywhere, also where the official client leaves it out."""
    items: Any = [{"role": "user", "content": str(n)} for n in range(3)]
    conversation = client.conversations.create(items=items).id
    asc = {"order": "asc", "limit": 5}
    whole = ids(client.conversations.items.list(conversation, **asc))
    before = {"extra_query": {"before": whole[2]}}
    assert ids(client.conversations.items.list(conversation, **asc, **before)) == whole[:2]
    response = client.responses.create(model="scripted", conversation=conversation)
    assert ids(client.responses.input_items.list(response.id, **asc, **before)) == whole[:2]


ASSISTANT: dict[str, Any] = {
    "model": "other",
    "name": "Grace",
    "description": "Knows more.",
    "instructions": "Be brief.",
    "tools": [{"type": "code_interpreter"}],
    "tool_resources": {"code_interpreter": {"file_ids": []}},
    "metadata": {"k": "v"},
    "temperature": 0.25,
    "top_p": 0.5,
    "response_format": {"type": "json_object"},
    "reasoning_effort": "high",
}


@pytest.mark.parametrize("name", ASSISTANT)
def test_each_field_of_an_assistant_is_changed_alone(client: OpenAI, name: str):
    """It is what the update says; all others are as they were."""
    made = client.beta.assistants.create(model="scripted", name="Ada", tools=[])
    expected = ASSISTANT[name]
    if name == "tool_resources":
        expected = {"code_interpreter": {"file_ids": [uploaded(client, "ant")]}}
    changed = client.beta.assistants.update(made.id, **{name: expected}).to_dict()
    before = made.to_dict()
    if name == "tool_resources":
        assert changed[name]["code_interpreter"] == expected["code_interpreter"]
    else:
        assert changed[name] == expected
    assert {
        key for key in before.keys() | changed.keys() if before.get(key) != changed.get(key)
    } == {name}
    assert client.beta.assistants.retrieve(made.id).to_dict() == changed


# runs


def test_a_thread_made_with_its_run_takes_every_parameter_of_a_run(client: OpenAI):
    """What was asked for is in the run; the resources are the thread's."""
    assistant = client.beta.assistants.create(model="scripted", name="Ada").id
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}
    asked: dict[str, Any] = {
        "model": "other",
        "instructions": "Be brief.",
        "metadata": {"k": "v"},
        "temperature": 0.25,
        "top_p": 0.5,
        "max_prompt_tokens": 300,
        "max_completion_tokens": 400,
        "truncation_strategy": {"type": "last_messages", "last_messages": 2},
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_object"},
    }
    run = client.beta.threads.create_and_run(
        assistant_id=assistant,
        thread={"messages": [{"role": "user", "content": "Rome"}]},
        tools=[tool],
        tool_resources={"code_interpreter": {"file_ids": [file := uploaded(client, "ant")]}},
        **asked,
    )
    shown = run.to_dict()
    assert {name: shown[name] for name in asked} == asked
    assert [one.function.name for one in run.tools] == ["get_weather"]
    thread = client.beta.threads.retrieve(run.thread_id)
    assert thread.tool_resources.code_interpreter.file_ids == [file]
    run = client.beta.threads.runs.poll(run.id, thread_id=thread.id, poll_interval_ms=5)
    [call] = run.required_action.submit_tool_outputs.tool_calls
    assert call.function.name == "get_weather"  # the choice was kept to


FOUND = "step_details.tool_calls[*].file_search.results[*].content"


def test_what_a_search_of_files_found_is_in_its_step_when_asked_for(
    relayed: OpenAI, upstream: Doubles
):
    """`include` shows the text: in the stream, in the list of steps, and in the step alone."""
    result = {"file_id": "file-1", "filename": "a.txt", "score": 0.5, "text": "a ball of thread"}
    search = {"id": "fs_1", "type": "file_search_call", "queries": ["clew"]}
    answer = says.streams(
        *says.hosted(0, search, ["searching", "completed"], results=[result]),
        *says.message(1, "There."),
    )
    assistant = relayed.beta.assistants.create(model="m", tools=[{"type": "file_search"}]).id
    threads = relayed.beta.threads
    thread = threads.create(messages=HELLO).id

    def texts(step: Any) -> list[str | None]:
        [call] = step.step_details.tool_calls
        return [part.text for one in call.file_search.results for part in one.content or []]

    for include, expected in (([], []), ([FOUND], ["a ball of thread"])):
        upstream.reply(answer)
        events = list(
            threads.runs.create(thread, assistant_id=assistant, stream=True, include=include)
        )
        done = [event.data for event in events if event.event == "thread.run.step.completed"]
        assert texts(done[0]) == expected
        steps, place = threads.runs.steps, {"thread_id": thread, "run_id": done[0].run_id}
        listed = steps.list(**place, order="asc", include=include)
        assert texts(listed.data[0]) == expected
        assert texts(steps.retrieve(done[0].id, **place, include=include)) == expected
        assert ids(steps.list(**place, order="asc", before=listed.data[1].id)) == [done[0].id]


def test_a_run_that_reaches_its_budget_streams_to_its_end(client: OpenAI):
    """The last event is thread.run.incomplete."""
    assistant = client.beta.assistants.create(model="scripted").id
    thread = client.beta.threads.create(
        messages=[{"role": "user", "content": " ".join(["w"] * 400)}]
    ).id
    events = list(
        client.beta.threads.runs.create(
            thread, assistant_id=assistant, stream=True, max_completion_tokens=256
        )
    )
    assert events[-1].event == "thread.run.incomplete"
    assert events[-1].data.incomplete_details.reason == "max_completion_tokens"


# responses


def test_deltas_are_padded_for_who_asks(client: OpenAI):
    """`include_obfuscation` hides how long each text is: in the stream, and in one told again."""
    create = client.responses.create
    options: Any = {"model": "scripted", "input": "hello", "stream": True, "background": True}
    padded = list(create(**options, stream_options={"include_obfuscation": True}))
    plain = list(create(**options))

    def paddings(events: list[Any]) -> list[str | None]:
        deltas = [event.to_dict() for event in events if event.type.endswith("text.delta")]
        return [delta.get("obfuscation") for delta in deltas]

    assert all(paddings(padded))
    assert paddings(plain) == [None] * 4
    id = plain[0].response.id
    told = client.responses.retrieve(id, stream=True, include_obfuscation=True)
    assert all(paddings(list(told)))
    told = client.responses.retrieve(id, stream=True, include_obfuscation=False)
    assert list(told) == plain


def test_a_background_response_may_be_asked_for_by_a_time(client: OpenAI):
    """`background_options`: here it is done soonest, which is in time for any window."""
    create = client.responses.create
    options: Any = {"completion_window": "8h", "continuation_id": "batch-1"}
    made = create(model="scripted", input="hello", background=True, background_options=options)
    while made.status in ("queued", "in_progress"):
        made = client.responses.retrieve(made.id)
    assert made.output_text == "Hello there, dear friend."
    refused = {"model": "scripted", "input": "hello", "background_options": options}
    assert refusal(lambda: create(**refused)) == (
        "background_options.completion_window",
        "unsupported_parameter",
    )


def test_details_are_shown_where_they_are_asked_for(relayed: OpenAI, upstream: Doubles):
    """`include` at creation, when it is read, and in the list of what another was made from."""
    search = {"id": "fs_1", "type": "file_search_call", "queries": ["clew"]}
    result = {"file_id": "file-1", "filename": "a.txt", "score": 0.5, "text": "a ball"}
    answer = says.streams(
        *says.hosted(0, search, ["completed"], results=[result]), *says.message(1, "There.")
    )
    wanted: Any = ["file_search_call.results"]
    tools: Any = [{"type": "file_search", "vector_store_ids": ["vs_theirs"]}]
    upstream.reply(answer, answer, says.says("Yes."))
    create = relayed.responses.create
    plain = create(model="m", input="Hi", tools=tools)
    shown = create(model="m", input="Hi", tools=tools, include=wanted)
    assert upstream.double.requests[1].body["include"][0] == wanted[0]
    assert plain.output[0].results is None
    assert shown.output[0].results[0].text == "a ball"
    assert relayed.responses.retrieve(plain.id, include=wanted).output[0].results is not None
    after = create(model="m", input="And?", previous_response_id=plain.id)
    for include, is_shown in (([], False), (wanted, True)):
        listed = relayed.responses.input_items.list(after.id, order="asc", include=include)
        [found] = [item for item in listed if item.type == "file_search_call"]
        assert (found.results is not None) == is_shown


SCORES: dict[str, Any] = {
    "token": "Yes",
    "bytes": [89, 101, 115],
    "logprob": -0.5,
    "top_logprobs": [{"token": "Yes", "bytes": [89, 101, 115], "logprob": -0.5}],
}


def test_log_probabilities_come_from_an_upstream_that_has_them(relayed: OpenAI, upstream: Doubles):
    """They are asked for there, in the message, and shown where `include` names them."""
    *rest, end = says.message(0, "Yes")
    [part] = end["item"]["content"]
    scored = {**end["item"], "content": [{**part, "logprobs": [SCORES]}]}
    upstream.reply(says.streams(*rest, says.done(0, scored)))
    response = relayed.responses.create(
        model="m", input="Hi", top_logprobs=1, include=["message.output_text.logprobs"]
    )
    asked = upstream.double.requests[0].body
    assert asked["top_logprobs"] == response.top_logprobs == 1
    assert "message.output_text.logprobs" in asked["include"]
    assert response.output[0].content[0].logprobs[0].to_dict() == SCORES
    plain = relayed.responses.retrieve(response.id)
    assert plain.output[0].content[0].logprobs[0].to_dict() == SCORES  # as it was asked for
    refused = {"model": "scripted", "input": "Hi", "top_logprobs": 1}
    assert refusal(lambda: relayed.responses.create(**refused)) == (
        "top_logprobs",
        "unsupported_parameter",
    )


def test_the_beta_client_asks_at_the_same_addresses(client: OpenAI):
    """`beta.responses` sends `beta=true` with every call, and is answered as the other is."""
    beta = client.beta.responses
    slow = beta.create(model="scripted", input="dictate", background=True)
    assert beta.cancel(slow.id).status == "cancelled"
    response = beta.create(model="scripted", input="hello")
    assert beta.retrieve(response.id).id == response.id
    assert len(beta.input_items.list(response.id).data) == 1
    assert beta.input_tokens.count(model="scripted", input="hello").input_tokens > 0
    assert beta.compact(model="scripted", input="hello").object == "response.compaction"
    beta.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        beta.retrieve(response.id)


def test_a_count_of_tokens_is_of_all_that_a_model_would_read(client: OpenAI):
    """Formats add to it; choices, reasoning, truncation and a personality do not."""
    count = client.responses.input_tokens.count

    def tokens(**options: Any) -> int:
        return count(model="scripted", input="hello", **options).input_tokens

    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    plain, with_tool = tokens(), tokens(tools=[WEATHER])
    assert with_tool > plain
    format: Any = {"type": "json_schema", "name": "place", "schema": schema}
    assert tokens(text={"format": format}) > plain
    chosen: Any = {"type": "function", "name": "get_weather"}
    assert tokens(tools=[WEATHER], tool_choice=chosen, parallel_tool_calls=False) == with_tool
    neutral: Any = {
        "reasoning": {"effort": "low"},
        "truncation": "auto",
        "personality": "friendly",
    }
    assert tokens(**neutral) == plain


def test_a_compaction_by_an_upstream_is_asked_for_with_every_parameter(
    relayed: OpenAI, upstream: Doubles
):
    """They reach `POST /responses/compact` there as they came here."""
    output = [{"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA"}]
    body = {"object": "response.compaction", "output": output, "usage": says.USAGE}
    upstream.reply(Reply([json.dumps(body).encode()], 200, JSON))
    asked: dict[str, Any] = {
        "instructions": "Be kind.",
        "image": {"context_compression": "enabled"},
        "prompt_cache_key": "k",
        "prompt_cache_options": {"mode": "explicit"},
        "prompt_cache_retention": "24h",
        "service_tier": "flex",
    }
    compacted = relayed.responses.compact(model="m", input="Hi", **asked)
    assert compacted.output[0].encrypted_content == "gAAAA"
    request = upstream.double.requests[0]
    assert request.path.endswith("/responses/compact")
    assert {name: request.body[name] for name in asked} == asked


JSON = {"content-type": "application/json"}

# chat completions

COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-theirs",
    "object": "chat.completion",
    "created": 7,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi.", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
}
CHAT: dict[str, Any] = {
    "audio": {"voice": "alloy", "format": "wav"},
    "frequency_penalty": 0.5,
    "function_call": "auto",
    "functions": [{"name": "f", "parameters": {}}],
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "max_completion_tokens": 9,
    "max_tokens": 9,
    "modalities": ["text", "audio"],
    "moderation": {"model": "omni-moderation-latest"},
    "n": 1,
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": "Hi."},
    "presence_penalty": 0.5,
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
    "safety_identifier": "s",
    "seed": 7,
    "service_tier": "flex",
    "stop": ["x"],
    "temperature": 0.5,
    "tool_choice": "auto",
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "top_logprobs": 2,
    "top_p": 0.5,
    "user": "u",
    "verbosity": "low",
    "web_search_options": {"search_context_size": "low"},
}


def test_every_parameter_of_a_chat_completion_goes_on_whole():
    """To an upstream that speaks chat completions, whatever it is, as it came."""
    reply = Reply([json.dumps(COMPLETION).encode()], 200, JSON)
    with served("openai-compatible", *[reply] * len(CHAT)) as (client, double):
        for name, value in CHAT.items():
            made = client.chat.completions.create(model="m", messages=HELLO, **{name: value})
            assert made.choices[0].message.content == "Hi."
            assert double.requests[-1].body == {"model": "m", "messages": HELLO, name: value}


# vector stores


TEXT = "The ant here. " * 60


def uploaded(client: OpenAI, name: str) -> str:
    content = io.BytesIO(TEXT.replace("ant", name).encode())
    content.name = f"{name}.txt"
    return client.files.create(file=content, purpose="assistants").id


CHUNKING: Any = {
    "type": "static",
    "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20},
}


def test_files_are_cut_as_the_request_says(client: OpenAI):
    """With the store, alone and in a batch: `chunking_strategy` is of all files it brings."""
    first, second, third = (uploaded(client, name) for name in ("ant", "bee", "cat"))
    stores = client.vector_stores
    store = stores.create(file_ids=[first], chunking_strategy=CHUNKING).id
    stores.files.create(store, file_id=second, chunking_strategy=CHUNKING)
    batch = stores.file_batches.create_and_poll(
        store,
        file_ids=[third],
        chunking_strategy=CHUNKING,
        attributes={"n": 3},
        poll_interval_ms=20,
    )
    for file in (first, second, third):
        done = stores.files.poll(file, vector_store_id=store, poll_interval_ms=20)
        assert (done.status, done.chunking_strategy.to_dict()) == ("completed", CHUNKING)
    assert stores.files.retrieve(third, vector_store_id=store).attributes == {"n": 3}
    assert ids(stores.file_batches.list_files(batch.id, vector_store_id=store)) == [third]
    pieces = [part.text for found in stores.search(store, query="here") for part in found.content]
    assert pieces
    assert max(map(len, pieces)) < len(TEXT) / 2


def test_a_store_is_renamed_and_given_an_end(client: OpenAI):
    """`name` and `expires_after` are replaced by what the update says."""
    store = client.vector_stores.create(name="old").id
    changed = client.vector_stores.update(
        store, name="new", expires_after={"anchor": "last_active_at", "days": 3}
    )
    assert (changed.name, changed.expires_after.days) == ("new", 3)
    assert client.vector_stores.retrieve(store) == changed


def test_the_files_of_a_store_and_of_a_batch_are_paged(client: OpenAI):
    """In either order, on from a file and back from one."""
    files = [uploaded(client, name) for name in ("ant", "bee", "cat")]
    store = client.vector_stores.create().id
    batches = client.vector_stores.file_batches
    batch = batches.create(store, file_ids=files).id
    of_store: Any = {"vector_store_id": store}

    def pages(**options: Any) -> list[str]:
        """The same page of both lists."""
        listed = ids(client.vector_stores.files.list(**of_store, **options))
        assert ids(batches.list_files(batch, **of_store, **options)) == listed
        return listed

    whole = pages(order="asc")
    assert sorted(whole) == sorted(files)
    assert pages(order="desc") == whole[::-1]
    assert pages(order="asc", limit=2) == whole[:2]
    assert pages(order="asc", after=whole[0]) == whole[1:]
    assert pages(order="asc", before=whole[2]) == whole[:2]
