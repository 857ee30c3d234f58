"""`clew serve` as a process: its one line, its signals, what it refuses."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from openai import InternalServerError, OpenAI

from ..server.served import CLEW, SECONDS_MAX, Served, bare_environment, serving

RULES = """
rules:
  - {match: '^slow', reply: one two three four five six, token_delay_ms: 150}
"""


def client_of(server: Served) -> OpenAI:
    return OpenAI(
        base_url=f"{server.url}/v1",
        api_key="none",
        max_retries=0,
        _strict_response_validation=True,
    )


def refused(folder: Path, *flags: str, **environment: str) -> str:
    """What `clew serve` says when it does not start."""
    done = subprocess.run(
        [*CLEW, "serve", *flags],
        cwd=folder,
        env=bare_environment(**environment),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.startswith("clew: ")
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_with_zero(tmp_path: Path, number: signal.Signals):
    """One line when ready, then healthy; a signal ends it with status 0 and no other output."""
    with serving("--port", "0", folder=tmp_path) as server:
        assert server.host == "127.0.0.1"
        with urlopen(f"{server.url}/healthz") as answer:
            assert (answer.status, json.load(answer)) == (200, {"status": "ok"})
        server.process.send_signal(number)
        assert server.process.wait(SECONDS_MAX) == 0
        assert server.process.stdout is not None
        assert server.process.stdout.read() == ""
    assert (tmp_path / "clew.db").exists()


def test_settings_come_from_the_environment_and_the_file(tmp_path: Path):
    """The store from CLEW_STORE, the port from clew.toml, the script from a flag."""
    (tmp_path / "clew.toml").write_text('port = 0\nstore = "sqlite:///toml.db"\n')
    (tmp_path / "rules.yaml").write_text("rules: [{reply: From the script.}]")
    environment = bare_environment(CLEW_STORE="sqlite:///env.db")
    with (
        serving("--script", "rules.yaml", folder=tmp_path, environment=environment) as server,
        client_of(server) as client,
    ):
        said = client.responses.create(model="scripted", input="x").output_text
        assert said == "From the script."
        assert server.stop() == 0
    assert (tmp_path / "env.db").exists()
    assert not (tmp_path / "toml.db").exists()


def test_a_turn_under_way_is_finished_before_the_end(tmp_path: Path):
    """SIGTERM lets a stream run to its end; the answer is in the store afterwards."""
    (tmp_path / "rules.yaml").write_text(RULES)
    flags = ("--port", "0", "--script", "rules.yaml")
    with serving(*flags, folder=tmp_path) as server, client_of(server) as client:
        conversation = client.conversations.create().id
        kinds = []
        with client.responses.create(
            model="scripted", input="slow", conversation=conversation, stream=True
        ) as stream:
            for event in stream:
                kinds.append(event.type)
                if kinds.count("response.output_text.delta") == 1:
                    server.process.send_signal(signal.SIGTERM)
        assert kinds[-1] == "response.completed"
        assert server.process.wait(SECONDS_MAX) == 0
    assert answer_after_restart(tmp_path, conversation) == "one two three four five six"


def test_a_run_that_takes_too_long_is_left_to_the_next_process(tmp_path: Path):
    """Its stream ends without an end, who waits for one is told to ask again, the process ends with
    0, and the next one finishes it."""
    (tmp_path / "rules.yaml").write_text("rules: [{reply: one two, token_delay_ms: 60000}]")
    flags = ("--port", "0", "--script", "rules.yaml")
    with (
        serving(*flags, folder=tmp_path) as server,
        client_of(server) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        with client.responses.create(model="scripted", input="x", stream=True) as stream:
            first = next(iter(stream))
            there = client.conversations.create().id
            asked = {"model": "scripted", "input": "x", "conversation": there}
            waiting = pool.submit(client.responses.create, **asked)
            while not client.conversations.items.list(there).data:
                assert not waiting.done()
            server.process.send_signal(signal.SIGTERM)
            kinds = [event.type for event in stream]
        with pytest.raises(InternalServerError, match="goes on at the next one"):
            waiting.result(SECONDS_MAX)
        assert first.type == "response.created"
        assert not {"response.failed", "response.completed"} & set(kinds)
        assert server.process.wait(SECONDS_MAX) == 0
    (tmp_path / "rules.yaml").write_text("rules: [{reply: three four}]")
    with serving(*flags, folder=tmp_path) as server, client_of(server) as client:
        until = time.monotonic() + SECONDS_MAX
        while (response := client.responses.retrieve(first.response.id)).status == "in_progress":
            assert time.monotonic() < until, "nobody went on with the response"
            time.sleep(0.1)
        assert response.status == "completed"
        assert response.output_text.endswith("three four")


def test_a_run_nobody_follows_is_finished_before_the_end(tmp_path: Path):
    """The same for a run that was created and left alone."""
    (tmp_path / "rules.yaml").write_text(RULES)
    flags = ("--port", "0", "--script", "rules.yaml")
    with serving(*flags, folder=tmp_path) as server, client_of(server) as client:
        assistant = client.beta.assistants.create(model="scripted").id
        thread: Any = {"messages": [{"role": "user", "content": "slow"}]}
        run = client.beta.threads.create_and_run(assistant_id=assistant, thread=thread)
        assert server.stop() == 0
    conversation = run.thread_id.replace("thread_", "conv_")
    assert answer_after_restart(tmp_path, conversation) == "one two three four five six"


def answer_after_restart(folder: Path, conversation: str) -> str:
    """The newest text of a conversation, as another process finds it."""
    with serving("--port", "0", folder=folder) as server, client_of(server) as client:
        newest = client.conversations.items.list(conversation, limit=1).data[0]
    text: str = newest.content[0].text
    return text


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com", ""])
def test_it_listens_on_loopback_only(tmp_path: Path, host: str):
    """Without keys, any other address is refused by name, and no store is made."""
    assert f"does not listen on {host}" in refused(tmp_path, "--host", host)
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_refused_by_name(tmp_path: Path):
    """It says which."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}" in refused(tmp_path, "--port", str(port))


@pytest.mark.parametrize("port", ["-1", "65536", "99999999"])
def test_what_is_no_port_is_refused_by_name(tmp_path: Path, port: str):
    """Without a traceback."""
    assert "port" in refused(tmp_path, "--port", port)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--store", "mysql://x"], "Not a store URL: 'mysql://x'"),
        (["--store", "sqlite:////no/such/folder/clew.db"], "/no/such/folder/clew.db"),
        (["--store", "postgresql://127.0.0.1:1/none"], "The database did not answer"),
        (["--script", "none.yaml"], "none.yaml"),
        (["--upstream", "not a url"], "upstream_url"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name(
    tmp_path: Path, flags: list[str], complaint: str
):
    """It is named, with status 1, before anything listens."""
    assert complaint in refused(tmp_path, "--port", "0", *flags)


def test_two_servers_share_one_file(tmp_path: Path):
    """What one acknowledged the other shows at once."""
    with (
        serving("--port", "0", folder=tmp_path) as one,
        serving("--port", "0", folder=tmp_path) as two,
        client_of(one) as here,
        client_of(two) as there,
    ):
        thread = here.beta.threads.create().id
        workers = [
            threading.Thread(
                target=lambda client=client: [
                    client.beta.threads.messages.create(thread, role="user", content="x")
                    for _ in range(10)
                ]
            )
            for client in (here, there)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        seen = [[m.id for m in one.beta.threads.messages.list(thread)] for one in (here, there)]
    assert seen[0] == seen[1]
    assert len(seen[0]) == 20
