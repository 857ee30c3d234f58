"""Files that messages name by id reach the model by their content."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from clew.core.files import PIECE_BYTES_MAX, File
from clew.core.items import Item, new_item
from clew.executor import attached
from clew.executor.attached import Attached, image_type
from clew.providers.provider import Abilities, ProviderError

from .stage import T0, Stage, over, play, says, stage

PNG = b"\x89PNG\r\n\x1a\n and so on"


async def keep(here: Stage, key: str, filename: str, content: bytes) -> None:
    for start in range(0, len(content), PIECE_BYTES_MAX):
        piece = content[start : start + PIECE_BYTES_MAX]
        await here.store.write_blob(here.project, f"blob{key}", piece, T0)
    file = File(key, T0, filename, "vision")
    await here.store.create_file(here.project, file, f"blob{key}")


def showing(*parts: dict[str, Any]) -> Item:
    return new_item("msg_1", {"type": "message", "role": "user", "content": list(parts)}, T0)


IMAGE = {"type": "input_image", "file_id": "file-P", "detail": "low"}
PAPER = {"type": "input_file", "file_id": "file-D"}
TEXT = {"type": "input_text", "text": "See?"}


def url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"


def test_a_model_is_sent_the_content_of_files() -> None:
    """Images as data URLs by what they are, files with their name; the log keeps the ids."""

    async def main() -> None:
        async with stage(says("I see.")) as here:
            await keep(here, "P", "picture.bin", PNG)
            paper = b"%PDF" + b"x" * (PIECE_BYTES_MAX + 5)
            await keep(here, "D", "paper.pdf", paper)
            thread = await here.thread()
            item = showing(TEXT, IMAGE, PAPER)
            await here.store.append_items(here.project, thread, [item], T0)
            run = await here.finished("So?", thread=thread)
            assert run.status == "completed"
            sent = here.provider.asked[0].items[0].data()["content"]
            assert sent == [
                TEXT,
                {"type": "input_image", "detail": "low", "image_url": url("image/png", PNG)},
                {
                    "type": "input_file",
                    "file_data": url("application/pdf", paper),
                    "filename": "paper.pdf",
                },
            ]
            assert (await here.log(thread))[0].data()["content"] == [TEXT, IMAGE, PAPER]

    play(main())


def test_what_a_tool_answers_may_name_files_too() -> None:
    """In a list of parts, or as a screenshot."""

    async def main() -> None:
        async with stage() as here:
            await keep(here, "P", "p.png", PNG)
            shot = {"type": "computer_screenshot", "file_id": "file-P"}
            items = [
                new_item("a", {"type": "computer_call_output", "call_id": "c", "output": shot}, T0),
                new_item(
                    "b", {"type": "function_call_output", "call_id": "d", "output": [IMAGE]}, T0
                ),
            ]
            first, second = await Attached(here.store, here.project, here.now).put_in(items)
            assert first.data()["output"]["image_url"] == url("image/png", PNG)
            assert second.data()["output"][0]["image_url"] == url("image/png", PNG)

    play(main())


def test_a_file_that_is_gone_fails_the_run() -> None:
    """Visibly, by the file's name, before the model is asked; another project's is gone too."""

    async def main() -> None:
        async with stage() as here:
            await here.store.write_blob("proj_other", "blob1", PNG, T0)
            await here.store.create_file("proj_other", File("P", T0, "p.png", "vision"), "blob1")
            thread = await here.thread()
            await here.store.append_items(here.project, thread, [showing(IMAGE)], T0)
            run = await here.finished("So?", thread=thread)
            assert run.error == {
                "code": "invalid_prompt",
                "message": "File 'file-P', which a message names, is gone.",
            }
            assert here.provider.asked == []

    play(main())


def test_an_upstream_with_files_of_its_own_is_sent_their_ids() -> None:
    """An id that is none of ours stays; one of ours is content there too."""

    async def main() -> None:
        async with stage(says("ok")) as here:
            await keep(here, "P", "p.png", PNG)
            here.provider.abilities = Abilities(files=True)
            thread = await here.thread()
            await here.store.append_items(here.project, thread, [showing(IMAGE, PAPER)], T0)
            await over(here.executor.start(here.project, await here.queued("?", thread=thread)))
            image, paper = here.provider.asked[0].items[0].data()["content"]
            assert (image["image_url"], paper) == (url("image/png", PNG), PAPER)

    play(main())


def test_too_many_bytes_fail_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is for a whole call; a file named twice counts once."""

    async def main() -> None:
        async with stage() as here:
            await keep(here, "P", "p.png", PNG)
            await keep(here, "D", "d.txt", b"x" * 10)
            put_in = Attached(here.store, here.project, here.now).put_in
            monkeypatch.setattr(attached, "ATTACHED_BYTES_MAX", len(PNG) + 9)
            assert len(await put_in([showing(IMAGE), showing(IMAGE)])) == 2
            with pytest.raises(ProviderError, match="file-D is too much"):
                await put_in([showing(IMAGE), showing(PAPER)])

    play(main())


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_file", "file_id": "file-X", "file_data": "data:x"},
        {"type": "input_image", "image_url": "https://x", "file_id": "file-X"},
        {"type": "input_text", "text": '"file_id"'},
        {"type": "output_text", "text": "x", "annotations": [{"file_id": "file-X"}]},
    ],
)
def test_nothing_is_fetched_that_is_there(part: dict[str, Any]) -> None:
    """A part with its content beside the id, and citations, are left as they are."""

    async def main() -> None:
        async with stage() as here:
            items = [showing(part)]
            assert await Attached(here.store, here.project, here.now).put_in(items) == items

    play(main())


@pytest.mark.parametrize(
    ("beginning", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"", None),
    ],
)
def test_what_an_image_is_is_told_by_its_bytes(beginning: bytes, kind: str | None) -> None:
    """Names lie."""
    assert image_type(beginning) == kind
