"""Chunks of a streamed chat completion, turned into deltas."""

import itertools
from typing import Any

import msgspec
import pytest

from clew.providers.chat_chunks import ChatAnswer
from clew.providers.provider import (
    AnnotationDelta,
    Delta,
    Finish,
    ItemDone,
    ProviderError,
    TextDelta,
    ToolCallDelta,
)
from clew.testing.upstream import call


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **more}
    return msgspec.json.encode({"choices": [choice]})


def read(*chunks: bytes, scored: bool = False) -> list[Delta]:
    """All deltas of an answer whose own call ids are made-1, made-2, …"""
    numbers = itertools.count(1)
    answer = ChatAnswer(lambda: f"made-{next(numbers)}", scored=scored)
    deltas = [delta for data in chunks for delta in answer.feed(data)]
    return deltas + answer.end()


def test_text_comes_piece_by_piece_and_then_the_finish() -> None:
    deltas = read(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk({}, "stop"),
        b"[DONE]",
    )
    assert deltas == [TextDelta("Hel"), TextDelta("lo"), Finish("stop")]


def test_usage_may_come_alone_after_the_finish_reason() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    alone = msgspec.json.encode({"choices": [], "usage": usage})
    assert read(chunk({"content": "a"}), chunk({}, "stop"), alone)[-1] == Finish("stop", 9, 5, 4, 3)


def test_usage_may_be_null_and_lack_details() -> None:
    nulls = b'{"choices":null,"usage":null}'
    bare = b'{"usage":{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":null}}'
    assert read(nulls, bare, b"[DONE]") == [Finish("stop", 9, 5)]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("eos", "stop"),
    ],
)
def test_the_finish_reason_is_one_of_ours(said: str, reason: str) -> None:
    assert read(chunk({}, said)) == [Finish(reason)]


def test_done_alone_is_an_end() -> None:
    assert read(chunk({"content": "a"}), b"[DONE]") == [TextDelta("a"), Finish("stop")]


def test_neither_reason_nor_done_is_a_stream_that_broke_off() -> None:
    with pytest.raises(ProviderError, match=r"The model's stream broke off\.") as error:
        read(chunk({"content": "a"}))
    assert error.value.code == "server_error"


def test_a_refusal_is_told_as_one() -> None:
    assert read(chunk({"refusal": "No."}), chunk({}, "stop"))[0] == TextDelta("No.", "refusal")


@pytest.mark.parametrize(
    "said",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning_content": "hm", "reasoning": "hm"},
    ],
)
def test_reasoning_beside_the_text_is_told_once_and_as_reasoning(said: dict[str, Any]) -> None:
    assert read(chunk({"content": None, **said}), chunk({"content": "a"}, "stop")) == [
        TextDelta("hm", "reasoning_text"),
        TextDelta("a"),
        Finish("stop"),
    ]


def test_reasoning_in_a_shape_nobody_knows_is_passed_over() -> None:
    assert read(chunk({"reasoning": {"effort": "x"}}, "stop")) == [Finish("stop")]


def test_a_citation_loses_its_nesting() -> None:
    place = {"url": "https://x.test", "title": "X", "start_index": 0, "end_index": 1}
    notes = [{"type": "url_citation", "url_citation": place}]
    cited = read(chunk({"content": "a"}), chunk({"annotations": notes}, "stop"))
    assert cited[1] == AnnotationDelta({"type": "url_citation", **place})


def test_a_custom_tools_input_is_told_like_arguments() -> None:
    begun = {"index": 0, "id": "c1", "type": "custom", "custom": {"name": "sql", "input": "SEL"}}
    more = {"index": 0, "custom": {"input": "ECT"}}
    chunks = [chunk({"tool_calls": [part]}) for part in (begun, more)]
    assert read(*chunks, chunk({}, "tool_calls")) == [
        ToolCallDelta(0, "SEL", "c1", "sql", "custom_tool_call"),
        ToolCallDelta(0, "ECT", kind="custom_tool_call"),
        Finish("tool_calls"),
    ]


def test_log_probabilities_come_with_the_whole_message_before_a_call() -> None:
    scores = [{"token": text, "logprob": -1.0, "bytes": [], "top_logprobs": []} for text in "ab"]
    deltas = read(
        chunk({"content": "a"}, logprobs={"content": scores[:1]}),
        chunk({"content": "b"}, logprobs={"content": scores[1:]}),
        chunk(call(0, "c1", "f", "{}")),
        chunk({}, "tool_calls"),
        scored=True,
    )
    part = {"type": "output_text", "text": "ab", "annotations": [], "logprobs": scores}
    whole = {"type": "message", "role": "assistant", "status": "completed", "content": [part]}
    assert deltas[2] == ItemDone(whole)
    assert [type(delta) for delta in deltas] == [
        TextDelta,
        TextDelta,
        ItemDone,
        ToolCallDelta,
        Finish,
    ]


