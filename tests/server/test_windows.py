"""Windows by HTTP: what a model sees of a long thread, exactly counted, cut or compacted."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from clew.core.compactions import SEAL, seal

LONG = "word " * 400
FEW: Any = [{"type": "compaction", "compact_threshold": 1000}]


@pytest.fixture
def conversation(client: OpenAI) -> str:
    """The id of a conversation of some 1,200 tokens."""
    items: Any = [{"type": "message", "role": "user", "content": LONG} for _ in range(3)]
    return client.conversations.create(items=items).id


def window(http: httpx2.Client, conversation: str, **query: Any) -> Any:
    thread = conversation.replace("conv_", "thread_")
    return http.get(f"/v1/threads/{thread}/window", params=query).raise_for_status().json()


def test_tokens_are_counted_exactly(client: OpenAI, http: httpx2.Client) -> None:
    """What a window costs is said in the vocabulary of the model that is named."""
    items: Any = [{"type": "message", "role": "user", "content": "お誕生日おめでとう"}]
    conversation = client.conversations.create(items=items).id
    newest, older = window(http, conversation), window(http, conversation, model="gpt-4")
    assert (newest["tokens"], newest["tokens_exact"]) == (4 + 8, True)
    assert (older["tokens"], older["tokens_exact"]) == (4 + 9, True)


def test_a_window_keeps_to_a_number_of_tokens(http: httpx2.Client, conversation: str) -> None:
    """As many of the newest items as fit."""
    whole = window(http, conversation)
    each = whole["tokens"] // 3
    assert (len(whole["data"]), whole["cut"], whole["compacted_through"]) == (3, False, None)
    two = window(http, conversation, max_tokens=2 * each)
    assert (len(two["data"]), two["tokens"], two["cut"]) == (2, 2 * each, True)
    assert len(window(http, conversation, max_tokens=2 * each - 1)["data"]) == 1


def test_a_long_conversation_is_compacted(
    client: OpenAI, http: httpx2.Client, conversation: str
) -> None:
    """The summary is the first output; the model has read it; the log is whole."""
    response = client.responses.create(
        model="scripted",
        conversation=conversation,
        input="What is the customer number?",
        context_management=FEW,
    )
    compaction, message = response.output
    assert (compaction.type, message.type) == ("compaction", "message")
    assert compaction.encrypted_content == seal("The customer number is C-77.")
    assert "C-77" in response.output_text
    items = list(client.conversations.items.list(conversation, order="asc"))
    assert [item.type for item in items] == ["message"] * 4 + ["compaction", "message"]
    seen = window(http, conversation)
    assert [item["type"] for item in seen["data"]] == ["compaction", "message", "message"]
    assert (seen["compacted_through"], seen["tokens"] < 100) == (3, True)
    again = client.responses.create(
        model="scripted", conversation=conversation, input="hello", context_management=FEW
    )
    assert [item.type for item in again.output] == ["message"]
    assert again.usage.input_tokens < 200


def test_a_compaction_is_told_in_the_stream(client: OpenAI, conversation: str) -> None:
    """Added and done, before the message begins; the final response has both."""
    with client.responses.stream(
        model="scripted", conversation=conversation, input="hello", context_management=FEW
    ) as stream:
        events = [
            (event.type, event.item.type)
            for event in stream
            if event.type in ("response.output_item.added", "response.output_item.done")
        ]
        final = stream.get_final_response()
    assert events == [
        ("response.output_item.added", "compaction"),
        ("response.output_item.done", "compaction"),
        ("response.output_item.added", "message"),
        ("response.output_item.done", "message"),
    ]
    assert [item.type for item in final.output] == ["compaction", "message"]


def test_a_chain_is_compacted(client: OpenAI) -> None:
    """By `previous_response_id` too: what comes after the summary builds on it."""
    first = client.responses.create(model="scripted", input=LONG * 3)
    second = client.responses.create(
        model="scripted",
        input="What is the customer number?",
        previous_response_id=first.id,
        context_management=FEW,
    )
    assert [item.type for item in second.output] == ["compaction", "message"]
    third = client.responses.create(
        model="scripted",
        input="What is the customer number?",
        previous_response_id=second.id,
        context_management=FEW,
    )
    assert [item.type for item in third.output] == ["message"]
    assert "C-77" in third.output_text
    other = client.responses.create(
        model="scripted", input="hello", previous_response_id=first.id, context_management=FEW
    )
    assert [item.type for item in other.output] == ["compaction", "message"]


def test_a_response_that_is_not_stored_leaves_no_summary(client: OpenAI, conversation: str) -> None:
    """It is compacted for itself alone."""
    response = client.responses.create(
        model="scripted",
        conversation=conversation,
        input="hello",
        store=False,
        context_management=FEW,
    )
    assert [item.type for item in response.output] == ["compaction", "message"]
    assert len(list(client.conversations.items.list(conversation))) == 3


def test_a_summary_goes_with_what_it_sums_up(
    client: OpenAI, http: httpx2.Client, conversation: str
) -> None:
    """Once a message is erased, no summary of it is left, and the others are shown again."""
    client.responses.create(
        model="scripted", conversation=conversation, input="hello", context_management=FEW
    )
    first = client.conversations.items.list(conversation, order="asc").data[0]
    client.conversations.items.delete(first.id, conversation_id=conversation)
    seen = window(http, conversation)
    assert [item["type"] for item in seen["data"]] == ["message"] * 4
    kinds = [item.type for item in client.conversations.items.list(conversation)]
    assert "compaction" not in kinds
    assert SEAL not in http.get(f"/v1/conversations/{conversation}/items").text


def test_a_client_goes_on_from_a_compaction(client: OpenAI, http: httpx2.Client) -> None:
    """One that it sends back stands for everything before it in the new conversation."""
    items: Any = [
        {"type": "message", "role": "user", "content": "Forget this."},
        {"type": "compaction", "encrypted_content": seal("Customer number is C-77."), "through": 9},
        {"type": "message", "role": "user", "content": "hello"},
    ]
    conversation = client.conversations.create(items=items).id
    seen = window(http, conversation)
    assert [item["type"] for item in seen["data"]] == ["compaction", "message"]
    assert seen["compacted_through"] == 1
    response = client.responses.create(
        model="scripted", conversation=conversation, input="What is the customer number?"
    )
    assert "C-77" in response.output_text


@pytest.mark.parametrize(
    ("entry", "param"),
    [
        ({"type": "compaction", "compact_threshold": 999}, "compact_threshold"),
        ({"type": "summary"}, "type"),
    ],
)
def test_a_wrong_context_management_is_refused(
    client: OpenAI, entry: dict[str, Any], param: str
) -> None:
    """By its name, before anything is stored."""
    with pytest.raises(openai.BadRequestError) as refusal:
        client.responses.create(
            model="scripted", input="x", extra_body={"context_management": [entry]}
        )
    assert refusal.value.param == f"context_management[0].{param}"


OVERFLOW = (
    "Your input exceeds the context window of this model. Please adjust your input and try again."
)


@pytest.mark.parametrize("truncation", ["disabled", "auto"])
def test_what_a_model_cannot_read_is_refused_in_openais_words(
    client: OpenAI, truncation: Any
) -> None:
    """When nothing may be left out, or nothing can be: as a refusal, or the end of a stream."""
    with pytest.raises(openai.BadRequestError) as refusal:
        client.responses.create(model="scripted", input="overflow", truncation=truncation)
    error = refusal.value
    assert (error.body["message"], error.code) == (OVERFLOW, "context_length_exceeded")
    stream = client.responses.create(
        model="scripted", input="overflow", truncation=truncation, stream=True
    )
    last = list(stream)[-1]
    assert (last.type, last.response.error.message) == ("response.failed", OVERFLOW)


def test_a_run_that_its_model_cannot_read_fails(client: OpenAI) -> None:
    """On the Threads face that is a bad prompt."""
    assistant = client.beta.assistants.create(model="scripted").id
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "overflow"}]).id
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread, assistant_id=assistant, poll_interval_ms=5
    )
    assert (run.status, run.last_error.code) == ("failed", "invalid_prompt")
    assert run.last_error.message == OVERFLOW
