"""Files and uploads: values in, values out, as the SDK types them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import FileObject, Upload
from openai.types.uploads import UploadPart

from clew.core.errors import BadRequest
from clew.core.files import File, Part, assemble, new_file, starts
from clew.wire import files, uploads

from .official import strict
from .strategies import allowed, any_text, bodies_like, examples

NOW = 1_700_000_000_999


def test_a_file_has_every_field() -> None:
    """What is not said is null; what is stored is ready."""
    file = File("k", NOW, "a.txt", "batch", 5)
    encoded = files.encode_file(file)
    assert encoded == {
        "id": "file-k",
        "object": "file",
        "bytes": 5,
        "created_at": 1_700_000_000,
        "expires_at": None,
        "filename": "a.txt",
        "purpose": "batch",
        "status": "processed",
        "status_details": None,
    }
    strict(FileObject, encoded)


def test_a_purpose_may_say_when_a_file_ends() -> None:
    """A file for a batch after 30 days, others never, and what is asked for goes first."""
    assert new_file("k", NOW, "a", "batch").expires_at == NOW + 30 * 86_400_000
    assert new_file("k", NOW, "a", "evals").expires_at is None
    assert new_file("k", NOW, "a", "batch", 5).expires_at == NOW + 5


def test_parts_stand_one_after_the_other() -> None:
    """Each begins where the one before ends; their sum must be what was announced."""
    assert starts([]) == []
    assert starts([3, 0, 2]) == [0, 3, 3]
    upload = uploads.decode_upload(
        {"bytes": 5, "filename": "f", "mime_type": "x/y", "purpose": "batch"}, NOW
    )
    assert assemble(upload, "k", [3, 0, 2], NOW).bytes == 5
    with pytest.raises(BadRequest):
        assemble(upload, "k", [3, 0, 3], NOW)


@given(allowed(uploads.CREATE))
@examples(75)
def test_every_upload_let_in_can_be_read_back(body: dict[str, Any]) -> None:
    """As the SDK types it, with the file it becomes."""
    if any(c in body["filename"] for c in "./\\") or not body["filename"].isprintable():
        body["filename"] = "plain"
    upload = uploads.decode_upload(body, NOW)
    file = new_file("k", NOW, upload.filename, "batch")
    assert strict(Upload, uploads.encode_upload(upload, file)).bytes == body["bytes"]
    assert strict(Upload, uploads.encode_upload(upload)).file is None


def test_a_part_names_its_upload() -> None:
    """With the ids that clients use."""
    part = strict(UploadPart, uploads.encode_part(Part("p", "u", NOW)))
    assert (part.id, part.upload_id) == ("part_p", "upload_u")


@given(any_text.filter(bool))
@examples(200)
def test_no_name_breaks_a_header(name: str) -> None:
    """One line of plain ASCII, with two quotation marks, whatever the name."""
    said = files.disposition(name.encode(errors="replace").decode())
    assert said.isascii()
    assert said.isprintable()
    assert said.count('"') == 2


@given(bodies_like(["bytes", "filename", "mime_type", "purpose", "part_ids", "expires_after"]))
@examples(150)
def test_no_body_breaks_the_decoders(body: Any) -> None:
    """Whatever comes as an upload or its end, the answer is a value or a refusal."""
    for decode in (lambda: uploads.decode_upload(body, NOW), lambda: uploads.decode_parts(body)):
        try:
            assert decode() is not None
        except BadRequest as error:
            error.message.encode()


@given(st.lists(st.tuples(any_text | st.sampled_from(["purpose", "file"]), any_text), max_size=4))
@examples(150)
def test_no_form_breaks_the_decoder(fields: list[tuple[str, str]]) -> None:
    """Whatever its fields are, the answer is a file or a refusal."""
    try:
        assert files.decode_file(fields, "f", NOW).purpose
    except BadRequest as error:
        error.message.encode()
