"""Content parts: what a message is made of, and how the two faces say the same part.

The canonical part is the Conversations one. The Threads face knows text, refusals and images, and
nothing else: a file that has an id is shown there as an attachment, every other kind of part is
left out and named, because a text that nobody wrote would be a lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clew.core.items import text_part
from clew.wire.checks import (
    Choice,
    Id,
    Integer,
    ListOf,
    Nullable,
    Number,
    Record,
    Spec,
    Tagged,
    Text,
)
from clew.wire.fields import TEXT_MAX

Part = dict[str, Any]


def shape(
    type: str,
    required: Mapping[str, Spec],
    optional: Mapping[str, Spec] | None = None,
    any_of: tuple[str, ...] = (),
) -> Record:
    """An object of one `type`; what is optional may also be null, unknown fields are kept."""
    maybe = {name: Nullable(spec) for name, spec in (optional or {}).items()}
    fields: dict[str, Spec] = {"type": Choice(type), **required, **maybe}
    return Record(fields, ("type", *required), extra="keep", any_of=any_of)


def kinds(*shapes: Record) -> dict[str, Spec]:
    """Shapes by their type."""
    return {spec.fields["type"].values[0]: spec for spec in shapes}  # type: ignore[attr-defined]


_SPAN: dict[str, Spec] = {"start_index": Integer(), "end_index": Integer()}
_MARKED: dict[str, Spec] = {"text": Text()}
"""The words a citation stands for, which only the Threads face writes."""
_TOKEN: dict[str, Spec] = {"token": Text(), "bytes": ListOf(Integer()), "logprob": Number()}

ANNOTATION = Tagged(
    "type",
    kinds(
        shape(
            "file_citation",
            {"file_id": Text(), "filename": Text(), "index": Integer()},
            {**_SPAN, **_MARKED},
        ),
        shape("url_citation", {"url": Text(), "title": Text(), **_SPAN}),
        shape(
            "container_file_citation",
            {"container_id": Text(), "file_id": Text(), "filename": Text(), **_SPAN},
            _MARKED,
        ),
        shape("file_path", {"file_id": Text(), "index": Integer()}, {**_SPAN, **_MARKED}),
    ),
)

_CACHE: dict[str, Spec] = {
    "prompt_cache_breakpoint": Record(
        {"mode": Choice("explicit"), "ttl": Nullable(Choice("30m", "12h"))}, ("mode",), "keep"
    )
}
_SOURCE = Text(min_length=1)
_IMAGE: dict[str, Spec] = {
    "image_url": _SOURCE,
    "file_id": _SOURCE,
    "detail": Choice("low", "high", "auto", "original"),
    **_CACHE,
}
_TEXT = Text(TEXT_MAX)

INPUT_PARTS = (
    shape("input_text", {"text": _TEXT}, _CACHE),
    shape("input_image", {}, _IMAGE, any_of=("image_url", "file_id")),
    shape(
        "input_file",
        {},
        {
            "file_id": _SOURCE,
            "filename": Text(),
            "file_data": _SOURCE,
            "file_url": _SOURCE,
            "detail": Choice("auto", "low", "high"),
            **_CACHE,
        },
        any_of=("file_id", "file_data", "file_url"),
    ),
)
"""What may be said to a model, and what a tool may answer."""

PARTS = (
    *INPUT_PARTS,
    shape(
        "output_text",
        {"text": _TEXT},
        {
            "annotations": ListOf(ANNOTATION),
            "logprobs": ListOf(
                Record(
                    {**_TOKEN, "top_logprobs": ListOf(Record(_TOKEN, _TOKEN, "keep"))},
                    (*_TOKEN, "top_logprobs"),
                    "keep",
                )
            ),
        },
    ),
    shape("refusal", {"refusal": _TEXT}),
    shape("text", {"text": _TEXT}),
    shape("summary_text", {"text": _TEXT}),
    shape("reasoning_text", {"text": _TEXT}),
    shape("computer_screenshot", {}, _IMAGE, any_of=("image_url", "file_id")),
)
"""What a message may hold."""

_FILLED: dict[str, Part] = {
    "output_text": {"annotations": [], "logprobs": []},
    "input_image": {"detail": "auto"},
    "computer_screenshot": {"detail": "auto"},
}


def filled(part: Part) -> Part:
    """The part with the fields OpenAI always returns."""
    defaults = _FILLED.get(part["type"])
    return part if defaults is None else fill(part, defaults)


def fill(data: Mapping[str, Any], defaults: Mapping[str, Any]) -> Part:
    """`data` with `defaults` for what is missing or null."""
    return {**data, **{n: value for n, value in defaults.items() if data.get(n) is None}}


_DETAIL = Choice("auto", "low", "high")
THREAD_PART = Tagged(
    "type",
    {
        "text": Record({"type": Choice("text"), "text": Text(TEXT_MAX, 1)}, ("type", "text")),
        "image_file": Record(
            {
                "type": Choice("image_file"),
                "image_file": Record({"file_id": Id(), "detail": _DETAIL}, ("file_id",)),
            },
            ("type", "image_file"),
        ),
        "image_url": Record(
            {
                "type": Choice("image_url"),
                "image_url": Record({"url": Text(min_length=1), "detail": _DETAIL}, ("url",)),
            },
            ("type", "image_url"),
        ),
    },
)
"""A part as the Threads face takes it."""


def from_thread_part(role: str, part: Part) -> Part:
    """The canonical part for one of the Threads face."""
    if part["type"] == "text":
        return text_part(role, part["text"])
    image = part[part["type"]]
    source = "file_id" if part["type"] == "image_file" else "image_url"
    where = image["file_id"] if source == "file_id" else image["url"]
    return {"type": "input_image", "detail": image.get("detail", "auto"), source: where}


def to_thread_parts(parts: Sequence[Part]) -> tuple[list[Part], list[Part], list[str]]:
    """The parts as the Threads face shows them, files to attach, and the types left out."""
    content: list[Part] = []
    files: list[Part] = []
    left_out: list[str] = []
    for part in parts:
        shown = _to_thread_part(part)
        if shown is not None:
            content.append(shown)
        elif part["type"] == "input_file" and part.get("file_id"):
            files.append({"file_id": part["file_id"], "tools": []})
        else:
            left_out.append(part["type"])
    return content, files, left_out


def _to_thread_part(part: Part) -> Part | None:
    match part["type"]:
        case "input_text" | "output_text" | "text" | "summary_text":
            notes = [
                to_thread_annotation(note, part["text"])
                for note in part.get("annotations") or ()
                if note["type"] in FILE_NOTES
            ]
            return {"type": "text", "text": {"value": part["text"], "annotations": notes}}
        case "refusal":
            return {"type": "refusal", "refusal": part["refusal"]}
        case "input_image" | "computer_screenshot":
            return _to_thread_image(part)
        case _:
            return None


def _to_thread_image(part: Part) -> Part | None:
    detail = part.get("detail") or "auto"
    if detail == "original":
        detail = "high"  # the nearest the Threads face can say
    if part.get("file_id"):
        return {"type": "image_file", "image_file": {"file_id": part["file_id"], "detail": detail}}
    if part.get("image_url"):
        return {"type": "image_url", "image_url": {"url": part["image_url"], "detail": detail}}
    return None


FILE_NOTES = {"file_citation", "container_file_citation", "file_path"}
"""Annotations the Threads face has a shape for: about files, not about web pages."""


def to_thread_annotation(note: Part, text: str) -> Part:
    """An annotation that only has an `index` becomes an empty span there, with nothing marked."""
    kind = "file_citation" if note["type"] == "file_citation" else "file_path"
    start = note["start_index"] if note.get("start_index") is not None else note["index"]
    end = note["end_index"] if note.get("end_index") is not None else start
    marked = note["text"] if note.get("text") is not None else text[max(start, 0) : max(end, 0)]
    return {
        "type": kind,
        "text": marked,
        "start_index": start,
        "end_index": end,
        kind: {"file_id": note["file_id"]},
    }
