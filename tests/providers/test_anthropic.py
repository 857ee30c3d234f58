"""An upstream that speaks Anthropic's Messages."""

from typing import Any

import pytest

from clew.core.compactions import compaction
from clew.core.items import Item, message, new_item
from clew.providers.anthropic_messages import OPENING, messages_of, system_of
from clew.providers.anthropic_request import Habits, anthropic_request
from clew.providers.provider import (
    Finish,
    ItemDone,
    ModelRequest,
    ProviderError,
    TextDelta,
    ToolCallDelta,
)
from clew.testing.upstream_messages import (
    call,
    redacted,
    refuses,
    says,
    streams,
    text,
    thinking,
)

from .hearing import KEY, WINDOW, hear

KIND = "anthropic"
LOOK_UP = {
    "type": "function",
    "name": "look_up",
    "description": "Looks up.",
    "parameters": {"type": "object", "properties": {}},
    "strict": True,
}


def said(role: str, text: str) -> Item:
    return message("msg_1", role, text, 0)


def parts(role: str, *content: dict[str, Any]) -> Item:
    return new_item("msg_2", {"type": "message", "role": role, "content": list(content)}, 0)


def called(call_id: str, arguments: str = '{"a":1}') -> Item:
    data = {"type": "function_call", "call_id": call_id, "name": "f", "arguments": arguments}
    return new_item("fc_1", data, 0)


def gave(call_id: str, output: Any = "ok") -> Item:
    data = {"type": "function_call_output", "call_id": call_id, "output": output}
    return new_item("fco_1", data, 0)


def words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def use(call_id: str, **input: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "f", "input": input or {"a": 1}}


def result(call_id: str, content: Any = "ok") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}


def body(**fields: Any) -> dict[str, Any]:
    return anthropic_request(ModelRequest("m", WINDOW, **fields), Habits())


def test_an_answer_streams_through_with_its_usage() -> None:
    assert hear(KIND, says("Hel", "lo")).deltas == [
        TextDelta("Hel"),
        TextDelta("lo"),
        Finish("stop", 4, 2, 1),
    ]


def test_the_request_goes_to_messages_with_its_key_and_version() -> None:
    (request,) = hear(KIND, says("a")).upstream.requests
    assert (request.method, request.path) == ("POST", "/v1/messages")
    assert request.headers["x-api-key"] == KEY
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in request.headers
    assert request.body == {
        "model": "m",
        "messages": [{"role": "user", "content": [words("Hi")]}],
        "max_tokens": 32_000,
        "stream": True,
    }


def test_thinking_comes_with_its_signature_and_goes_back_unchanged() -> None:
    heard = hear(
        KIND,
        streams(
            thinking(0, "Let me ", "see.", signature="sig=="),
            redacted(1, "opaque"),
            text(2, "I'll look."),
            call(3, "toolu_1", "f", '{"a":', "1}"),
            stop="tool_use",
        ),
    )
    assert heard.deltas[:2] == [
        TextDelta("Let me ", "reasoning_text"),
        TextDelta("see.", "reasoning_text"),
    ]
    thought, hidden = heard.deltas[2:4]
    assert isinstance(thought, ItemDone)
    assert isinstance(hidden, ItemDone)
    assert thought.item["encrypted_content"] == "anthropic:thinking:sig=="
    window = [
        said("user", "Hi"),
        new_item("rs_1", thought.item, 0),
        new_item("rs_2", hidden.item, 0),
        said("assistant", "I'll look."),
        called("toolu_1"),
        gave("toolu_1"),
    ]
    assert messages_of(window)[1]["content"] == [
        {"type": "thinking", "thinking": "Let me see.", "signature": "sig=="},
        {"type": "redacted_thinking", "data": "opaque"},
        words("I'll look."),
        use("toolu_1"),
    ]


def test_thinking_that_is_not_shown_still_goes_back() -> None:
    (done, _) = hear(KIND, streams(thinking(0, signature="sig=="))).deltas
    assert isinstance(done, ItemDone)
    (sent,) = messages_of([said("user", "Hi"), new_item("rs_1", done.item, 0)])[1]["content"]
    assert sent == {"type": "thinking", "thinking": "", "signature": "sig=="}


@pytest.mark.parametrize("seal", [None, "gAAAA"])
def test_reasoning_of_another_vendor_is_left_out(seal: str | None) -> None:
    data = {"type": "reasoning", "summary": [], "encrypted_content": seal}
    assert len(messages_of([said("user", "Hi"), new_item("rs_1", data, 0)])) == 1


def test_calls_come_in_pieces_and_one_without_arguments_has_an_empty_object() -> None:
    reply = streams(call(0, "c1", "f", '{"a"', ":1}"), call(1, "c2", "g"), stop="tool_use")
    assert hear(KIND, reply).deltas == [
        ToolCallDelta(0, "", "c1", "f"),
        ToolCallDelta(0, '{"a"'),
        ToolCallDelta(0, ":1}"),
        ToolCallDelta(1, "", "c2", "g"),
        ToolCallDelta(1, "{}"),
        Finish("tool_calls", 4, 2, 1),
    ]


