"""Chunks of a chat completion: written, and gathered into the whole they are pieces of."""

from __future__ import annotations

from typing import Any

import msgspec
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from clew.core.completions import CallPiece, CitationPiece, End, Piece, TextPiece
from clew.wire.completion_chunks import Chunks, Whole, event

from .official import strict

SAID: list[Piece] = [
    TextPiece("Hm.", "reasoning"),
    TextPiece("Hel"),
    TextPiece("lo"),
    CitationPiece(
        {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
    ),
    CallPiece(0, "", "c1", "f"),
    CallPiece(0, '{"a"'),
    CallPiece(1, "x", "c2", "g", "custom"),
    CallPiece(0, ":1}"),
    End("tool_calls", 5, 3, 2, 1),
]


def written(pieces: list[Piece], include_usage: bool = True) -> list[dict[str, Any]]:
    chunks = Chunks("chatcmpl-X", 7, "m", include_usage)
    return [chunk for piece in pieces for chunk in chunks.encode(piece)]


def gathered(*chunks: dict[str, Any]) -> Whole:
    whole = Whole()
    for chunk in chunks:
        whole.take(chunk)
    return whole


def chunk(delta: dict[str, Any], index: int = 0, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


def test_every_chunk_is_as_the_client_types_it():
    """Each chunk passes the official client's strict check, but for custom tools, which its type
    of a chunk does not know."""
    for one in written([piece for piece in SAID if getattr(piece, "kind", "") != "custom"]):
        strict(ChatCompletionChunk, one)


def test_the_whole_is_what_the_chunks_said():
    """What is written in chunks and gathered again is the completion."""
    whole = gathered(*written(SAID))
    assert whole.is_complete
    completion = whole.completion()
    strict(ChatCompletion, completion)
    [choice] = completion["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": "Hello",
        "refusal": None,
        "reasoning_content": "Hm.",
        "annotations": [
            {
                "type": "url_citation",
                "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1},
            }
        ],
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
        ],
    }
    usage = completion["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (5, 3, 8)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 2
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 1


def test_usage_is_said_only_where_asked_for():
    """Without it no chunk speaks of usage; with it, the last one, which has no choice."""
    assert all("usage" not in one for one in written(SAID, include_usage=False))
    *before, last = written(SAID)
    assert all(one["usage"] is None for one in before)
    assert last["choices"] == []
    assert written([End("stop")])[-1]["usage"] is None


def test_a_refusal_is_said_as_one():
    """A refusal has a field of its own, and then there is no content."""
    whole = gathered(*written([TextPiece("No.", "refusal"), End("stop")])).completion()
    message = whole["choices"][0]["message"]
    assert (message["refusal"], message["content"]) == ("No.", None)


def test_choices_are_told_apart():
    """Choices come interleaved; scores and audio are gathered too."""
    score = {"token": "a", "bytes": None, "logprob": -1.0, "top_logprobs": []}
    first = chunk({"role": "assistant", "audio": {"id": "au_1", "data": "AA"}})
    first["choices"][0]["logprobs"] = {"content": [score], "refusal": None}
    whole = gathered(
        {"id": "x", "created": 1, "model": "m", "object": "chat.completion.chunk", **first},
        chunk({"content": "b"}, 1),
        chunk({"audio": {"data": "BB", "transcript": "hi", "expires_at": 9}}),
        first | {"error": None},
        chunk({"content": "c"}, 1, "length"),
        chunk({}, 0, "stop"),
    )
    a, b = whole.completion()["choices"]
    assert a["message"]["audio"] == {
        "id": "au_1",
        "data": "AABBAA",
        "transcript": "hi",
        "expires_at": 9,
    }
    assert a["logprobs"]["content"] == [score, score]
    assert (b["message"]["content"], b["finish_reason"]) == ("bc", "length")


def test_careless_calls_are_read_as_they_are_meant():
    """An index may be missing, or 0 for every call while the ids differ; ids may be missing."""

    def calls(*deltas: dict[str, Any]) -> list[Any]:
        whole = gathered(*(chunk({"tool_calls": [delta]}) for delta in deltas))
        message = whole.completion()["choices"][0]["message"]
        return [
            (call.get("id"), call["function"]["name"], call["function"]["arguments"])
            for call in message["tool_calls"]
        ]

    def delta(id: str | None, name: str | None, text: str, index: int | None) -> dict[str, Any]:
        function = {"name": name, "arguments": text}
        return {"index": index, "id": id, "type": "function", "function": function}

    two = [("a", "f", "{}"), ("b", "g", "{1}")]
    assert calls(delta("a", "f", "{}", 0), delta("b", "g", "{", 0), delta(None, "", "1}", 0)) == two
    assert (
        calls(delta("a", "f", "{}", None), delta("b", "g", "{", None), delta("b", "g", "1}", None))
        == two
    )
    assert calls(delta(None, "f", "{", 0), delta(None, None, "}", 0)) == [(None, "f", "{}")]


def test_what_broke_off_is_not_complete():
    """Without an end of every choice, or after an error, there is no whole."""
    assert not Whole().is_complete
    assert not gathered(chunk({"content": "a"})).is_complete
    assert not gathered(chunk({}, 0, "stop"), chunk({"content": "a"}, 1)).is_complete
    assert not gathered(chunk({}, 0, "stop"), {"error": {"message": "no"}}).is_complete
    assert gathered(chunk({}, 0, "stop")).is_complete


def test_an_answer_that_came_whole_is_gathered_as_it_is():
    """Some servers answer a stream with one completion."""
    message = {"role": "assistant", "content": "Hi."}
    whole = gathered({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    assert whole.completion()["choices"][0]["message"] == message | {"refusal": None}


def test_an_event_is_one_event_whatever_its_lines():
    """JSON on several lines stays one event."""
    assert event(b'{"a":1}') == b'data: {"a":1}\n\n'
    assert event(b'{\n"a":1}') == b'data: {\ndata: "a":1}\n\n'
    assert msgspec.json.decode(event(b'{\n"a":1}').replace(b"data: ", b"")) == {"a": 1}
