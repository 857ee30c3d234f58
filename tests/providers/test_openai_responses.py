"""An upstream that speaks Responses: everything it says goes through, and nothing is kept there."""

import asyncio
from typing import Any

import msgspec
import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pydantic import TypeAdapter

from clew.core.compactions import compaction
from clew.core.items import Item, message, new_item
from clew.providers.openai_responses import OpenAIResponses
from clew.providers.provider import (
    AnnotationDelta,
    Finish,
    HostedDelta,
    ItemDone,
    ModelRequest,
    ProviderError,
    TextDelta,
    ToolCallDelta,
)
from clew.providers.responses_events import ResponsesAnswer
from clew.providers.responses_request import input_items
from clew.testing.upstream import Reply, Upstream, refuses
from clew.testing.upstream_responses import (
    added,
    call,
    done,
    hosted,
    reasoning,
    says,
    streams,
)
from clew.testing.upstream_responses import (
    message as spoken,
)

from .hearing import KEY, hear

KIND = "openai-responses"
DONE = Finish("stop", 3, 2, 1, 0)


def items_of(*data: dict[str, Any]) -> list[Item]:
    return [new_item(f"x_{at}", one, 0) for at, one in enumerate(data)]


def test_an_answer_is_told_with_its_whole_message_and_its_usage() -> None:
    heard = hear(KIND, says("Hel", "lo"))
    assert heard.deltas[:2] == [TextDelta("Hel"), TextDelta("lo")]
    assert isinstance(heard.deltas[2], ItemDone)
    assert heard.deltas[2].item["content"][0]["text"] == "Hello"
    assert heard.deltas[3:] == [DONE]


def test_the_request_goes_to_responses_with_the_key_and_keeps_nothing_there() -> None:
    heard = hear(KIND, says("a"), said={"instructions": "Be kind."})
    (request,) = heard.upstream.requests
    assert (request.method, request.path) == ("POST", "/v1/responses")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body == {
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "instructions": "Be kind.",
        "include": ["reasoning.encrypted_content"],
        "stream": True,
        "store": False,
    }


def test_every_setting_goes_through_and_the_official_types_know_it() -> None:
    settings = {
        "include": ["file_search_call.results"],
        "max_tool_calls": 3,
        "moderation": {"model": "omni-moderation-latest"},
        "prompt": {"id": "pmpt_1", "variables": {"a": "b"}},
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "reasoning": {"effort": "low", "summary": "auto"},
        "safety_identifier": "s",
        "service_tier": "flex",
        "top_logprobs": 2,
        "truncation": "auto",
        "user": "u",
        "verbosity": "low",
        "background": True,
        "conversation": "conv_ours",
        "store": True,
    }
    tools: list[dict[str, Any]] = [
        {"type": "web_search"},
        {"type": "custom", "name": "sql"},
        {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True},
    ]
    format = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    sent = hear(
        KIND,
        says("a"),
        said={
            "settings": settings,
            "tools": tools,
            "tool_choice": {"type": "custom", "name": "sql"},
            "parallel_tool_calls": False,
            "temperature": 0.5,
            "top_p": 0.5,
            "tokens_max": 99,
            "text_format": format,
            "reasoning_effort": "low",
        },
    ).body
    ours = {"background", "conversation", "verbosity", "include", "store"}
    for name in settings.keys() - ours:
        assert sent[name] == settings[name]
    assert sent["include"] == ["file_search_call.results", "reasoning.encrypted_content"]
    assert sent["text"] == {"format": format, "verbosity": "low"}
    assert sent["tools"] == tools
    assert not {"background", "conversation"} & sent.keys()
    official: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsStreaming)
    official.validate_python(sent)


def test_reasoning_comes_with_its_seal_and_goes_back_with_it() -> None:
    heard = hear(KIND, streams(*reasoning(0, "hm", seal="gAAAA"), *spoken(1, "Yes.")))
    assert heard.deltas[0] == TextDelta("hm", "summary_text")
    assert isinstance(heard.deltas[1], ItemDone)
    back = input_items([new_item("rs_1", heard.deltas[1].item, 0)])
    summary = [{"type": "summary_text", "text": "hm"}]
    assert back == [{"type": "reasoning", "summary": summary, "encrypted_content": "gAAAA"}]


@pytest.mark.parametrize("seal", [None, "anthropic:thinking:abc", "anthropic:redacted:abc"])
def test_reasoning_that_this_vendor_cannot_read_is_left_out(seal: str | None) -> None:
    data = {"type": "reasoning", "summary": [], "encrypted_content": seal}
    assert input_items(items_of(data)) == []


