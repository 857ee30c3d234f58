"""file_search in runs, by the official client: both faces, streamed and not."""

from __future__ import annotations

from typing import Any

import pytest
from openai import OpenAI

from clew.core.vector_stores import DAY_MS
from clew.testing import upstream as chat
from clew.testing.upstream import Received, Reply

from .doubles import Doubles
from .live import Live
from .test_vector_stores import FABLE, polled, uploaded

FOUND = "step_details.tool_calls[*].file_search.results[*].content"
RESULTS = "file_search_call.results"
SEARCH: Any = {"type": "file_search"}


@pytest.fixture
def store(tools: OpenAI) -> str:
    """A vector store with the fable in it."""
    made = tools.vector_stores.create().id
    polled(tools, made, uploaded(tools), attributes={"kind": "fable"})
    return made


def thread_with(client: OpenAI, text: str, *files: str) -> str:
    """A thread whose message brings files for file_search."""
    given: Any = [{"file_id": file, "tools": [SEARCH]} for file in files]
    message: Any = {"role": "user", "content": text, "attachments": given}
    return client.beta.threads.create(messages=[message]).id


def assistant_with(client: OpenAI, store: str | None = None, **search: Any) -> str:
    tool: Any = {**SEARCH, "file_search": search} if search else SEARCH
    held: Any = {"file_search": {"vector_store_ids": [store]}} if store else {}
    return client.beta.assistants.create(model="scripted", tools=[tool], tool_resources=held).id


def poll(client: OpenAI, thread: str, assistant: str, **options: Any) -> Any:
    return client.beta.threads.runs.create_and_poll(
        thread_id=thread, assistant_id=assistant, poll_interval_ms=20, **options
    )


def steps_of(client: OpenAI, run: Any, **options: Any) -> list[Any]:
    steps = client.beta.threads.runs.steps
    return list(steps.list(run.id, thread_id=run.thread_id, order="asc", **options))


def completed_in(events: list[Any]) -> list[Any]:
    """The steps that a stream told the end of."""
    return [whole(each.data) for each in events if each.event == "thread.run.step.completed"]


def whole(step: Any) -> Any:
    """A step without its time: one that ended is told before its run ends, whose time it shows."""
    return step.model_copy(update={"completed_at": None})


def newest_message(client: OpenAI, thread: str) -> Any:
    return client.beta.threads.messages.list(thread, limit=1).data[0]


def newest(client: OpenAI, thread: str) -> Any:
    return newest_message(client, thread).content[0].text


def check_cited(text: Any, *files: str) -> None:
    """Each annotation is where it says it is, and means one of these files."""
    assert [note.type for note in text.annotations] == ["file_citation"]
    for note in text.annotations:
        assert note.file_citation.file_id in files
        assert text.value[note.start_index : note.end_index] == note.text
        assert note.text.startswith("【")


def test_a_run_searches_the_files_of_thread_and_assistant(tools: OpenAI, store: str):
    """Both are found; steps show the search, with its text where asked for; the answer cites."""
    own = uploaded(tools, "The cheese of this thread is a Gouda.", "mine.txt")
    (theirs,) = [each.id for each in tools.vector_stores.files.list(store)]
    thread = thread_with(tools, "find cheese", own)
    run = poll(tools, thread, assistant_with(tools, store), include=[FOUND])
    assert (run.status, run.last_error) == ("completed", None)
    call, said = steps_of(tools, run)
    assert (call.type, said.type, call.status) == ("tool_calls", "message_creation", "completed")
    results = call.step_details.tool_calls[0].file_search.results
    assert {each.file_id for each in results} == {own, theirs}
    assert {each.file_name for each in results} == {"mine.txt", "fable.txt"}
    assert all(each.content is None for each in results)
    assert call.step_details.tool_calls[0].file_search.ranking_options.ranker == "auto"
    shown = steps_of(tools, run, include=[FOUND])[0].step_details.tool_calls[0].file_search.results
    assert all("cheese" in each.content[0].text for each in shown)
    check_cited(newest(tools, thread), own, theirs)


def test_a_streamed_run_adds_up_to_what_is_stored(tools: OpenAI, store: str):
    """The steps as they end, and the message of the client's accumulator, are those stored."""
    thread, assistant = thread_with(tools, "find cheese"), assistant_with(tools, store)
    with tools.beta.threads.runs.stream(
        thread_id=thread, assistant_id=assistant, include=[FOUND]
    ) as stream:
        events = list(stream)
        run, (call, _) = stream.get_final_run(), stream.get_final_run_steps()
        (message,) = stream.get_final_messages()
    stored = steps_of(tools, run, include=[FOUND])
    assert completed_in(events) == [whole(step) for step in stored]
    assert stored[0].step_details.tool_calls[0].file_search.results[0].content[0].text == FABLE
    assert [one.type for one in call.step_details.tool_calls] == ["file_search"]
    assert message == newest_message(tools, thread)
    check_cited(message.content[0].text, *(e.id for e in tools.vector_stores.files.list(store)))


def test_a_response_searches_and_cites(tools: OpenAI, store: str):
    """A `file_search_call` whose results are shown where asked for, and an answer that cites."""
    tool: Any = {**SEARCH, "vector_store_ids": [store]}
    response = tools.responses.create(model="scripted", input="find cheese", tools=[tool])
    call, said = response.output
    assert (call.type, call.status, call.queries, call.results) == (
        "file_search_call",
        "completed",
        ["cheese"],
        None,
    )
    (note,) = said.content[0].annotations
    assert (note.type, note.filename) == ("file_citation", "fable.txt")
    assert response.output_text.startswith("It says so 【")
    assert note.index == response.output_text.index("【")
    with_text = tools.responses.retrieve(response.id, include=[RESULTS]).output[0]
    assert with_text.results[0].text == FABLE
    assert with_text.results[0].attributes == {"kind": "fable"}
    again = tools.responses.create(
        model="scripted", input="find cheese", tools=[tool], include=[RESULTS]
    )
    assert again.output[0].results[0].file_id == note.file_id


