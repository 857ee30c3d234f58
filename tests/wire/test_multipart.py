"""Forms: the same whatever the pieces they come in, and never more than a form."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.errors import BadRequest
from clew.wire.files import CREATE
from clew.wire.multipart import FIELD_BYTES_MAX, FIELDS_MAX, Form

from .strategies import examples

TYPE = "multipart/form-data; boundary=edge"


def part(head: str, content: bytes) -> bytes:
    return f"--edge\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"


def a_form(content: bytes, filename: str = "a.txt") -> bytes:
    """A purpose, a file, and a field after it."""
    return (
        part('name="purpose"', b"batch")
        + part(f'name="file"; filename="{filename}"', content)
        + part('name="expires_after[seconds]"', b"3600")
        + b"--edge--\r\n"
    )


def read(pieces: list[bytes], content_type: str = TYPE) -> tuple[Form, bytes]:
    form = Form(content_type, "file", CREATE)
    content = b"".join(found for piece in pieces for found in form.feed(piece))
    form.finish()
    return form, content


def refusal(pieces: list[bytes], content_type: str = TYPE) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        read(pieces, content_type)
    return caught.value


@given(
    st.binary(max_size=60) | st.sampled_from([b"\r\n--edg", b"\r\n--edge", b"\r\n--\r\n--edges"]),
    st.lists(st.integers(0, 400), max_size=8),
)
@examples(200)
def test_a_form_is_the_same_in_any_pieces(content: bytes, cuts: list[int]) -> None:
    """Wherever the network cuts it: the fields, the name and every byte of the file."""
    if b"\r\n--edge" in b"\r\n" + content:
        content = b"edge"
    body = a_form(content)
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[start:end] for start, end in pairwise(places)]
    form, found = read(pieces)
    assert found == content
    assert form.filename == "a.txt"
    assert form.fields == [("purpose", "batch"), ("expires_after[seconds]", "3600")]


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"--edge", b"\r\n", a_form(b"x")])))
@examples(200)
def test_no_body_breaks_a_form(pieces: list[bytes]) -> None:
    """Whatever comes, it is a form or a refusal."""
    form = Form(TYPE, "file", CREATE)
    try:
        for piece in pieces:
            form.feed(piece)
        form.finish()
    except BadRequest as error:
        error.message.encode()
    else:
        assert form.filename == "a.txt"


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "multipart/mixed; boundary=edge", "application/x-www-form-urlencoded"],
)
def test_what_is_no_form_is_refused(content_type: str) -> None:
    """By its type, which is said again."""
    error = refusal([b""], content_type)
    assert error.wire_code == "unsupported_content_type"
    assert f"'Content-Type: {content_type}'" in error.message


@pytest.mark.parametrize("boundary", ["", ";boundary=", "; boundary=" + "x" * 71])
def test_a_form_needs_a_boundary(boundary: str) -> None:
    """Of 1 to 70 characters, as RFC 2046 has it."""
    assert refusal([b""], f"multipart/form-data{boundary}").wire_code == "invalid_multipart"


def test_older_file_names_are_read_too() -> None:
    """UTF-8 where it is, else Latin-1."""
    for raw, name in ((b"\xc3\xbc.txt", "ü.txt"), (b"\xfc.txt", "ü.txt")):
        body = a_form(b"x", "NAME").replace(b"NAME", raw)
        assert read([body])[0].filename == name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ('filename="say %22hi%22.txt"', 'say "hi".txt'),
        ('filename="say \\"hi\\".txt"', 'say "hi".txt'),
        ("filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"),
        ("filename=\"=?utf-8?B?bg==?=\"; filename*=utf-8'fr'na%C3%AFve.txt", "naïve.txt"),
        ('filename="100%.txt"', "100%.txt"),
        ("filename*=UTF-8''..%2Fa.txt", "a.txt"),
    ],
)
def test_a_file_has_the_name_its_client_meant(written: str, name: str) -> None:
    """However the client has written what cannot stand between quotes."""
    body = part('name="purpose"', b"batch") + part(f'name="file"; {written}', b"x")
    form, _ = read([body + b"--edge--\r\n"])
    assert form.filename == name


def test_a_form_has_limits() -> None:
    """Of its fields: how many there are, how long they are, how much is said of each."""
    file = part('name="file"; filename="a"', b"x")
    many = part('name="purpose"', b"x") * (FIELDS_MAX + 1)
    assert refusal([many, file]).wire_code == "invalid_multipart"
    long = part('name="purpose"', b"x" * (FIELD_BYTES_MAX + 1))
    assert refusal([long]).wire_code == "string_above_max_length"
    heads = part('name="purpose"\r\nx: ' + "y" * 10_000, b"x")
    assert refusal([heads]).wire_code == "invalid_multipart"
    assert refusal([file, file]).wire_code == "duplicate_parameter"
