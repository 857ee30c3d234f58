"""Responses: a run as the Responses face shows it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from openai.types.responses import CompactedResponse, InputTokenCountResponse, Response

from clew.core.items import Item, message, new_item
from clew.core.runs import EXPIRES_AFTER_MS, MOVES, Run
from clew.wire import response_requests, responses
from clew.wire.responses import decode_response, encode_response

from .official import strict

NOW = 1_700_000_000_999
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
CALL = {
    "type": "function_call",
    "status": "completed",
    "call_id": "c",
    "name": "f",
    "arguments": "{}",
}
USAGE = {"input_tokens": 3, "cached_tokens": 1, "output_tokens": 2, "reasoning_tokens": 1}


def decoded(chain: bool = True, **body: Any) -> Run:
    response_requests.CREATE.check({"model": "m", **body})
    return decode_response({"model": "m", **body}, "T", "TR", NOW, chain=chain)


def encoded(run: Run, *output: Item) -> Any:
    return msgspec.json.decode(msgspec.json.encode(encode_response(run, output)))


def test_a_run_for_a_response() -> None:
    """It does not pause for outputs, and knows whether it is in a conversation people named."""
    run = decoded()
    assert run == Run(
        "TR", "T", NOW, "m", pauses=False, settings={}, expires_at=NOW + EXPIRES_AFTER_MS
    )
    assert decoded(chain=False).settings == {"conversation": True}
    nothing = dict.fromkeys("instructions tools metadata temperature text reasoning".split())
    assert decoded(**nothing) == run


def test_what_a_request_says_is_shown_again() -> None:
    """Every setting comes back in the response object as it was given."""
    given: dict[str, Any] = {
        "instructions": "be brief",
        "temperature": 0.0,
        "top_p": 0.5,
        "max_output_tokens": 16,
        "max_tool_calls": 3,
        "top_logprobs": 2,
        "background": True,
        "prompt": {"id": "pmpt_1", "version": "2", "variables": {"a": "b"}},
        "tools": [TOOL],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto", "context": "auto", "mode": "pro"},
        "truncation": "auto",
        "metadata": {"a": "b"},
        "previous_response_id": "resp_x",
        "store": False,
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "p",
    }
    shown = encoded(decoded(**given))
    strict(Response, shown)
    assert {name: shown[name] for name in given} == given | {
        "tools": [{"description": None, **TOOL}]
    }


def test_the_response_object() -> None:
    """A response nobody said anything of, field by field, as the SDK types it."""
    shown = encoded(Run("TR", "T", NOW, "m", "completed", completed_at=NOW + 1, usage=USAGE))
    strict(Response, shown)
    assert shown == {
        "id": "resp_TR",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "background": False,
        "completed_at": 1_700_000_001,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "m",
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "conversation": None,
        "prompt": None,
        "prompt_cache_key": None,
        "prompt_cache_retention": None,
        "prompt_cache_options": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": 3,
            "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
            "output_tokens": 2,
            "output_tokens_details": {"reasoning_tokens": 1},
            "total_tokens": 5,
        },
        "user": None,
        "metadata": {},
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "clew": {"attempts": 1},
    }


def test_the_output_is_what_the_run_wrote() -> None:
    """Messages and calls in order; outputs that were submitted are no output of the model."""
    output = {"type": "function_call_output", "call_id": "c", "output": "1"}
    items = [
        new_item("fc_1", CALL, NOW, "TR"),
        new_item("fco_1", output, NOW, "TR"),
        message("msg_1", "assistant", "done", NOW, "TR"),
    ]
    shown = strict(Response, encoded(Run("TR", "T", NOW, "m", "completed"), *items))
    assert [(item.type, item.id) for item in shown.output] == [
        ("function_call", "fc_1"),
        ("message", "msg_1"),
    ]
    assert shown.output_text == "done"


@pytest.mark.parametrize("status", MOVES)
def test_a_response_in_every_status(status: str) -> None:
    """Statuses this face does not know are told as the nearest it does; an error as an error."""
    error = {"code": "server_error", "message": "No."} if status == "failed" else None
    run = Run("TR", "T", NOW, "m", status, error=error, completed_at=NOW)
    shown = strict(Response, encoded(run))
    known = {"requires_action": "in_progress", "cancelling": "in_progress", "expired": "failed"}
    assert shown.status == known.get(status, status)
    assert (shown.error is not None) == (status in ("failed", "expired"))
    assert (shown.completed_at is not None) == (status == "completed")
    assert (shown.incomplete_details is not None) == (status == "incomplete")


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("length", "max_output_tokens"),
        ("content_filter", "content_filter"),
        ("steered", "steered"),
    ],
)
def test_why_a_response_is_incomplete(reason: str, shown: str) -> None:
    """Each reason has a word on this face."""
    run = Run("TR", "T", NOW, "m", "incomplete", incomplete_reason=reason)
    assert encoded(run)["incomplete_details"] == {"reason": shown}


def test_a_conversation_is_named_where_people_named_it() -> None:
    """A response in a conversation says which; one in a chain has none."""
    assert encoded(decoded(chain=False))["conversation"] == {"id": "conv_T"}
    assert encoded(decoded(chain=True))["conversation"] is None


def test_what_switches_are_off_is_not_kept() -> None:
    """A response is in the foreground, and not streamed, unless it says otherwise."""
    assert decoded(background=False, stream=False) == decoded()
    assert decoded(background=True, stream=True).settings == {"background": True, "stream": True}


def test_what_asks_for_nothing_is_not_asked_of_a_model() -> None:
    """Settings that say what is so anyway need no model that knows them."""
    nothing: dict[str, Any] = {
        "image": {"context_compression": "auto"},
        "access_programs": {"cyber": "standard"},
    }
    assert decoded(**nothing) == decoded()
    something = {"image": {"context_compression": "enabled"}}
    assert decoded(**something).settings == something


def test_a_cancelled_response_says_nothing() -> None:
    """Its output is empty, whatever the model had said by then."""
    said = message("msg_1", "assistant", "half a", NOW, "TR")
    assert encoded(Run("TR", "T", NOW, "m", "cancelled"), said)["output"] == []


def test_an_error_has_a_code_of_this_face() -> None:
    """A window that the model could not read is told as a wrong prompt."""
    error = {"code": "context_length_exceeded", "message": "Too long."}
    shown = strict(Response, encoded(Run("TR", "T", NOW, "m", "failed", error=error)))
    assert (shown.error.code, shown.error.message) == ("invalid_prompt", "Too long.")


def test_the_secrets_of_a_tool_are_not_shown() -> None:
    """What a server of tools is to be given is for that server."""
    tool = {"type": "mcp", "server_label": "s", "server_url": "https://x"}
    secrets = {"authorization": "t0ken", "headers": {"X-Key": "t0ken"}}
    shown = encoded(decoded(tools=[tool | secrets]))
    strict(Response, shown)
    assert shown["tools"] == [tool | {"headers": {"X-Key": "<redacted>"}}]


def test_cache_options_are_shown_with_their_defaults() -> None:
    """What was not said of them is what OpenAI says it is."""
    shown = encoded(decoded(prompt_cache_options={"mode": "explicit"}))
    strict(Response, shown)
    assert shown["prompt_cache_options"] == {
        "mode": "explicit",
        "ttl": "30m",
        "comparison_response_id": None,
    }


def test_hidden_results_are_shown_when_they_are_asked_for() -> None:
    """`include` of the request counts, unless the reader says otherwise."""
    call = {
        "type": "file_search_call",
        "status": "completed",
        "queries": ["q"],
        "results": [{"file_id": "file-1", "text": "found"}],
    }
    item = new_item("fs_1", call, NOW, "TR")
    run = decoded(include=["file_search_call.results"])
    assert encoded(run, item)["output"][0]["results"] == call["results"]
    assert encoded(decoded(), item)["output"][0]["results"] is None
    as_asked = encode_response(decoded(), [item], ["file_search_call.results"])
    assert b"found" in msgspec.json.encode(as_asked)


def test_a_compaction() -> None:
    """Items to go on with and what they cost, as the SDK types it."""
    item = new_item("cmp_1", {"type": "compaction", "encrypted_content": "x"}, NOW)
    shown = msgspec.json.encode(responses.encode_compaction("K", NOW, [item], USAGE))
    compacted = strict(CompactedResponse, msgspec.json.decode(shown))
    assert (compacted.id, compacted.object) == ("resp_K", "response.compaction")
    assert [one.id for one in compacted.output] == ["cmp_1"]
    assert compacted.usage.total_tokens == 5


def test_a_count() -> None:
    """The number of tokens, as the SDK types it."""
    assert strict(InputTokenCountResponse, responses.encode_count(7)).input_tokens == 7
