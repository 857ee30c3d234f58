"""Responses by the official client: in a conversation, in a chain, alone, and refused."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI

from clew.core.errors import NotFound
from clew.core.ids import key_of, thread_of_run

from .live import Live

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


def ask(client: OpenAI, input: Any, **options: Any) -> Any:
    return client.responses.create(model="scripted", input=input, **options)


def refusal(act: Any) -> tuple[str, str | None, str | None]:
    """Message, param and code of a 400."""
    with pytest.raises(openai.BadRequestError) as refused:
        act()
    assert refused.value.type == "invalid_request_error"
    return refused.value.body["message"], refused.value.param, refused.value.code


def said(client: OpenAI, conversation: str) -> list[str]:
    items = client.conversations.items.list(conversation, order="asc")
    return [item.content[0].text for item in items if item.type == "message"]


def test_a_response_alone_answers_and_is_kept(client: OpenAI):
    """With neither conversation nor previous response, it begins a chain of its own."""
    response = ask(client, "count", metadata={"k": "v"}, instructions="Be brief.")
    assert response.output_text == "one two three four five"
    assert (response.status, response.conversation) == ("completed", None)
    assert (response.metadata, response.instructions) == ({"k": "v"}, "Be brief.")
    usage = response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (7, 5, 12)
    assert response.created_at <= response.completed_at
    assert client.responses.retrieve(response.id) == response


def test_a_response_in_a_conversation_is_part_of_it(client: OpenAI):
    """Input and output are items of the conversation, and messages of the thread."""
    conversation = client.conversations.create(
        items=[{"type": "message", "role": "user", "content": "My code is Z-99."}]
    ).id
    response = ask(client, "What is the code I gave you?", conversation=conversation)
    assert "Z-99" in response.output_text
    assert response.conversation.id == conversation
    assert said(client, conversation) == [
        "My code is Z-99.",
        "What is the code I gave you?",
        response.output_text,
    ]
    items = client.conversations.items.list(conversation, order="asc")
    assert list(items)[-1].id == response.output[0].id
    thread = conversation.replace("conv_", "thread_")
    [newest, *_] = client.beta.threads.messages.list(thread)
    assert newest.content[0].text.value == response.output_text


def test_a_conversation_may_be_named_by_an_object(client: OpenAI):
    """`{"id": …}` is the id; input may be items; the conversation alone may be asked."""
    conversation = client.conversations.create().id
    first: Any = [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}]
    response = client.responses.create(
        model="scripted", conversation={"id": conversation}, input=first
    )
    assert response.output_text == "Hello there, dear friend."
    again = client.responses.create(model="scripted", conversation=conversation)
    assert again.status == "completed"
    assert len(said(client, conversation)) == 3


def test_a_chain_goes_on_from_its_newest_response(client: OpenAI):
    """previous_response_id gives the model what came before."""
    first = ask(client, "My code is Z-99.")
    second = ask(client, "What is the code I gave you?", previous_response_id=first.id)
    assert "Z-99" in second.output_text
    assert second.previous_response_id == first.id
    assert second.conversation is None
    assert client.responses.retrieve(second.id) == second


def test_a_chain_forks_from_an_older_response(client: OpenAI):
    """Two answers may follow one response; neither sees the other, all stay as they were."""
    first = ask(client, "My code is Z-99.")
    left = ask(client, "My name is Ada.", previous_response_id=first.id)
    right = ask(client, "What is the name I gave you?", previous_response_id=first.id)
    assert "Ada" not in right.output_text
    on_left = ask(client, "What is the name I gave you?", previous_response_id=left.id)
    assert "Ada" in on_left.output_text
    on_right = ask(client, "What is the code I gave you?", previous_response_id=right.id)
    assert "Z-99" in on_right.output_text
    for response in (first, left, right, on_left):
        assert client.responses.retrieve(response.id) == response


def test_a_chain_may_leave_a_conversation(client: OpenAI):
    """What follows a response of a conversation by its id is not added to the conversation."""
    conversation = client.conversations.create().id
    inside = ask(client, "My code is Z-99.", conversation=conversation)
    before = said(client, conversation)
    outside = ask(client, "What is the code I gave you?", previous_response_id=inside.id)
    assert "Z-99" in outside.output_text
    assert outside.conversation is None
    assert said(client, conversation) == before


def test_instructions_are_not_carried_along_a_chain(client: OpenAI):
    """Each response says its own."""
    first = ask(client, "hello", instructions="Be loud.")
    assert ask(client, "hello", previous_response_id=first.id).instructions is None


def test_a_chain_is_not_listed_among_named_conversations_but_can_be_erased(client: OpenAI):
    """Its thread leads by the response's own id; after erasure the response is gone."""
    response = ask(client, "hello")
    thread = thread_of_run(key_of("run", response.id) or "")
    assert client.beta.threads.delete(f"thread_{thread}").deleted
    with pytest.raises(openai.NotFoundError) as refused:
        client.responses.retrieve(response.id)
    assert refused.value.body["message"] == f"Response with id '{response.id}' not found."


