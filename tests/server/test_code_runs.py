"""code_interpreter in runs, by the official client: both faces, streamed and not."""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest
from openai import OpenAI

from clew.tools.code_interpreter import CodeInterpreter
from clew.tools.sandbox import Sandbox

from .live import Live
from .test_file_search_runs import completed_in, newest, poll, steps_of, unparsed, whole
from .test_vector_stores import uploaded

CODE: Any = {"type": "code_interpreter"}
AUTO: Any = {**CODE, "container": {"type": "auto"}}
OUTPUTS = "code_interpreter_call.outputs"
FIGURE = "import matplotlib.pyplot as p; p.plot([1, 2]); p.show(); print('drawn')"
PNG = b"\x89PNG"

pytestmark = pytest.mark.usefixtures("bubblewrap")


@pytest.fixture
def assistant(tools: OpenAI) -> str:
    return tools.beta.assistants.create(model="scripted", tools=[CODE]).id


def thread_with(client: OpenAI, text: str, *files: str) -> str:
    given: Any = [{"file_id": file, "tools": [CODE]} for file in files]
    message: Any = {"role": "user", "content": text, "attachments": given}
    return client.beta.threads.create(messages=[message]).id


def more(client: OpenAI, thread: str, text: str, assistant: str) -> str:
    """What another run of the thread answers."""
    client.beta.threads.messages.create(thread, role="user", content=text)
    assert poll(client, thread, assistant).status == "completed"
    return str(newest(client, thread).value)


def ask(client: OpenAI, text: str, **options: Any) -> Any:
    asked: Any = {"model": "scripted", "tools": [AUTO], "input": text}
    return client.responses.create(**asked | options)


def test_a_run_draws_and_writes(tools: OpenAI, assistant: str):
    """A figure is an image of the step, a file that the answer names an annotation: both are
    there to be fetched."""
    code = f"{FIGURE}; open('/mnt/data/x.csv', 'w').write('a,b')"
    thread = thread_with(tools, f"run {code}")
    run = poll(tools, thread, assistant)
    assert (run.status, run.last_error) == ("completed", None)
    (call,) = steps_of(tools, run)[0].step_details.tool_calls
    assert call.code_interpreter.input == code
    logs, image = call.code_interpreter.outputs
    assert (logs.type, "drawn" in logs.logs, image.type) == ("logs", True, "image")
    assert tools.files.content(image.image.file_id).read().startswith(PNG)
    said = newest(tools, thread)
    (note,) = said.annotations
    assert (note.type, note.text) == ("file_path", "sandbox:/mnt/data/x.csv")
    assert said.value[note.start_index : note.end_index] == note.text
    assert tools.files.content(note.file_path.file_id).read() == b"a,b"
    assert tools.files.retrieve(note.file_path.file_id).purpose == "assistants_output"


def test_a_streamed_run_tells_the_code_and_what_it_gave(tools: OpenAI, assistant: str):
    """The client's accumulator adds the deltas up to the code and its outputs."""
    with tools.beta.threads.runs.stream(
        thread_id=thread_with(tools, f"run {FIGURE}"), assistant_id=assistant
    ) as stream:
        events = list(stream)
        run, (call, _) = stream.get_final_run(), stream.get_final_run_steps()
    (told,) = call.step_details.tool_calls
    stored = steps_of(tools, run)
    assert completed_in(events) == [whole(step) for step in stored]
    kept = stored[0].step_details.tool_calls[0]
    assert told.code_interpreter.input == kept.code_interpreter.input == FIGURE
    assert [one.type for one in told.code_interpreter.outputs] == ["logs", "image"]
    image = told.code_interpreter.outputs[1].image.file_id
    assert image == kept.code_interpreter.outputs[1].image.file_id


def test_a_response_runs_code(tools: OpenAI):
    """A `code_interpreter_call` with its outputs where asked for, and a citation of its file."""
    code = f"{FIGURE}; open('/mnt/data/x.csv', 'w').write('a,b')"
    response = ask(tools, f"run {code}")
    call, message = response.output
    assert (call.type, call.status, call.code) == ("code_interpreter_call", "completed", code)
    assert call.outputs is None
    (note,) = message.content[0].annotations
    assert (note.type, note.filename) == ("container_file_citation", "x.csv")
    assert note.container_id == call.container_id
    cited = response.output_text[note.start_index : note.end_index]
    assert cited == "sandbox:/mnt/data/x.csv"
    assert tools.files.content(note.file_id).read() == b"a,b"
    logs, image = tools.responses.retrieve(response.id, include=[OUTPUTS]).output[0].outputs
    assert "drawn" in logs.logs
    shown = tools.get(image.url.removeprefix("/v1"), cast_to=openai.HttpxBinaryResponseContent)
    assert shown.read().startswith(PNG)