def test_texts_of_every_kind_keep_their_kind_and_part() -> None:
    place = {"item_id": "x", "output_index": 0}
    events = [
        {"type": "response.reasoning_text.delta", **place, "content_index": 1, "delta": "a"},
        {
            "type": "response.reasoning_summary_text.delta",
            **place,
            "summary_index": 2,
            "delta": "b",
        },
        {"type": "response.refusal.delta", **place, "content_index": 0, "delta": "c"},
    ]
    assert hear(KIND, streams(*events)).deltas[:3] == [
        TextDelta("a", "reasoning_text", 1),
        TextDelta("b", "summary_text", 2),
        TextDelta("c", "refusal", 0),
    ]


def test_citations_go_through() -> None:
    note = {"type": "url_citation", "url": "https://x.test", "start_index": 0, "end_index": 1}
    place = {"item_id": "x", "output_index": 0, "content_index": 1, "annotation_index": 0}
    event = {"type": "response.output_text.annotation.added", **place, "annotation": note}
    assert hear(KIND, streams(event)).deltas[0] == AnnotationDelta(note, 1)


def test_calls_come_in_pieces_and_end_whole() -> None:
    heard = hear(KIND, streams(*call(0, "c1", "f", '{"a"', ":1}")))
    assert heard.deltas[:3] == [
        ToolCallDelta(0, "", "c1", "f"),
        ToolCallDelta(0, '{"a"'),
        ToolCallDelta(0, ":1}"),
    ]
    assert isinstance(heard.deltas[3], ItemDone)
    assert heard.deltas[3].item["arguments"] == '{"a":1}'
    assert heard.deltas[4] == Finish("tool_calls", 3, 2, 1, 0)


def test_arguments_that_are_no_json_go_through_as_the_model_said_them() -> None:
    heard = hear(KIND, streams(*call(0, "c1", "f", "{not json")))
    assert heard.error is None
    assert heard.deltas[1] == ToolCallDelta(0, "{not json")


def test_a_call_that_the_limit_cut_off_is_not_told_as_whole() -> None:
    item = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a'}
    cut = [added(0, item), done(0, {**item, "status": "incomplete"})]
    heard = hear(KIND, streams(*cut, status="incomplete", reason="max_output_tokens"))
    assert heard.deltas == [ToolCallDelta(0, "", "c1", "f"), Finish("length", 3, 2, 1, 0)]


def test_a_custom_tools_input_is_told_like_arguments() -> None:
    item = {"type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": ""}
    more = {"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": "SELECT"}
    heard = hear(KIND, streams(added(0, item), more, done(0, item | {"input": "SELECT"})))
    assert heard.deltas[:2] == [
        ToolCallDelta(0, "", "c1", "sql", "custom_tool_call"),
        ToolCallDelta(0, "SELECT", kind="custom_tool_call"),
    ]


def test_hosted_items_are_told_in_stages_and_whole() -> None:
    search = {"id": "ws_1", "type": "web_search_call", "action": {"type": "search", "query": "q"}}
    heard = hear(KIND, streams(*hosted(0, search, ["in_progress", "searching", "completed"])))
    begun, *stages, ended, _ = heard.deltas
    assert begun == HostedDelta(0, {**search, "status": "in_progress"})
    assert stages == [
        HostedDelta(0, None, stage) for stage in ("in_progress", "searching", "completed")
    ]
    assert ended == ItemDone({**search, "status": "completed"}, 0)


def test_the_stages_of_code_carry_the_events_own_data() -> None:
    item = {"id": "ci_1", "type": "code_interpreter_call", "code": "", "container_id": "c"}
    place = {"item_id": "ci_1", "output_index": 0}
    code = {"type": "response.code_interpreter_call_code.delta", **place, "delta": "1+1"}
    heard = hear(KIND, streams(added(0, item), code, done(0, item)))
    assert heard.deltas[1] == HostedDelta(0, None, "code.delta", {"delta": "1+1"})


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.hologram.delta", "output_index": 0, "delta": {"x": 1}},
        {"type": "response.audio.delta", "delta": "AAAA"},
        {"type": "response.hologram.added", "item": 7},
        {"type": "response.output_item.added", "output_index": 0, "item": {"id": "?"}},
    ],
)
def test_events_nobody_knows_break_nothing(event: dict[str, Any]) -> None:
    heard = hear(KIND, streams(event, *spoken(0, "Hi.")))
    assert (heard.text, heard.error) == ("Hi.", None)


