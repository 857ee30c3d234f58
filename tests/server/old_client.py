"""A journey by an official client of the 1.x line; run by test_old_client, with the server's URL.

It is a program of its own because two releases of the client cannot be in one process.
"""

from __future__ import annotations

import sys
import warnings

import openai

warnings.simplefilter("error")
warnings.filterwarnings("ignore", "The Assistants API is deprecated", DeprecationWarning)

URL, VERSION, PROJECT = sys.argv[1:]


class Listener(openai.AssistantEventHandler):
    """Notes the text it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.said = ""

    def on_text_delta(self, delta, snapshot) -> None:
        self.said += delta.value


def refused(status: int, act) -> str:
    """What the client raises for this act: the text of the error."""
    try:
        act()
    except openai.APIStatusError as error:
        answer = error
    else:
        raise AssertionError("it was let through")
    assert answer.status_code == status, answer
    return answer.body["message"]


def threads(client: openai.OpenAI) -> str:
    """Assistants, threads, messages; returns the thread."""
    made = client.beta.threads.create(metadata={"k": "v"})
    assert client.beta.threads.retrieve(made.id) == made
    assert client.beta.threads.update(made.id, metadata={}).metadata == {}
    messages = client.beta.threads.messages
    ids = [messages.create(made.id, role="user", content=str(n)).id for n in range(5)]
    assert [one.id for one in messages.list(made.id, limit=2, order="asc")] == ids
    messages.update(ids[0], thread_id=made.id, metadata={"a": "b"})
    assert messages.retrieve(ids[0], thread_id=made.id).metadata == {"a": "b"}
    assert messages.delete(ids[0], thread_id=made.id).deleted
    said = refused(404, lambda: messages.retrieve(ids[0], thread_id=made.id))
    assert said == f"No message found with id '{ids[0]}'."
    return made.id


def runs(client: openai.OpenAI, thread: str) -> None:
    """Poll, stream, and function tools with outputs."""
    assistant = client.beta.assistants.create(model="scripted", name="Ada").id
    assert [one.id for one in client.beta.assistants.list()] == [assistant]
    say, work = client.beta.threads.messages.create, client.beta.threads.runs
    say(thread, role="user", content="hello")
    done = work.create_and_poll(thread_id=thread, assistant_id=assistant, poll_interval_ms=5)
    assert done.status == "completed"
    [step] = work.steps.list(done.id, thread_id=thread)
    assert step.status == "completed"
    say(thread, role="user", content="hello")
    listener = Listener()
    with work.stream(thread_id=thread, assistant_id=assistant, event_handler=listener) as stream:
        stream.until_done()
    assert listener.said == "Hello there, dear friend."
    say(thread, role="user", content="weather in Rome")
    paused = work.create_and_poll(thread_id=thread, assistant_id=assistant, poll_interval_ms=5)
    [call] = paused.required_action.submit_tool_outputs.tool_calls
    outputs = [{"tool_call_id": call.id, "output": "sunny"}]
    where = {"run_id": paused.id, "thread_id": thread}
    done = work.submit_tool_outputs_and_poll(**where, tool_outputs=outputs, poll_interval_ms=5)
    assert done.status == "completed"
    said = refused(400, lambda: work.submit_tool_outputs(**where, tool_outputs=outputs))
    assert said == 'Runs in status "completed" do not accept tool outputs.'


def other_face(client: openai.OpenAI, thread: str) -> None:
    """Conversations and responses on the same thread."""
    conversation = thread.replace("thread_", "conv_")
    item = {"type": "message", "role": "user", "content": "My code is Z-99."}
    client.conversations.items.create(conversation, items=[item])
    question = "What is the code I gave you?"
    answer = client.responses.create(model="scripted", input=question, conversation=conversation)
    assert "Z-99" in answer.output_text
    assert client.responses.retrieve(answer.id) == answer
    first = client.responses.create(model="scripted", input="My code is Y-11.")
    with client.responses.stream(
        model="scripted", input=question, previous_response_id=first.id
    ) as stream:
        assert "Y-11" in stream.get_final_response().output_text
    items = list(client.conversations.items.list(conversation, order="asc", limit=5))
    messages = [one.id for one in client.beta.threads.messages.list(thread, order="asc")]
    assert [one.id for one in items if one.type == "message"] == messages
    assert client.beta.threads.delete(thread).deleted
    refused(404, lambda: client.conversations.retrieve(conversation))


assert openai.__version__ == VERSION, f"this is openai {openai.__version__}"
options = {"base_url": URL, "api_key": "none", "project": PROJECT, "max_retries": 0}
for strict in (True, False):
    with openai.OpenAI(**options, _strict_response_validation=strict) as client:
        thread = threads(client)
        runs(client, thread)
        other_face(client, thread)
        for assistant in client.beta.assistants.list():
            client.beta.assistants.delete(assistant.id)
print("done")
