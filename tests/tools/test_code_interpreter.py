"""code_interpreter: calls and what comes of them, files in and out, and what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai.types.beta.threads.runs import CodeInterpreterToolCall
from openai.types.responses import ResponseCodeInterpreterToolCall

from clew.core.code_citations import cited, files_of
from clew.core.errors import ClewError, NotFound
from clew.core.files import File
from clew.core.ids import new_key
from clew.core.items import new_item
from clew.core.runs import Run
from clew.store.store import Store
from clew.store.urls import open_store
from clew.testing.conformance.proof import T0, new_project, new_run
from clew.tools import code_files
from clew.tools.code_interpreter import CodeInterpreter
from clew.tools.sandbox import Sandbox
from clew.tools.tool import Place, ToolError
from clew.wire.items import encode_item
from clew.wire.parts import to_thread_annotation
from clew.wire.steps import encode_steps
from tests.tools.sandbox.driving import TIGHT

pytestmark = pytest.mark.usefixtures("bubblewrap")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/clew.db"
    create: Callable[[], str] = request.getfixturevalue("new_postgres_database")
    return create()


class Bench:
    """A store, the tool, and a thread to work in."""

    def __init__(self, store: Store, tool: CodeInterpreter, project: str) -> None:
        self.store, self.tool, self.project = store, tool, project
        self.stages: list[tuple[str, dict[str, Any]]] = []

    def place(self, thread: str = "T", *ids: str, container: Any = None) -> Place:
        config = {"type": "code_interpreter"} | ({"container": container} if container else {})
        resources = {"code_interpreter": {"file_ids": list(ids)}} if ids else {}
        return Place(self.project, thread, "R", config, resources)

    async def call(self, code: str, place: Place | None = None) -> dict[str, Any]:
        place = place or self.place()
        item = self.tool.ask(place, "code_interpreter", json.dumps({"code": code}))
        self.stages.clear()
        return await self.tool.act(place, item, lambda *stage: self.stages.append(stage))

    async def file(self, name: str, data: bytes) -> str:
        key, blob = new_key(T0), new_key(T0)
        for start in range(0, max(len(data), 1), 200_000):
            await self.store.write_blob(self.project, blob, data[start : start + 200_000], T0)
        await self.store.create_file(self.project, File(key, T0, name, "assistants"), blob)
        return f"file-{key}"

    async def content(self, id: str) -> bytes:
        file = await self.store.get_file(self.project, id.removeprefix("file-"), T0)
        data = b""
        while piece := await self.store.read_file(self.project, file.key, len(data), 200_000):
            data += piece
        assert len(data) == file.bytes
        assert file.purpose == "assistants_output"
        return data


@asynccontextmanager
async def opened(url: str, sandbox: Sandbox | None = None, **settings: Any) -> AsyncIterator[Bench]:
    store = await open_store(url)
    tool = CodeInterpreter(store, lambda: T0, sandbox or Sandbox(TIGHT), **settings)
    try:
        yield Bench(store, tool, new_project())
    finally:
        await tool.close()
        await store.close()


def play(url: str, test: Callable[[Bench], Any], **settings: Any) -> None:
    async def run() -> None:
        async with opened(url, **settings) as bench, asyncio.timeout(60):
            await test(bench)

    asyncio.run(run())


def logs(item: dict[str, Any]) -> str:
    return "".join(each["logs"] for each in item["outputs"] if each["type"] == "logs")


def test_a_call_runs_and_is_told_on_the_way(url: str):
    """The item has the code and its output; the stages come in the order of the wire's events."""

    async def test(bench: Bench) -> None:
        item = await bench.call("x = 20\nprint('hello')\nx + 1")
        assert item == {
            "type": "code_interpreter_call",
            "status": "completed",
            "container_id": "cntr_T",
            "code": "x = 20\nprint('hello')\nx + 1",
            "outputs": [{"type": "logs", "logs": "hello\n21\n"}],
            "files": [],
        }
        assert bench.stages == [
            ("in_progress", {}),
            ("code.delta", {"delta": item["code"]}),
            ("code.done", {"code": item["code"]}),
            ("interpreting", {}),
            ("completed", {}),
        ]
        assert bench.tool.told(item) == (
            "code_interpreter",
            '{"code":"x = 20\\nprint(\'hello\')\\nx + 1"}',
            "hello\n21\n",
        )
        again = await bench.call("x")
        assert logs(again) == "20\n"
        assert bench.tool.told(await bench.call("y = 1")) == (
            "code_interpreter",
            '{"code":"y = 1"}',
            "[There was no output.]",
        )

    play(url, test)


