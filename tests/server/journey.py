"""A journey by an older official client; run by test_releases, with the server's URL.

It is a program of its own because two releases of the client cannot be in one process.
"""

from __future__ import annotations

import sys
import warnings

import openai
from pydantic import BaseModel

warnings.simplefilter("error")
warnings.filterwarnings("ignore", "The Assistants API is deprecated", DeprecationWarning)
warnings.filterwarnings("ignore", "deprecated$", DeprecationWarning)

URL, VERSION, PROJECT = sys.argv[1:]


class Place(BaseModel):
    """What the scripted model answers to "place"."""

    city: str
    people: int


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


def background(client: openai.OpenAI) -> None:
    """What can be done with a response while it goes on, and afterwards."""
    create, responses = client.responses.create, client.responses
    slow = create(model="scripted", input="dictate", background=True)
    assert slow.status in ("queued", "in_progress")
    assert responses.cancel(slow.id).status == "cancelled"
    made = create(model="scripted", input="hello", background=True, stream=True)
    events = list(made)
    id = events[-1].response.id
    assert events[-1].response.output_text == "Hello there, dear friend."
    again = list(responses.retrieve(id, stream=True, starting_after=3))
    assert again == events[4:]
    [item] = responses.input_items.list(id)
    assert item.content[0].text == "hello"
    parsed = responses.parse(model="scripted", input="place", text_format=Place)
    assert parsed.output_parsed == Place(city="Rome", people=3)
    if hasattr(responses, "input_tokens"):  # not in the 1.x line
        assert responses.input_tokens.count(model="scripted", input="hello").input_tokens > 0
    if hasattr(responses, "compact"):
        assert responses.compact(model="scripted", input="hello").output
    responses.delete(id)
    refused(404, lambda: responses.retrieve(id))


def files(client: openai.OpenAI) -> None:
    """Files, and what is found in them."""
    text = b"The clew is a ball of thread. Ariadne gave it to Theseus."
    file = client.files.create(file=("clew.txt", text), purpose="assistants")
    assert client.files.content(file.id).read() == text
    assert file.id in [one.id for one in client.files.list(purpose="assistants")]
    stores = client.vector_stores
    store = stores.create(name="myths").id
    placed = {"vector_store_id": store, "poll_interval_ms": 5}
    indexed = stores.files.create_and_poll(file.id, **placed, attributes={"old": True})
    assert (indexed.status, indexed.attributes) == ("completed", {"old": True})
    filters = {"type": "eq", "key": "old", "value": True}
    [found] = stores.search(store, query="Ariadne", filters=filters)
    assert (found.file_id, found.content[0].text) == (file.id, text.decode())
    more = client.files.create(file=("ant.txt", b"The ant."), purpose="assistants").id
    batch = stores.file_batches.create_and_poll(store, file_ids=[more], poll_interval_ms=5)
    assert (batch.status, batch.file_counts.completed) == ("completed", 1)
    assert [one.id for one in stores.files.list(store, order="asc")] == [file.id, more]
    assert stores.files.delete(more, vector_store_id=store).deleted
    assert stores.delete(store).deleted
    for id in (file.id, more):
        assert client.files.delete(id).deleted
    refused(404, lambda: client.files.retrieve(file.id))


def completions(client: openai.OpenAI) -> None:
    """Chat completions: asked, streamed, kept and listed."""
    chat, messages = client.chat.completions, [{"role": "user", "content": "hello"}]
    made = chat.create(model="scripted", messages=messages, store=True, metadata={"k": "v"})
    assert made.choices[0].message.content == "Hello there, dear friend."
    chunks = list(chat.create(model="scripted", messages=messages, stream=True))
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == made.choices[0].message.content
    assert [one.id for one in chat.list(metadata={"k": "v"})] == [made.id]
    assert chat.update(made.id, metadata={"k": "w"}).metadata == {"k": "w"}
    assert chat.retrieve(made.id).choices[0].message.content == said
    assert chat.delete(made.id).deleted
    refused(404, lambda: chat.retrieve(made.id))
    assert "scripted" in [model.id for model in client.models.list()]


assert openai.__version__ == VERSION, f"this is openai {openai.__version__}"
options = {"base_url": URL, "api_key": "none", "project": PROJECT, "max_retries": 0}
for strict in (True, False):
    with openai.OpenAI(**options, _strict_response_validation=strict) as client:
        thread = threads(client)
        runs(client, thread)
        other_face(client, thread)
        background(client)
        files(client)
        completions(client)
        for assistant in client.beta.assistants.list():
            client.beta.assistants.delete(assistant.id)
print("done")