def test_an_unstored_response_leaves_nothing_behind(client: OpenAI, live: Live, project: str):
    """With store=False neither thread nor run nor item is in the store."""
    response = ask(client, "hello", store=False)
    assert (response.output_text, response.store) == ("Hello there, dear friend.", False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    key = thread_of_run(key_of("run", response.id) or "") or ""
    with pytest.raises(NotFound):
        live.here.get_thread(project, key)
    listed: Any = client.get("/threads", cast_to=object)
    assert listed["data"] == []


def test_an_unstored_response_reads_its_conversation_and_adds_nothing(client: OpenAI):
    """History is seen, nothing is written, the revision stays."""
    conversation = client.conversations.create(
        items=[{"type": "message", "role": "user", "content": "My code is Z-99."}]
    )
    question = "What is the code I gave you?"
    response = ask(client, question, conversation=conversation.id, store=False)
    assert "Z-99" in response.output_text
    assert client.conversations.retrieve(conversation.id) == conversation
    assert said(client, conversation.id) == ["My code is Z-99."]
    first = ask(client, "My code is Y-11.")
    response = ask(client, question, previous_response_id=first.id, store=False)
    assert "Y-11" in response.output_text


def test_a_function_is_called_and_its_output_comes_with_the_next_response(client: OpenAI):
    """The call ends one response, its output begins the next, in a conversation."""
    conversation = client.conversations.create().id
    first = ask(client, "weather in Rome", conversation=conversation, tools=[WEATHER])
    [call] = first.output
    assert (first.status, call.type, call.name) == ("completed", "function_call", "get_weather")
    assert call.arguments == '{"city":"Rome"}'
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    second = ask(client, [output], conversation=conversation, tools=[WEATHER])
    assert second.output_text == "It is sunny."
    items = list(client.conversations.items.list(conversation, order="asc"))
    assert [item.type for item in items] == [
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]


def test_a_function_is_called_along_a_chain(client: OpenAI):
    """The same by previous_response_id, text and two calls in one response."""
    first = ask(client, "weather in Rome and Oslo", tools=[WEATHER], parallel_tool_calls=True)
    assert [item.type for item in first.output] == ["message", "function_call", "function_call"]
    assert first.output_text == "Let me look."
    outputs: Any = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        for call in first.output[1:]
    ]
    second = ask(client, outputs, previous_response_id=first.id, tools=[WEATHER])
    assert second.output_text == "It is sunny."
    assert client.responses.retrieve(first.id) == first


def test_a_call_must_be_answered_before_anything_else(client: OpenAI):
    """Missing outputs and outputs nobody asked for are refused before any token is spent."""
    conversation = client.conversations.create().id
    [call] = ask(client, "weather in Rome", conversation=conversation, tools=[WEATHER]).output
    before = list(client.conversations.items.list(conversation))
    assert refusal(lambda: ask(client, "hello", conversation=conversation)) == (
        f"No tool output found for function call {call.call_id}.",
        "input",
        None,
    )
    stray: Any = [{"type": "function_call_output", "call_id": "call_x", "output": "1"}]
    assert refusal(lambda: ask(client, stray, conversation=conversation)) == (
        "No tool call found for function call output with call_id call_x.",
        "input",
        None,
    )
    assert refusal(lambda: ask(client, stray))[0] == (
        "No tool call found for function call output with call_id call_x."
    )
    assert list(client.conversations.items.list(conversation)) == before