def test_a_streamed_response_tells_of_the_search(tools: OpenAI, store: str):
    """in_progress, searching, completed; the accumulator has what is stored."""
    tool: Any = {**SEARCH, "vector_store_ids": [store]}
    with tools.responses.stream(
        model="scripted", input="find cheese", tools=[tool], include=[RESULTS]
    ) as stream:
        events = list(stream)
        final = stream.get_final_response()
    stored = tools.responses.retrieve(final.id, include=[RESULTS])
    assert unparsed(final.to_dict()) == stored.to_dict()
    told = [event.type for event in events if "file_search" in event.type]
    assert told == [f"response.file_search_call.{s}" for s in STAGES]
    notes = [event.annotation for event in events if event.type == ADDED]
    assert [note.filename for note in notes] == ["fable.txt"]
    assert [event.sequence_number for event in events] == list(range(len(events)))


def unparsed(data: Any) -> Any:
    """What the client was told, without what it makes of that."""
    if isinstance(data, list):
        return [unparsed(one) for one in data]
    if isinstance(data, dict):
        return {name: unparsed(value) for name, value in data.items() if name != "parsed"}
    return data


STAGES = ("in_progress", "searching", "completed")
ADDED = "response.output_text.annotation.added"


def test_a_run_waits_for_files_that_were_just_attached(tools: OpenAI):
    """What is being indexed when the run begins is found."""
    text = "word " * 60_000 + "The password is swordfish."
    thread = thread_with(tools, "find swordfish", uploaded(tools, text, "long.txt"))
    run = poll(tools, thread, assistant_with(tools))
    assert run.status == "completed"
    assert newest(tools, thread).value.startswith("It says so 【")


def test_a_run_without_its_store_fails_and_says_why(tooled: Live, tools: OpenAI, store: str):
    """Deleted or expired: the run fails in words that name the store."""
    expiring: Any = {"anchor": "last_active_at", "days": 1}
    old = tools.vector_stores.create(expires_after=expiring).id
    words = {store: "No vector store found with id '{}'.", old: "Vector store '{}' has expired."}
    assistants = {id: assistant_with(tools, id) for id in words}
    tools.vector_stores.delete(store)
    server = tooled.here.app.server
    executor, real = server.executor, server.executor._now
    executor._now = lambda: real() + 2 * DAY_MS
    try:
        for id, said in words.items():
            thread = thread_with(tools, "find cheese")
            run = poll(tools, thread, assistants[id])
            assert (run.status, run.last_error.code) == ("failed", "server_error")
            assert run.last_error.message == said.format(id)
    finally:
        executor._now = real


def test_a_response_whose_store_is_gone_is_told_so(tools: OpenAI, store: str):
    """A store that the tool names itself: the call fails, and the model is told why."""
    tool: Any = {**SEARCH, "vector_store_ids": [store]}
    tools.vector_stores.delete(store)
    response = tools.responses.create(model="scripted", input="find cheese", tools=[tool])
    assert response.output[0].status == "failed"
    assert f"There is no vector store '{store}'" in response.output_text


def test_what_a_search_is_limited_to(tools: OpenAI, store: str):
    """Number, filter and score hold for what a model gets."""
    polled(tools, store, uploaded(tools, "More cheese.", "b.txt"), attributes={"kind": "list"})

    def names(**options: Any) -> list[str]:
        tool: Any = {**SEARCH, "vector_store_ids": [store], **options}
        made = tools.responses.create(
            model="scripted", input="find cheese", tools=[tool], include=[RESULTS]
        )
        return [each.filename for each in made.output[0].results]

    assert sorted(names()) == ["b.txt", "fable.txt"]
    assert len(names(max_num_results=1)) == 1
    only = {"type": "eq", "key": "kind", "value": "list"}
    assert names(filters=only) == ["b.txt"]
    assert names(filters={**only, "type": "ne"}) == ["fable.txt"]
    assert names(ranking_options={"score_threshold": 1.1}) == []
    thread = thread_with(tools, "find cheese")
    run = poll(tools, thread, assistant_with(tools, store, max_num_results=1))
    assert len(steps_of(tools, run)[0].step_details.tool_calls[0].file_search.results) == 1


def test_a_model_over_http_searches_and_cites(tools: OpenAI, upstream: Doubles, store: str):
    """It is offered a function, gets results under markers, and cites by them."""
    upstream.reply(
        chat.streams(chat.call(0, "call_1", "file_search", '{"queries": ["cheese"]}')), cites
    )
    tool: Any = {**SEARCH, "vector_store_ids": [store]}
    response = tools.responses.create(model="gpt", input="Cheese?", tools=[tool])
    asked, told = (request.body for request in upstream.double.requests)
    assert [tool["function"]["name"] for tool in asked["tools"]] == ["file_search"]
    assert [message["role"] for message in told["messages"]] == ["user", "assistant", "tool"]
    assert FABLE in told["messages"][-1]["content"]
    assert response.output_text.startswith("🐦 It fell")
    (note,) = response.output[1].content[0].annotations
    assert note.index == response.output_text.index("【")
    assert response.usage is None


def cites(received: Received) -> Reply:
    """What cites the first result, after a letter of two code units."""
    output = received.body["messages"][-1]["content"]
    marker = output[: output.index("】") + 1]
    return chat.says("🐦 It fell", f" {marker[:4]}", marker[4:], ".")
