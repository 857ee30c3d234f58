"""Clew inside a process: the store's verbs, and official clients without a port."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

import clew
from clew.core.errors import BadRequest, ClewError, NotFound
from clew.core.ids import new_item_id, new_key
from clew.core.items import message
from clew.core.paging import Page
from clew.core.threads import Thread

from ..server import releases

PROJECT = "proj_default"
RULES = Path(__file__).parents[1] / "server" / "rules.yaml"


@pytest.fixture(params=["sqlite://:memory:", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.param if request.param != "file" else f"sqlite:///{tmp_path}/clew.db"


@pytest.fixture
def here(url: str) -> Iterator[clew.Clew]:
    with clew.open(url, script=str(RULES)) as here:
        yield here


@pytest.fixture
def client(here: clew.Clew) -> Iterator[openai.OpenAI]:
    with here.openai(_strict_response_validation=True, max_retries=0) as client:
        yield client


def test_the_verbs_of_the_store_are_plain_calls(here: clew.Clew):
    """A thread is made, added to, read and erased without a word of asyncio."""
    key = new_key(1)
    here.create_thread(PROJECT, Thread(key, 1, 1, {"k": "v"}))
    item = message(new_item_id("user", 1), "user", "hi", 1)
    assert here.append_items(PROJECT, key, [item], 2) == (2, 1)
    [found], more = here.list_items(PROJECT, key, Page())
    assert (found.text(), found.seq, more) == ("hi", 1, False)
    assert here.get_thread(PROJECT, key).last_seq == 1
    with pytest.raises(NotFound):
        here.get_thread(PROJECT, "none")


def test_the_official_client_needs_no_port(here: clew.Clew, client: openai.OpenAI):
    """Threads, runs and responses, validated strictly; the store shows them at once."""
    assistant = client.beta.assistants.create(model="scripted").id
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "hello"}]).id
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread, assistant_id=assistant, poll_interval_ms=5
    )
    assert run.status == "completed"
    response = client.responses.create(
        model="scripted", input="hello", conversation=thread.replace("thread_", "conv_")
    )
    assert response.output_text == "Hello there, dear friend."
    items, _ = here.list_items(PROJECT, thread.removeprefix("thread_"), Page(100, "asc"))
    assert [item.kind for item in items] == ["user", "assistant", "user", "assistant"]


def test_streams_arrive_piece_by_piece(client: openai.OpenAI):
    """Both faces stream; the first text is here before the last is said."""
    assistant = client.beta.assistants.create(model="scripted").id
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "hello"}]).id
    with client.beta.threads.runs.stream(thread_id=thread, assistant_id=assistant) as stream:
        assert "".join(stream.text_deltas) == "Hello there, dear friend."
    client.beta.threads.messages.create(thread, role="user", content="dictate")
    with client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True) as events:
        for event in events:
            if event.event == "thread.run.created":
                run = event.data.id
            if event.event == "thread.message.delta":
                client.beta.threads.runs.cancel(run, thread_id=thread)
    assert event.event == "thread.run.cancelled"


def test_the_asynchronous_client_needs_no_port_either(here: clew.Clew):
    """Awaited, streamed and paged, on an event loop that is not Clew's; many at once."""

    async def play() -> None:
        async with here.async_openai(_strict_response_validation=True, max_retries=0) as client:
            async with client.responses.stream(model="scripted", input="hello") as stream:
                final = await stream.get_final_response()
            assert final.output_text == "Hello there, dear friend."
            thread = (await client.beta.threads.create()).id
            create = client.beta.threads.messages.create
            await asyncio.gather(*(create(thread, role="user", content=str(n)) for n in range(20)))
            listed = client.beta.threads.messages.list(thread, limit=7)
            said = {message.content[0].text.value async for message in listed}
            assert said == set(map(str, range(20)))

    asyncio.run(play())


def test_errors_are_the_clients_own(client: openai.OpenAI):
    """What is refused over HTTP is refused here, with the same class and words."""
    with pytest.raises(openai.NotFoundError) as refused:
        client.beta.threads.retrieve("thread_none")
    assert refused.value.body["message"] == "No thread found with id 'thread_none'."
    assert refused.value.request_id.startswith("req_")