def test_a_streamed_response_tells_the_code(tools: OpenAI):
    """in_progress, the code, interpreting, completed; the accumulator has what is stored."""
    with tools.responses.stream(
        model="scripted", input="run print(6 * 7)", tools=[AUTO], include=[OUTPUTS]
    ) as stream:
        events = list(stream)
        final = stream.get_final_response()
    told = [event.type for event in events if "code_interpreter" in event.type]
    assert told == [
        "response.code_interpreter_call.in_progress",
        "response.code_interpreter_call_code.delta",
        "response.code_interpreter_call_code.done",
        "response.code_interpreter_call.interpreting",
        "response.code_interpreter_call.completed",
    ]
    stored = tools.responses.retrieve(final.id, include=[OUTPUTS])
    assert unparsed(final.to_dict()) == stored.to_dict()
    assert final.output[0].outputs[0].logs == "42\n"


def test_a_thread_remembers_what_was_made(tools: OpenAI, assistant: str):
    """Variables and files are there in the thread's next run, and in a response's next turn."""
    thread = thread_with(tools, "run x = 20")
    assert poll(tools, thread, assistant).status == "completed"
    assert "21" in more(tools, thread, "run x + 1", assistant)
    first = ask(tools, "run y = 30")
    second = ask(tools, "run y + 1", previous_response_id=first.id)
    assert "31" in second.output_text
    container = first.output[0].container_id
    named = ask(
        tools,
        "run y + 2",
        previous_response_id=second.id,
        tools=[{**CODE, "container": container}],
    )
    assert "32" in named.output_text
    assert "NameError" in ask(tools, "run y").output_text


def test_files_of_thread_and_assistant_are_there(tools: OpenAI):
    """Under their names, whoever brings them; a response's container brings its own."""
    mine, theirs = uploaded(tools, "1", "mine.csv"), uploaded(tools, "2", "theirs.csv")
    held: Any = {"code_interpreter": {"file_ids": [theirs]}}
    assistant = tools.beta.assistants.create(model="scripted", tools=[CODE], tool_resources=held).id
    look = "run import os; print(sorted(os.listdir('/mnt/data')))"
    thread = thread_with(tools, look, mine)
    assert poll(tools, thread, assistant).status == "completed"
    assert "['mine.csv', 'theirs.csv']" in newest(tools, thread).value
    container = {"type": "auto", "file_ids": [mine]}
    made = ask(tools, look, tools=[{**CODE, "container": container}])
    assert "['mine.csv']" in made.output_text


def test_a_bomb_in_one_thread_leaves_the_others_alone(tools: OpenAI, tooled: Live, project: str):
    """While code loops and another eats memory, others are answered; the bombs end as such."""
    loop = ask(tools, "run while True: pass", background=True)
    bomb = ask(tools, "run x = bytearray(10**10)", background=True)
    with tooled.client(project=project, timeout=10) as quick:
        waits = []
        for _ in range(5):
            began = time.monotonic()
            assert "42" in ask(quick, "run 6 * 7").output_text
            waits.append(time.monotonic() - began)
    assert sorted(waits)[2] < 5
    ended = bomb
    while ended.status in ("queued", "in_progress"):
        time.sleep(0.05)
        ended = tools.responses.retrieve(bomb.id)
    assert "MemoryError" in ended.output_text
    assert tools.responses.retrieve(loop.id).status == "in_progress"
    assert tools.responses.cancel(loop.id).status == "cancelled"
    assert "42" in ask(tools, "run 6 * 7").output_text


@pytest.fixture
def without_sandbox(tooled: Live) -> Any:
    """The server, as if bubblewrap were not installed."""
    held = tooled.here.app.server.executor._tools
    real = held["code_interpreter"]
    store, now = real._files._store, real._files._now
    held["code_interpreter"] = CodeInterpreter(store, now, Sandbox(bwrap="no-bwrap"))
    yield
    held["code_interpreter"] = real


@pytest.mark.usefixtures("without_sandbox")
def test_without_a_sandbox_the_tool_is_refused(tools: OpenAI, assistant: str):
    """By its place and the missing package's name, before anything is stored."""
    thread = thread_with(tools, "run 1")
    with pytest.raises(openai.BadRequestError, match="bubblewrap") as refused:
        tools.beta.threads.runs.create(thread, assistant_id=assistant)
    assert refused.value.param == "tools[0].type"
    assert tools.beta.threads.runs.list(thread).data == []
    with pytest.raises(openai.BadRequestError, match="bubblewrap") as refused:
        ask(tools, "run 1")
    assert refused.value.param == "tools[0].type"