def test_threads_and_projects_have_nothing_in_common(url: str):
    """Variables and files of one thread are not in another, nor in another project's."""

    async def test(bench: Bench) -> None:
        await bench.call("x = 1; open('x.txt', 'w').close()")
        look = "import os; print(os.listdir()); x"
        for place in (bench.place("U"), Place("another", "T", "R", {"type": "code_interpreter"})):
            found = logs(await bench.call(look, place))
            assert found.startswith("[]\nTraceback")
            assert found.endswith("NameError: name 'x' is not defined\n")

    play(url, test)


def test_files_of_the_thread_are_there_under_their_names(url: str):
    """Attached files are in /mnt/data whole; names that are tricks or twice are made harmless."""
    large = bytes(range(256)) * 2_000

    async def test(bench: Bench) -> None:
        ids = [
            await bench.file("table.csv", b"a,b\n1,2\n"),
            await bench.file("table.csv", b"second"),
            await bench.file("../../etc/passwd", b"trick"),
            await bench.file("new\nline", b""),
            await bench.file("large.bin", large),
        ]
        place = bench.place("T", *ids, container={"type": "auto", "file_ids": ids[4:]})
        look = "import os; print({n: os.path.getsize(n) for n in sorted(os.listdir('/mnt/data'))})"
        item = await bench.call(look, place)
        sizes = {"large.bin": 512_000, "new_line": 0, "passwd": 5, "table-2.csv": 6, "table.csv": 8}
        assert logs(item) == f"{sizes}\n"
        assert item["files"] == []
        check = "open('large.bin', 'rb').read() == bytes(range(256)) * 2000"
        assert logs(await bench.call(check, place)) == "True\n"
        offer = await bench.tool.offer(place, [])
        assert "\n/mnt/data/table-2.csv" in offer.functions[0].description

    play(url, test)


def test_a_file_added_later_is_there_in_the_next_call(url: str):
    """What a session holds is not sent again; what was changed there stays changed."""

    async def test(bench: Bench) -> None:
        first, second = await bench.file("a.txt", b"1"), await bench.file("b.txt", b"2")
        await bench.call("open('a.txt', 'a').write('!') and None", bench.place("T", first))
        item = await bench.call(
            "open('a.txt').read() + open('b.txt').read()", bench.place("T", first, second)
        )
        assert logs(item) == "'1!2'\n"

    play(url, test)


def test_files_that_cannot_be_had_are_told(url: str):
    """A deleted file, and one for which there is no room, leave a line; the code runs."""

    async def test(bench: Bench) -> None:
        gone, big = await bench.file("gone", b"x"), await bench.file("big", bytes(33 * 2**20))
        await bench.store.delete_file(bench.project, gone.removeprefix("file-"), T0)
        item = await bench.call("import os; os.listdir()", bench.place("T", gone, big, "nonsense"))
        assert item["status"] == "completed"
        first, second, third, last = logs(item).splitlines()
        assert first == f"[The file {gone} has been deleted.]"
        assert second == "[The file big could not be put into /mnt/data: File too large.]"
        assert third == "[The file nonsense has been deleted.]"
        assert last == "[]"

    play(url, test)


def test_what_code_writes_becomes_files(url: str):
    """New and changed files come back, others do not; a model can link them."""

    async def test(bench: Bench) -> None:
        kept = await bench.file("in.txt", b"in")
        place = bench.place("T", kept)
        code = "import os; os.mkdir('sub')\nfor name in ('a.csv', 'sub/b c.bin'):"
        first = await bench.call(code + "\n    open(name, 'w').write(name * 3)", place)
        names = [(each["path"], each["filename"], each["bytes"]) for each in first["files"]]
        assert names == [
            ("/mnt/data/a.csv", "a.csv", 15),
            ("/mnt/data/sub/b c.bin", "b c.bin", 33),
        ]
        assert await bench.content(first["files"][1]["file_id"]) == b"sub/b c.bin" * 3
        assert (await bench.call("1", place))["files"] == []
        changed = await bench.call("open('in.txt', 'a').write('!'); os.remove('a.csv')", place)
        assert [each["path"] for each in changed["files"]] == ["/mnt/data/in.txt"]
        assert await bench.content(changed["files"][0]["file_id"]) == b"in!"
        told = bench.tool.told(first)
        assert told is not None
        assert "[/mnt/data/a.csv was kept: sandbox:/mnt/data/a.csv]\n" in told[2]
        text = "Here: [b](sandbox:/mnt/data/sub/b%20c.bin)"
        (note,) = cited(text, files_of(first))
        assert note["file_id"] == first["files"][1]["file_id"]
        assert to_thread_annotation(note, text) == {
            "type": "file_path",
            "text": "sandbox:/mnt/data/sub/b%20c.bin",
            "start_index": 10,
            "end_index": 41,
            "file_path": {"file_id": note["file_id"]},
        }

    play(url, test)