def test_wrong_requests_are_refused_in_openais_words(client: OpenAI):
    """Both places, no input, an unknown previous response, a malformed one, an unknown place."""
    response, conversation = ask(client, "hello"), client.conversations.create().id
    both = {"conversation": conversation, "previous_response_id": response.id}
    assert refusal(lambda: ask(client, "x", **both)) == (
        "Mutually exclusive parameters: ''. Ensure you are only providing one of: "
        "'previous_response_id' or 'conversation'.",
        None,
        "mutually_exclusive_parameters",
    )
    assert refusal(lambda: client.responses.create(model="scripted")) == (
        "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be "
        "provided.",
        None,
        "missing_required_parameter",
    )
    assert refusal(lambda: ask(client, "x", previous_response_id="resp_none")) == (
        "Previous response with id 'resp_none' not found.",
        "previous_response_id",
        "previous_response_not_found",
    )
    message, param, _ = refusal(lambda: ask(client, "x", previous_response_id="a b"))
    assert param == "previous_response_id"
    assert message == (
        "Invalid 'previous_response_id': 'a b'. Expected an ID that contains letters, numbers, "
        "underscores, or dashes, but this value contained additional characters."
    )
    with pytest.raises(openai.NotFoundError) as refused:
        ask(client, "x", conversation="conv_none")
    assert refused.value.body["message"] == "Conversation with id 'conv_none' not found."
    with pytest.raises(openai.NotFoundError) as refused:
        client.responses.retrieve("resp_none")
    assert refused.value.body["message"] == "Response with id 'resp_none' not found."
    assert refusal(lambda: client.responses.retrieve(response.id, stream=True)) == (
        "This response cannot be streamed because it was not created with background=true.",
        "stream",
        None,
    )


def test_another_project_cannot_go_on_from_a_response(client: OpenAI, live: Live):
    """A response of one project is unknown in another."""
    response = ask(client, "hello")
    with live.client(project="proj_stranger") as stranger:
        with pytest.raises(openai.NotFoundError):
            stranger.responses.retrieve(response.id)
        message, _, code = refusal(lambda: ask(stranger, "x", previous_response_id=response.id))
        assert (message, code) == (
            f"Previous response with id '{response.id}' not found.",
            "previous_response_not_found",
        )


def test_a_failing_response_says_why(client: OpenAI):
    """Its error is the model's, what was said is kept as incomplete."""
    response = ask(client, "break")
    assert (response.status, response.error.code) == ("failed", "server_error")
    assert response.error.message == "It broke."
    [message] = response.output
    assert (message.status, message.content[0].text) == ("incomplete", "I was about to")
    assert client.responses.retrieve(response.id) == response


def test_a_response_that_reaches_its_budget_is_incomplete(client: OpenAI):
    """`max_output_tokens` cuts the answer and says so."""
    response = ask(client, " ".join(["w"] * 40), max_output_tokens=16)
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert len(response.output_text.split()) == 16


def test_the_settings_of_a_response_are_shown(client: OpenAI):
    """What was asked for is given back."""
    response = ask(
        client,
        "hello",
        temperature=0.5,
        top_p=0.25,
        tools=[WEATHER],
        tool_choice="auto",
        text={"format": {"type": "json_object"}, "verbosity": "medium"},
        reasoning={"effort": "low"},
        truncation="auto",
        user="u-1",
    )
    assert (response.temperature, response.top_p, response.truncation) == (0.5, 0.25, "auto")
    assert response.tools[0].name == "get_weather"
    assert (response.text.format.type, response.text.verbosity) == ("json_object", "medium")
    assert (response.reasoning.effort, response.user) == ("low", "u-1")
