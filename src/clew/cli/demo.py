"""`clew demo`: one support case, by the official client, over real HTTP, through both faces.

A customer asks about a charge and gives an invoice number. In the middle of the next answer the
server is killed with SIGKILL; another one takes the run over and finishes it. The last question is
answered from the thread through the Conversations and Responses APIs, and the thread is found by
its ticket.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clew.core.errors import ClewError

if TYPE_CHECKING:
    from openai import OpenAI

MODEL = "scripted"
WORDS_BEFORE_THE_CRASH = 6
MESSAGES = 9
"""Four questions, their answers, and what was said of the answer that was cut off."""
SCRIPT = Path(__file__).with_name("demo.yaml")
METADATA = {"account_id": "acct_4711", "ticket_id": "T-2093"}
_READY = "clew listening on "


class Server:
    """A `clew serve` process on a port of its own."""

    def __init__(self, store: str) -> None:
        command = [sys.executable, "-m", "clew", "serve", "--port", "0", "--store", store]
        command += ["--script", str(SCRIPT)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith(_READY):
            self._process.wait()
            raise ClewError("unavailable", "The demo's server did not start.")
        self.url = line.removeprefix(_READY).strip()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    def wait(self) -> None:
        """Until Ctrl-C, which the server gets as well."""
        try:
            self._process.wait()
        except KeyboardInterrupt:
            self._process.wait()


def demo(store: str | None, *, keep_serving: bool) -> int:
    """Play the case and print what happened; returns the exit status."""
    store = store or f"sqlite:///{_new_file()}"
    server = Server(store)
    try:
        client = _client(server)
        thread_id, assistant_id = _first_turns(client)
        run_id = _cut_off_turn(server, client, thread_id, assistant_id)
        print(f"\n-- kill -9 {server.pid}: the server is gone in mid-answer; starting another --\n")
        server = Server(store)
        client = _client(server)
        _finished_turn(client, thread_id, run_id)
        _last_turn(client, thread_id)
        _look_back(server, client, thread_id, store)
        if keep_serving:
            print(f"\nServing on {server.url} until Ctrl-C.", flush=True)
            server.wait()
    finally:
        server.stop()
    return 0


def _first_turns(client: OpenAI) -> tuple[str, str]:
    assistant = client.beta.assistants.create(
        model=MODEL, name="Billing support", instructions="Help with charges and refunds."
    )
    thread = client.beta.threads.create(metadata=METADATA)
    print("The answers come from a script and from the thread itself, not from a language model.")
    print(f"thread {thread.id}  {METADATA}\n")
    for text in (
        "Why was I charged twice this month?",
        "The second one is on invoice number INV-20391.",
    ):
        _say("threads", "user", text)
        client.beta.threads.messages.create(thread.id, role="user", content=text)
        run = client.beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id, poll_interval_ms=20
        )
        _check(run.status == "completed", f"the run ended as {run.status}")
        newest = client.beta.threads.messages.list(thread.id, limit=1).data[0]
        _say("threads", "assistant", newest.content[0].text.value)  # type: ignore[union-attr]
    return thread.id, assistant.id


def _cut_off_turn(server: Server, client: OpenAI, thread_id: str, assistant_id: str) -> str:
    """A question whose answer is only begun when the server is killed; the id of the run."""
    text = "And what happens next?"
    _say("threads", "user", text)
    client.beta.threads.messages.create(thread_id, role="user", content=text)
    run_id, said = "", ""
    with client.beta.threads.runs.create(
        thread_id, assistant_id=assistant_id, stream=True
    ) as events:
        for event in events:
            if event.event == "thread.run.created":
                run_id = event.data.id
            elif event.event == "thread.message.delta":
                said += event.data.delta.content[0].text.value  # type: ignore[index, union-attr, operator]
                if said.count(" ") >= WORDS_BEFORE_THE_CRASH:
                    break
        _say("threads", "assistant", f"{said.strip()} …")
        server.kill()
    return run_id


def _finished_turn(client: OpenAI, thread_id: str, run_id: str) -> None:
    """The same run, taken over: who held it is not heard of any more."""
    run = client.beta.threads.runs.poll(run_id, thread_id=thread_id, poll_interval_ms=100)
    _check(run.status == "completed", f"the run that was cut off ended as {run.status}")
    newest = client.beta.threads.messages.list(thread_id, limit=1).data[0]
    _say("threads", "assistant", newest.content[0].text.value)  # type: ignore[union-attr]
    print(f"{'':>10} | the same run, {run_id[:16]}…, taken over and {run.status}\n")


def _last_turn(client: OpenAI, thread_id: str) -> None:
    question = "Has the refund for my invoice gone through? Which invoice number was it?"
    _say("responses", "user", question)
    response = client.responses.create(
        model=MODEL, conversation=_conversation(thread_id), input=question
    )
    _say("responses", "assistant", response.output_text)
    _check("INV-20391" in response.output_text, "the answer does not know the invoice")


def _look_back(server: Server, client: OpenAI, thread_id: str, store: str) -> None:
    items = list(client.conversations.items.list(_conversation(thread_id), order="asc"))
    messages = list(client.beta.threads.messages.list(thread_id, order="asc"))
    same = [item.id for item in items] == [message.id for message in messages]
    _check(same and len(items) == MESSAGES, "the two faces do not show the same messages")
    query = {"metadata[ticket_id]": METADATA["ticket_id"]}
    found: Any = client.get("/threads", cast_to=object, options={"params": query})
    _check([each["id"] for each in found["data"]] == [thread_id], "the ticket finds no thread")
    print(f"\nBoth faces show the same {len(items)} messages, in the same order.")
    print(f"GET {server.url}/v1/threads?metadata[ticket_id]={METADATA['ticket_id']}")
    print(f"  -> {thread_id}, also known as {_conversation(thread_id)}")
    print(f"The data is in {store}")


def _client(server: Server) -> OpenAI:
    try:
        from openai import OpenAI
    except ImportError as error:
        message = "The demo uses the official client: pip install 'clew[openai]'."
        raise ClewError("unavailable", message) from error
    import warnings

    warnings.filterwarnings("ignore", "The Assistants API is deprecated", DeprecationWarning)
    return OpenAI(base_url=f"{server.url}/v1", api_key="none")


def _conversation(thread_id: str) -> str:
    return thread_id.replace("thread_", "conv_", 1)


def _say(face: str, role: str, text: str) -> None:
    print(f"{face:>10} | {role:>9} | {text}", flush=True)


def _check(holds: bool, problem: str) -> None:
    if not holds:
        raise ClewError("internal", f"The demo failed: {problem}.")


def _new_file() -> Path:
    return Path(tempfile.mkdtemp(prefix="clew-demo-")) / "clew.db"