def test_figures_are_images_on_both_faces(url: str):
    """A figure is a PNG of ours: a `url` in a response, a `file_id` in a run step."""
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nprint('drawn')"

    async def test(bench: Bench) -> None:
        item = await bench.call(code)
        log, image = item["outputs"]
        assert log == {"type": "logs", "logs": "drawn\n"}
        id = image["file_id"]
        assert image["url"] == f"/v1/files/{id}/content"
        assert (await bench.content(id)).startswith(b"\x89PNG\r\n")
        stored = new_item("ci_A", item, T0, "R")
        shown = json.loads(encode_item(stored, ["code_interpreter_call.outputs"]))
        ResponseCodeInterpreterToolCall.model_validate(shown, strict=True)
        (step,) = encode_steps(ended(), [stored])
        call = CodeInterpreterToolCall.model_validate(step["step_details"]["tool_calls"][0])
        assert call.code_interpreter.outputs[1].image.file_id == id
        told = bench.tool.told(item)
        assert told is not None
        assert told[2] == "drawn\n[The figure figure-1.png was shown to the user.]\n"

    play(url, test, sandbox=Sandbox())


def ended() -> Run:
    return new_run("T", status="completed", completed_at=T0)


def test_no_more_files_come_back_than_may(url: str, monkeypatch: pytest.MonkeyPatch):
    """Too many files, or too many bytes, are left out, and the output says which."""
    monkeypatch.setattr(code_files, "FILES_MAX", 3)
    monkeypatch.setattr(code_files, "BYTES_MAX", 1_000_000)

    async def test(bench: Bench) -> None:
        many = await bench.call("for n in range(5): open(f'{n}', 'w').write('x')")
        assert [each["filename"] for each in many["files"]] == ["0", "1", "2"]
        assert "[Files were not kept (3, 4): at most 3 files and 1 MB are" in logs(many)
        large = await bench.call(
            "open('big', 'wb').write(bytes(1_000_001)); open('s', 'w').close()"
        )
        assert [each["filename"] for each in large["files"]] == ["s"]
        assert "[Files were not kept (big)" in logs(large)

    play(url, test)


def test_links_bring_nothing_of_the_host(url: str):
    """A link to a file of the host, under any name, does not become a file."""

    async def test(bench: Bench) -> None:
        code = "import os\nfor n, t in enumerate(['/etc/hostname', '/proc/self/environ', '/usr']):"
        item = await bench.call(code + "\n    os.symlink(t, f'link{n}.txt')\nos.mkfifo('pipe')")
        assert (item["status"], item["files"], item["outputs"]) == ("completed", [], [])

    play(url, test)


def test_lost_state_is_told(url: str):
    """A call that breaks a limit says so, and the next one that it begins afresh."""

    async def test(bench: Bench) -> None:
        await bench.call("x = 1")
        broken = await bench.call("print('on the way')\nimport os\nos._exit(1)")
        assert logs(broken) == (
            "on the way\n[The interpreter ended. The session is over; the next call begins a new "
            "one.]\n"
        )
        assert broken["status"] == "completed"
        after = logs(await bench.call("x"))
        assert after.startswith(
            "[This is a new session: what earlier calls had made is lost (the interpreter "
            "ended).]\n"
        )
        assert after.endswith("NameError: name 'x' is not defined\n")

    play(url, test)


def test_a_broken_off_call_leaves_no_bytes(url: str):
    """Cancelled while files come out, no half file stays, and the next call works."""

    async def test(bench: Bench) -> None:
        written: list[str] = []
        write = bench.store.write_blob

        async def stuck(project: str, blob: str, data: bytes, now_ms: int) -> int:
            if written:
                await asyncio.sleep(100)
            written.append(blob)
            return await write(project, blob, data, now_ms)

        bench.store.write_blob = stuck  # type: ignore[method-assign]
        running = asyncio.create_task(bench.call("open('x', 'w').write('x' * 100)"))
        while not written:
            await asyncio.sleep(0.005)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        bench.store.write_blob = write  # type: ignore[method-assign]
        file = File(new_key(T0), T0, "x", "assistants")
        with pytest.raises(NotFound):
            await bench.store.create_file(bench.project, file, written[0])
        assert logs(await bench.call("1")).endswith("1\n")

    play(url, test)