def test_arguments_that_are_no_json_go_through_as_the_model_said_them() -> None:
    heard = hear(KIND, streams(call(0, "c1", "f", "{not json"), stop="tool_use"))
    assert heard.error is None
    assert heard.deltas[1] == ToolCallDelta(0, "{not json")


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("new_reason", "stop"),
    ],
)
def test_the_stop_reason_is_one_of_ours(stop: str, reason: str) -> None:
    assert hear(KIND, says("a", stop=stop)).deltas[-1] == Finish(reason, 4, 2, 1)


def test_turns_alternate_and_results_come_first() -> None:
    window = [
        said("user", "One."),
        said("user", "Two."),
        said("assistant", "Looking."),
        called("c1"),
        called("c2"),
        said("user", "Still there?"),
        gave("c2", "two"),
        gave("c1", "one"),
    ]
    assert messages_of(window) == [
        {"role": "user", "content": [words("One."), words("Two.")]},
        {"role": "assistant", "content": [words("Looking."), use("c1"), use("c2")]},
        {
            "role": "user",
            "content": [result("c1", "one"), result("c2", "two"), words("Still there?")],
        },
    ]


def test_a_call_after_an_output_begins_a_new_turn() -> None:
    window = [said("user", "Hi"), called("c1"), gave("c1"), called("c2"), gave("c2")]
    roles = [entry["role"] for entry in messages_of(window)]
    assert roles == ["user", "assistant", "user", "assistant", "user"]


def test_an_assistant_that_speaks_first_is_preceded_by_a_word_of_the_users() -> None:
    sent = messages_of([said("assistant", "Welcome!"), said("user", "Hi")])
    assert [entry["role"] for entry in sent] == ["user", "assistant", "user"]
    assert sent[0]["content"] == [words(OPENING)]


def test_system_and_developer_messages_join_the_instructions() -> None:
    window = [said("system", "A."), said("user", "Hi"), said("developer", "B.")]
    assert system_of(window, "Be kind.") == "Be kind.\n\nA.\n\nB."
    assert messages_of(window) == [{"role": "user", "content": [words("Hi")]}]


def test_images_and_documents_go_by_url_or_whole() -> None:
    window = parts(
        "user",
        {"type": "input_image", "image_url": "https://x.test/a.png"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_file", "file_url": "https://x.test/a.pdf"},
        {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": "data:application/pdf;base64,BB==",
        },
    )
    png = {"type": "base64", "media_type": "image/png", "data": "AA=="}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "BB=="}
    assert messages_of([window])[0]["content"] == [
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
        {"type": "image", "source": png},
        {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}},
        {"type": "document", "source": pdf, "title": "a.pdf"},
    ]


def test_an_output_may_hold_an_image() -> None:
    output = [
        {"type": "input_text", "text": "Here:"},
        {"type": "input_image", "image_url": "https://x.test/a.png"},
    ]
    image = {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}
    sent = messages_of([said("user", "Hi"), called("c1"), gave("c1", output)])
    assert sent[-1]["content"] == [result("c1", [words("Here:"), image])]


def test_empty_words_are_not_sent() -> None:
    window = [said("user", "Hi"), said("assistant", ""), said("user", " "), said("user", "?")]
    assert messages_of(window) == [{"role": "user", "content": [words("Hi"), words("?")]}]


def test_arguments_another_model_garbled_go_in_under_their_name() -> None:
    sent = messages_of([said("user", "Hi"), called("c1", "{oops"), gave("c1")])
    assert sent[1]["content"] == [use("c1", arguments="{oops")]


def test_a_compaction_of_ours_is_words() -> None:
    (sent,) = anthropic_request(
        ModelRequest("m", [new_item("cmp_1", compaction("They met."), 0)]), Habits()
    )["messages"]
    assert sent["content"][0]["text"].endswith("They met.")


@pytest.mark.parametrize(
    ("window", "named"),
    [
        ([parts("user", {"type": "input_image", "file_id": "file-1"})], "by file_id (msg_2)"),
        ([parts("user", {"type": "input_audio", "data": "AA=="})], "'input_audio' (msg_2)"),
        ([said("critic", "Meh")], "a message of role 'critic' (msg_1)"),
        ([new_item("ws_1", {"type": "web_search_call"}, 0)], "web_search_call item (ws_1)"),
        ([gave("c9")], "an output of call 'c9', which the window does not contain"),
        ([new_item("cmp_1", {"type": "compaction", "encrypted_content": "g"}, 0)], "(cmp_1)"),
    ],
)
def test_what_messages_cannot_carry_is_refused_by_name(window: list[Item], named: str) -> None:
    with pytest.raises(ProviderError) as refusal:
        anthropic_request(ModelRequest("m", window), Habits())
    assert refusal.value.code == "invalid_prompt"
    assert named in refusal.value.message