@pytest.mark.parametrize(
    ("reason", "ours"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter")],
)
def test_an_incomplete_response_says_why(reason: str, ours: str) -> None:
    heard = hear(KIND, says("Hel", status="incomplete", reason=reason))
    assert heard.deltas[-1] == Finish(ours, 3, 2, 1, 0)


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        ("server_error", "server_error"),
        ("rate_limit_exceeded", "rate_limit_exceeded"),
        ("context_length_exceeded", "context_length_exceeded"),
        ("invalid_prompt", "invalid_prompt"),
        ("image_too_large", "invalid_prompt"),
        ("bio_policy", "invalid_prompt"),
        ("vector_store_timeout", "server_error"),
    ],
)
def test_a_failed_response_fails_by_its_code_with_what_was_said(code: str, ours: str) -> None:
    error = {"code": code, "message": "No luck."}
    heard = hear(KIND, streams(*spoken(0, "Hel"), status="failed", error=error))
    assert heard.text == "Hel"
    assert heard.error is not None
    assert heard.error.code == ours
    assert "No luck." in heard.error.message


def test_an_error_event_without_nesting_is_read_too() -> None:
    answer = ResponsesAnswer()
    with pytest.raises(ProviderError, match="slow down") as failure:
        answer.feed(b'{"type":"error","code":"rate_limit_exceeded","message":"slow down"}')
    assert failure.value.code == "rate_limit_exceeded"


def test_a_model_that_seals_nothing_is_asked_without_from_then_on() -> None:
    refusal = refuses(400, "Encrypted content is not supported with this model.")
    heard = hear(KIND, refusal, says("a"), says("b"), times=2)
    asked = [request.body.get("include") for request in heard.upstream.requests]
    assert asked == [["reasoning.encrypted_content"], None, None]
    assert heard.error is None


def test_messages_go_without_what_only_we_know_and_typed_for_their_role() -> None:
    image = {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "auto"}
    user = {
        "type": "message",
        "role": "user",
        "content": [{"type": "text", "text": "Look:"}, image],
        "metadata": {"k": "v"},
        "attachments": [{"file_id": "file-1"}],
    }
    refusal = {"type": "refusal", "refusal": "No."}
    model = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "Nice."}, refusal],
        "phase": "commentary",
        "assistant_id": "asst_1",
    }
    assert input_items(items_of(user, model)) == [
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "Look:"}, image],
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Nice.", "annotations": []}, refusal],
            "phase": "commentary",
        },
    ]


def test_hosted_items_go_back_under_our_ids_and_calls_without_any() -> None:
    search = {"type": "web_search_call", "status": "completed", "action": {"type": "search"}}
    asked = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    given = {"type": "function_call_output", "call_id": "c1", "output": "1"}
    sent = input_items(items_of(search, asked | {"status": "completed"}, given))
    assert sent == [{"id": "x_0", **search}, asked, given]


def test_a_role_that_responses_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(ProviderError, match=r"a message of role 'critic' \(msg_1\)"):
        input_items([message("msg_1", "critic", "Meh", 0)])


def test_a_compaction_of_ours_is_words_and_another_goes_back_sealed() -> None:
    sealed = {"type": "compaction", "encrypted_content": "gAAAA"}
    ours, theirs = input_items(items_of(compaction("They met."), sealed))
    assert ours["content"].endswith("They met.")
    assert theirs == sealed


def test_a_window_can_be_compacted_there() -> None:
    output = [{"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA"}]
    usage = {"input_tokens": 9, "output_tokens": 2}
    body = {"object": "response.compaction", "output": output, "usage": usage}
    reply = Reply([msgspec.json.encode(body)], headers={"content-type": "application/json"})

    async def run() -> tuple[list[dict[str, Any]], Finish, Upstream]:
        async with Upstream(refuses(503, "starting", retry_after_ms="1"), reply) as upstream:
            provider = OpenAIResponses(upstream.base_url, KEY)
            window = [message("msg_1", "user", "Hi", 0)]
            items, finish = await provider.compact(ModelRequest("m", window, "Be kind."))
            await provider.close()
            return items, finish, upstream

    items, finish, upstream = asyncio.run(run())
    assert (items, finish) == (output, Finish("stop", 9, 2))
    request = upstream.requests[-1]
    assert request.path == "/v1/responses/compact"
    assert request.body == {
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "instructions": "Be kind.",
    }