def test_a_store_that_fails_fails_the_call(tmp_path: Path):
    """Where files cannot be kept the call is failed with the store's words, and nothing raised."""

    async def test(bench: Bench) -> None:
        async def full(*_: Any, **__: Any) -> File:
            raise ClewError("unavailable", "The disk is full.")

        bench.store.create_file = full  # type: ignore[method-assign]
        item = await bench.call("open('x', 'w').write('x')")
        assert (item["status"], logs(item)) == ("failed", "[The disk is full.]\n")
        assert logs(await bench.call("1")).endswith("1\n")

    play(f"sqlite:///{tmp_path}/clew.db", test)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ('{"code": "1"}', "1"),
        ('"1 + 1"', "1 + 1"),
        ("print(1)", "print(1)"),
        ('{"code": 1}', None),
        ("{}", None),
        ("[1]", None),
        ("", ""),
    ],
)
def test_what_a_model_writes_is_taken_as_code(tmp_path: Path, arguments: str, code: str | None):
    """JSON with the code, the code as JSON, or the code itself; else it says what is wrong."""

    async def test(bench: Bench) -> None:
        item = bench.tool.ask(bench.place(), "code_interpreter", arguments)
        assert (item["status"], item["code"]) == ("in_progress", code)
        if code is None:
            done = await bench.tool.act(bench.place(), item, lambda *_: None)
            assert done["status"] == "failed"
            assert "the string 'code'" in logs(done)

    play(f"sqlite:///{tmp_path}/clew.db", test)


@pytest.mark.parametrize(
    ("container", "refused"),
    [
        ("cntr_T", None),
        ("cntr_U", "Container 'cntr_U' is not the one of this conversation."),
        ({"type": "auto"}, None),
        ({"type": "auto", "memory_limit": None, "network_policy": {"type": "disabled"}}, None),
        ({"type": "auto", "memory_limit": "1g"}, None),
        ({"type": "auto", "memory_limit": "4g"}, "'4g' is more than this server allows (1024 MiB)"),
        ({"type": "auto", "network_policy": {"type": "allowlist"}}, "The sandbox has no network"),
    ],
)
def test_what_cannot_be_had_is_refused(tmp_path: Path, container: Any, refused: str | None):
    """A foreign container, more memory than there is, or a network: by name, before any code."""

    async def test(bench: Bench) -> None:
        place = bench.place(container=container)
        if refused is None:
            offer = await bench.tool.offer(place, [])
            assert [function.name for function in offer.functions] == ["code_interpreter"]
            assert logs(await bench.call("1", place)) == "1\n"
        else:
            with pytest.raises(ToolError) as error:
                await bench.tool.offer(place, [])
            assert refused in error.value.message
            item = await bench.call("open('/mnt/data/x', 'w')", place)
            assert (item["status"], refused in logs(item)) == ("failed", True)

    play(f"sqlite:///{tmp_path}/clew.db", test, sandbox=Sandbox())


def test_without_a_sandbox_no_code_runs(tmp_path: Path):
    """Where bubblewrap is missing the tool is refused by name, and a call fails unrun."""

    async def test(bench: Bench) -> None:
        assert "apt-get install bubblewrap" in str(bench.tool.problem({}))
        with pytest.raises(ToolError, match="Install the package 'bubblewrap'"):
            await bench.tool.offer(bench.place(), [])
        mark = tmp_path / "ran"
        item = await bench.call(f"open({str(mark)!r}, 'w')")
        assert item["status"] == "failed"
        assert "Install the package 'bubblewrap'" in logs(item)
        assert not mark.exists()

    play(f"sqlite:///{tmp_path}/clew.db", test, sandbox=Sandbox(bwrap="no-such-bwrap"))


def test_a_lost_call_is_failed(tmp_path: Path):
    """A call whose end nobody knows is told as failed, with its code; an unfinished one not."""

    async def test(bench: Bench) -> None:
        item = bench.tool.ask(bench.place(), "code_interpreter", '{"code": "1"}')
        assert bench.tool.told(item | {"status": "interpreting"}) is None
        lost = bench.tool.lost(item | {"status": "interpreting"})
        assert (lost["status"], lost["code"]) == ("failed", "1")
        told = bench.tool.told(lost)
        assert told is not None
        assert "The server stopped while the code ran" in told[2]

    play(f"sqlite:///{tmp_path}/clew.db", test)


def test_a_model_reads_the_ends_of_long_output(tmp_path: Path):
    """The log is kept whole up to its limit; a model gets its beginning and its end."""

    async def test(bench: Bench) -> None:
        item = await bench.call("print('first', 'x' * 100_000, 'last')")
        assert len(logs(item)) == 100_012
        told = bench.tool.told(item)
        assert told is not None
        assert told[2].startswith("first xxx")
        assert told[2].endswith("xxx last\n")
        assert "\n[… 34476 letters are left out here …]\n" in told[2]
        assert len(told[2]) < 66_000

    play(f"sqlite:///{tmp_path}/clew.db", test)