def test_it_may_be_used_from_any_thread(here: clew.Clew, client: openai.OpenAI):
    """Eight threads of the process append to one thread of messages: none is lost."""
    thread = client.beta.threads.create().id

    def write(number: int) -> None:
        for count in range(5):
            text = f"{number} {count}"
            client.beta.threads.messages.create(thread, role="user", content=text)

    workers = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    items, _ = here.list_items(PROJECT, thread.removeprefix("thread_"), Page(100, "asc"))
    assert [item.seq for item in items] == list(range(1, 41))
    assert len({item.text() for item in items}) == 40


def test_a_file_is_there_when_it_is_opened_again(tmp_path: Path):
    """What one Clew wrote the next one reads; closing twice does no harm."""
    url = f"sqlite:///{tmp_path}/clew.db"
    with clew.open(url) as here, here.openai() as client:
        thread = client.beta.threads.create(messages=[{"role": "user", "content": "kept"}]).id
    here.close()
    with clew.open(url) as here, here.openai() as client:
        [message] = client.beta.threads.messages.list(thread)
        assert message.content[0].text.value == "kept"


def test_closing_ends_what_is_under_way(tmp_path: Path):
    """A turn that is still being answered is finished before the store is let go."""
    url = f"sqlite:///{tmp_path}/clew.db"
    with clew.open(url, script=str(RULES)) as here, here.openai() as client:
        assistant = client.beta.assistants.create(model="scripted").id
        run = client.beta.threads.create_and_run(
            assistant_id=assistant, thread={"messages": [{"role": "user", "content": "hello"}]}
        )
    with clew.open(url) as here, here.openai() as client:
        ended = client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
        assert ended.status == "completed"


@pytest.mark.parametrize(
    "url", ["", "clew.db", "sqlite://", "mysql://x", "sqlite:////no/such/dir/x.db"]
)
def test_a_url_that_leads_nowhere_is_refused(url: str):
    """It is a ClewError that says what would work, and no thread is left behind."""
    before = set(threading.enumerate())
    with pytest.raises(ClewError):
        clew.open(url)
    assert set(threading.enumerate()) <= before


OLD = """
import warnings, clew, openai
warnings.filterwarnings("ignore", "The Assistants API is deprecated", DeprecationWarning)
assert openai.__version__ == {version!r}
with clew.open("sqlite://:memory:") as here:
    with here.openai(_strict_response_validation=True) as client:
        assistant = client.beta.assistants.create(model="scripted").id
        thread = client.beta.threads.create(messages=[{{"role": "user", "content": "hi"}}]).id
        with client.beta.threads.runs.stream(thread_id=thread, assistant_id=assistant) as stream:
            stream.until_done()
        print(len(list(client.beta.threads.messages.list(thread, limit=1))))
"""


def test_an_old_client_is_bound_too(request: pytest.FixtureRequest, tmp_path: Path):
    """A 1.x release of the official client sits on another HTTP library and works the same."""
    packages = releases.python_client(request.config.cache, releases.PYTHON[0])
    done: Any = subprocess.run(
        [sys.executable, "-W", "error", "-c", OLD.format(version=releases.PYTHON[0])],
        env=releases.environment(packages),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


def test_several_upstreams_may_be_given_when_it_is_opened():
    """Each model goes to the first that answers for it; a wrong entry is refused by name."""
    url = "http://127.0.0.1:9/v1"
    entries = [{"url": url, "kind": "anthropic", "models": ["claude-*"]}]
    with clew.open("sqlite://:memory:", upstream=url, upstreams=entries) as here:
        provider_of = here.app.server.executor.provider_of
        names = [provider_of(model).name for model in ("claude-x", "gpt-0", "scripted")]
    assert names == ["anthropic", "openai-compatible", "scripted"]
    with pytest.raises(BadRequest, match="kind"):
        clew.open("sqlite://:memory:", upstream=url, upstream_kind="telepathy")