def test_a_server_that_scores_nothing_though_asked_leaves_the_message_to_its_text() -> None:
    assert read(chunk({"content": "a"}, "stop"), scored=True) == [TextDelta("a"), Finish("stop")]


def test_a_scored_message_cut_off_by_the_limit_says_so() -> None:
    scores = {"content": [{"token": "a", "logprob": -1.0, "bytes": [], "top_logprobs": []}]}
    whole = read(chunk({"content": "a"}, "length", logprobs=scores), scored=True)[1]
    assert isinstance(whole, ItemDone)
    assert whole.item["status"] == "incomplete"


def test_only_the_first_choice_is_the_answer() -> None:
    other = b'{"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":"length"}]}'
    assert read(other, chunk({"content": "a"}, "stop")) == [TextDelta("a"), Finish("stop")]


def test_an_answer_that_is_no_stream_reads_like_one() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    whole = {
        "object": "chat.completion",
        "choices": [{"message": {"content": "a", "tool_calls": calls}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    assert read(msgspec.json.encode(whole)) == [
        TextDelta("a"),
        ToolCallDelta(0, "{}", "c1", "f"),
        Finish("tool_calls", 1, 2),
    ]


def test_calls_are_put_together_by_index_however_they_are_cut() -> None:
    deltas = read(
        chunk(call(0, "c1", "f", "")),
        chunk(call(0, None, None, '{"a"')),
        chunk(call(1, "c2", "g", '{"b":')),
        chunk(call(0, None, None, ":1}")),
        chunk(call(1, None, None, "2}")),
        chunk({}, "tool_calls"),
    )
    assert deltas == [
        ToolCallDelta(0, "", "c1", "f"),
        ToolCallDelta(0, '{"a"'),
        ToolCallDelta(1, '{"b":', "c2", "g"),
        ToolCallDelta(0, ":1}"),
        ToolCallDelta(1, "2}"),
        Finish("tool_calls"),
    ]


@pytest.mark.parametrize("index", [0, None])
def test_calls_that_share_an_index_or_have_none_are_told_apart_by_id(index: int | None) -> None:
    deltas = read(
        chunk(call(index, "c1", "f", '{"a":1}')),
        chunk(call(index, "c2", "f", '{"a":')),
        chunk(call(index, None, None, "2}")),
        chunk({}, "stop"),
    )
    assert deltas == [
        ToolCallDelta(0, '{"a":1}', "c1", "f"),
        ToolCallDelta(1, '{"a":', "c2", "f"),
        ToolCallDelta(1, "2}"),
        Finish("tool_calls"),
    ]


def test_an_id_said_again_is_still_the_same_call() -> None:
    deltas = read(
        chunk(call(0, "c1", "f", "{")), chunk(call(0, "c1", "f", "}")), chunk({}, "tool_calls")
    )
    assert deltas[:2] == [ToolCallDelta(0, "{", "c1", "f"), ToolCallDelta(0, "}")]


def test_calls_without_ids_are_given_some() -> None:
    deltas = read(chunk(call(0, None, "f", "{}")), chunk(call(1, "", "g", "{}")), b"[DONE]")
    assert deltas == [
        ToolCallDelta(0, "{}", "made-1", "f"),
        ToolCallDelta(1, "{}", "made-2", "g"),
        Finish("tool_calls"),
    ]


def test_a_call_without_arguments_has_an_empty_object_of_them() -> None:
    assert read(chunk(call(0, "c1", "now", "")), chunk({}, "tool_calls")) == [
        ToolCallDelta(0, "", "c1", "now"),
        ToolCallDelta(0, "{}"),
        Finish("tool_calls"),
    ]


def test_a_call_cut_off_by_the_token_limit_is_not_made_whole() -> None:
    assert read(chunk(call(0, "c1", "now", "")), chunk({}, "length"))[1:] == [Finish("length")]


@pytest.mark.parametrize(
    "data",
    [b'{"choices":[{"del', b"", b"[1]", b'{"choices":[{"delta":{"content":7}}]}', b'"\xff"'],
)
def test_a_chunk_that_is_not_one_is_the_servers_error(data: bytes) -> None:
    with pytest.raises(ProviderError) as error:
        read(data)
    assert error.value.code == "server_error"


def test_a_call_nobody_named_is_the_servers_error() -> None:
    with pytest.raises(ProviderError, match="without a name"):
        read(chunk(call(0, "c1", None, "{}")))


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ({"message": "out of memory", "type": "server_error"}, "server_error", "out of memory"),
        ({"message": "slow down", "code": "rate_limit_exceeded"}, "rate_limit_exceeded", "slow"),
        ({"message": "slow down", "code": 429}, "rate_limit_exceeded", "slow down"),
        ("it broke", "server_error", "it broke"),
    ],
)
def test_an_error_in_place_of_a_chunk_is_said_on(error: Any, code: str, said: str) -> None:
    with pytest.raises(ProviderError, match=said) as failure:
        read(msgspec.json.encode({"error": error}))
    assert failure.value.code == code
