"""The body of a chat completion request."""

from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from pydantic import TypeAdapter

from clew.core.items import message, new_item
from clew.providers.chat_request import chat_request
from clew.providers.provider import ModelRequest, ProviderError

WINDOW = [message("msg_1", "user", "Hi", 0)]
LOOK_UP = {
    "type": "function",
    "name": "look_up",
    "description": None,
    "parameters": {"type": "object", "properties": {}},
    "strict": True,
}


def body(**said: Any) -> dict[str, Any]:
    return chat_request(ModelRequest("m", WINDOW, **said))


def test_what_is_not_said_is_not_sent() -> None:
    assert body() == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_official_types_know_every_field_that_is_sent() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "look_up", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c1", "output": "ok"}
    window = [
        *WINDOW,
        new_item("fc_1", call, 0),
        new_item("fco_1", output, 0),
        message("msg_2", "assistant", "Done.", 0),
    ]
    format = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    request = ModelRequest(
        "m",
        window,
        "Be kind.",
        [LOOK_UP],
        {"type": "function", "name": "look_up"},
        parallel_tool_calls=True,
        temperature=0.5,
        top_p=0.5,
        tokens_max=7,
        text_format=format,
        reasoning_effort="low",
    )
    sent = chat_request(request)
    official = TypeAdapter(CompletionCreateParamsStreaming)
    assert official.dump_python(official.validate_python(sent), mode="json") == sent


def test_sampling_goes_by_the_names_chat_has_for_it() -> None:
    sent = body(temperature=0.0, top_p=0.5, tokens_max=7, reasoning_effort="low")
    assert (
        sent.items()
        >= {
            "temperature": 0.0,
            "top_p": 0.5,
            "max_tokens": 7,
            "reasoning_effort": "low",
        }.items()
    )


def test_the_token_limit_goes_by_the_name_the_server_wants() -> None:
    sent = chat_request(ModelRequest("m", WINDOW, tokens_max=7), "max_completion_tokens")
    assert sent["max_completion_tokens"] == 7
    assert "max_tokens" not in sent


def test_function_tools_and_their_choice_are_nested_as_chat_nests_them() -> None:
    choice = {"type": "function", "name": "look_up"}
    sent = body(tools=[LOOK_UP], tool_choice=choice, parallel_tool_calls=False)
    parameters = {"type": "object", "properties": {}}
    function = {"name": "look_up", "parameters": parameters, "strict": True}
    assert sent["tools"] == [{"type": "function", "function": function}]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "look_up"}}
    assert sent["parallel_tool_calls"] is False


def test_a_choice_in_one_word_goes_as_it_is() -> None:
    assert body(tools=[LOOK_UP], tool_choice="required")["tool_choice"] == "required"


def test_without_tools_nothing_is_said_about_their_choice() -> None:
    sent = body(tool_choice="auto", parallel_tool_calls=True)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & sent.keys()


@pytest.mark.parametrize(
    ("text_format", "response_format"),
    [
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": None},
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        ),
    ],
)
def test_a_text_format_becomes_a_response_format(
    text_format: dict[str, Any], response_format: dict[str, Any]
) -> None:
    assert body(text_format=text_format)["response_format"] == response_format


def test_plain_text_is_no_format_to_ask_for() -> None:
    assert "response_format" not in body(text_format={"type": "text"})


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"tools": [{"type": "file_search"}]}, "a tool of type 'file_search'"),
        ({"tools": [LOOK_UP], "tool_choice": {"type": "mcp"}}, "a tool choice of type 'mcp'"),
        ({"text_format": {"type": "grammar"}}, "a text format of type 'grammar'"),
    ],
)
def test_what_chat_has_no_words_for_is_refused_by_name(said: dict[str, Any], named: str) -> None:
    with pytest.raises(ProviderError, match=named) as refusal:
        body(**said)
    assert refusal.value.code == "invalid_prompt"


def test_hints_and_verbosity_go_through_by_their_own_names() -> None:
    settings = {
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "safety_identifier": "s",
        "service_tier": "flex",
        "user": "u",
        "verbosity": "low",
    }
    assert body(settings=settings | {"store": True, "background": True}) == body() | settings


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"top_logprobs": 0}, {}),
    ],
)
def test_log_probabilities_are_asked_for_when_wanted(
    settings: dict[str, Any], sent: dict[str, Any]
) -> None:
    assert body(settings=settings) == body() | sent


def test_a_custom_tool_and_its_grammar_are_nested_as_chat_has_them() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}
    tools = [
        {"type": "custom", "name": "sql", "description": "Asks.", "format": grammar},
        {"type": "custom", "name": "say", "format": {"type": "text"}},
    ]
    sent = body(tools=tools, tool_choice={"type": "custom", "name": "sql"})
    inner = {"syntax": "lark", "definition": "start: /a/"}
    nested = {"type": "grammar", "grammar": inner}
    assert sent["tools"] == [
        {"type": "custom", "custom": {"name": "sql", "description": "Asks.", "format": nested}},
        {"type": "custom", "custom": {"name": "say", "format": {"type": "text"}}},
    ]
    assert sent["tool_choice"] == {"type": "custom", "custom": {"name": "sql"}}
    official = TypeAdapter(CompletionCreateParamsStreaming)
    assert official.dump_python(official.validate_python(sent), mode="json") == sent


def test_allowed_tools_are_nested_as_chat_has_them() -> None:
    allowed = {"type": "function", "name": "look_up"}
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [allowed]}
    tool = {"type": "function", "function": {"name": "look_up"}}
    assert body(tools=[LOOK_UP], tool_choice=choice)["tool_choice"] == {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [tool]},
    }