def test_functions_are_tools_with_an_input_schema() -> None:
    sent = body(tools=[LOOK_UP, {"type": "function", "name": "now"}])
    assert sent["tools"] == [
        {
            "name": "look_up",
            "input_schema": {"type": "object", "properties": {}},
            "description": "Looks up.",
            "strict": True,
        },
        {"name": "now", "input_schema": {"type": "object", "properties": {}}},
    ]
    assert "tool_choice" not in sent


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        ({"type": "function", "name": "look_up"}, {"type": "tool", "name": "look_up"}),
    ],
)
def test_a_choice_goes_by_the_name_it_has_there(choice: Any, sent: dict[str, Any]) -> None:
    assert body(tools=[LOOK_UP], tool_choice=choice)["tool_choice"] == sent


def test_allowed_tools_are_the_only_ones_offered() -> None:
    other = LOOK_UP | {"name": "other"}
    allowed = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "other"}],
    }
    sent = body(tools=[LOOK_UP, other], tool_choice=allowed)
    assert [tool["name"] for tool in sent["tools"]] == ["other"]
    assert sent["tool_choice"] == {"type": "any"}


def test_one_call_at_a_time_is_part_of_the_choice() -> None:
    sent = body(tools=[LOOK_UP], parallel_tool_calls=False)
    assert sent["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    quiet = body(tools=[LOOK_UP], parallel_tool_calls=False, tool_choice="none")
    assert quiet["tool_choice"] == {"type": "none"}


def test_sampling_is_told_unless_it_is_what_happens_anyway() -> None:
    assert body(temperature=0.5, top_p=0.9).items() >= {"temperature": 0.5, "top_p": 0.9}.items()
    assert not {"temperature", "top_p"} & body(temperature=1, top_p=1.0).keys()


@pytest.mark.parametrize(
    ("effort", "thinking", "config"),
    [
        ("none", {"type": "disabled"}, None),
        ("minimal", {"type": "adaptive"}, {"effort": "low"}),
        ("high", {"type": "adaptive"}, {"effort": "high"}),
    ],
)
def test_effort_is_how_the_model_thinks(effort: str, thinking: Any, config: Any) -> None:
    sent = body(reasoning_effort=effort)
    assert (sent["thinking"], sent.get("output_config")) == (thinking, config)


def test_a_summary_asks_for_thinking_that_can_be_read() -> None:
    sent = body(reasoning_effort="low", settings={"reasoning": {"summary": "auto"}})
    assert sent["thinking"] == {"type": "adaptive", "display": "summarized"}


def test_a_model_that_knows_no_effort_gets_a_budget_from_then_on() -> None:
    refusal = refuses(400, "invalid_request_error", "adaptive thinking is not supported")
    heard = hear(KIND, refusal, says("a"), says("b"), times=2, said={"reasoning_effort": "low"})
    asked = [request.body["thinking"] for request in heard.upstream.requests]
    budget = {"type": "enabled", "budget_tokens": 4096}
    assert asked == [{"type": "adaptive"}, budget, budget]


def test_a_limit_too_small_to_think_within_is_refused_by_name() -> None:
    with pytest.raises(ProviderError, match="max_output_tokens"):
        anthropic_request(
            ModelRequest("m", WINDOW, tokens_max=1024, reasoning_effort="low"),
            Habits(adapts=False),
        )


def test_a_model_that_can_say_less_is_asked_for_less_from_then_on() -> None:
    words = "max_tokens: 32000 > 8192, which is the maximum allowed number of output tokens for m"
    refusal = refuses(400, "invalid_request_error", words)
    heard = hear(KIND, refusal, says("a"), says("b"), times=2)
    assert [request.body["max_tokens"] for request in heard.upstream.requests] == [
        32_000,
        8192,
        8192,
    ]


def test_a_schema_is_the_format_of_the_answer() -> None:
    schema = {"type": "object", "properties": {}}
    sent = body(text_format={"type": "json_schema", "name": "n", "schema": schema, "strict": True})
    assert sent["output_config"] == {"format": {"type": "json_schema", "schema": schema}}


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"prompt_cache_key": "k"}, {"cache_control": {"type": "ephemeral"}}),
        (
            {"prompt_cache_retention": "24h"},
            {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
        ),
        ({"user": "u"}, {"metadata": {"user_id": "u"}}),
        ({"user": "u", "safety_identifier": "s"}, {"metadata": {"user_id": "s"}}),
    ],
)
def test_hints_are_taken_where_there_is_a_place_for_them(
    settings: dict[str, Any], sent: dict[str, Any]
) -> None:
    assert body(settings=settings).items() >= sent.items()


def test_a_schema_that_says_nothing_still_asks_for_an_object() -> None:
    sent = body(text_format={"type": "json_schema", "name": "n"})
    assert sent["output_config"]["format"]["schema"] == {"type": "object"}
