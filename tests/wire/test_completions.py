"""Chat completions on the wire: requests decoded, stored completions encoded."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from openai.types.chat import ChatCompletion

from clew.core.errors import BadRequest
from clew.providers.chat_request import chat_request
from clew.providers.provider import ModelRequest
from clew.wire import completions

from .official import strict
from .strategies import allowed, bodies_like, examples

NOW = 1_700_000_000_000
HELLO = [{"role": "user", "content": "hello"}]
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
SCHEMA = {"name": "s", "schema": {"type": "object"}, "strict": True}
GRAMMAR = {"syntax": "lark", "definition": "start: X"}


def decoded(**body: Any) -> dict[str, Any]:
    return completions.decode_request({"model": "m", "messages": HELLO} | body, NOW)


def test_a_request_becomes_one_that_says_the_same():
    """Decoded, and said again in chat by a provider, a request asks for the same."""
    body = {
        "model": "m",
        "messages": HELLO,
        "tools": [{"type": "function", "function": FUNCTION}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "temperature": 0.5,
        "top_p": 0.25,
        "max_tokens": 9,
        "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": SCHEMA},
    }
    again = chat_request(ModelRequest(**decoded(**body)))
    assert {name: again.get(name) for name in body} == body


def test_custom_tools_become_flat():
    """A custom tool, its grammar and a choice of it are said as the canonical form says them."""
    format = {"type": "grammar", "grammar": GRAMMAR}
    tool = {"type": "custom", "custom": {"name": "c", "format": format}}
    choice = {"type": "custom", "custom": {"name": "c"}}
    asked = decoded(tools=[tool], tool_choice=choice)
    flat = {"type": "custom", "name": "c", "format": {"type": "grammar", **GRAMMAR}}
    assert (asked["tools"], asked["tool_choice"]) == ([flat], {"type": "custom", "name": "c"})


def test_hints_go_on_and_nothing_said_is_nothing_asked():
    """Hints reach the provider's settings; null is as if it was not there."""
    asked = decoded(user="u", verbosity="low", temperature=None, tools=None, stream=None)
    assert asked["settings"] == {"user": "u", "verbosity": "low"}
    assert (asked["temperature"], asked["tools"], asked["tokens_max"]) == (None, [], None)


@examples(100)
@given(allowed(completions._BRIDGED) | bodies_like(list(completions._BRIDGED.fields)))
def test_whatever_comes_in_is_decoded_or_refused_by_name(body):
    """No body is a fault of ours."""
    try:
        asked = completions.decode_request(body, NOW)
    except BadRequest:
        return
    ModelRequest(**asked)


def test_what_clew_does_itself_does_not_go_on():
    """`store` and its metadata are Clew's where it keeps the completion, else the upstream's."""
    body = {"model": "m", "messages": HELLO, "metadata": {"a": "b"}, "odd": 1}
    assert completions.passed_on(body) is body
    assert completions.passed_on(body | {"store": False}) == body | {"store": False}
    kept = completions.passed_on(body | {"store": True})
    assert kept == {"model": "m", "messages": HELLO, "odd": 1}


def test_a_kept_stream_says_its_usage_to_clew_alone():
    """It is asked for in any case; who did not ask does not see it."""
    body = {"model": "m", "messages": HELLO, "store": True, "stream": True}
    asked = body | {"stream_options": {"include_usage": True}}
    assert completions.passed_on(body)["stream_options"] == {"include_usage": True}
    text = {"choices": [{"delta": {"content": "a"}}], "usage": None}
    last = {"choices": [], "usage": {"total_tokens": 1}}
    assert [completions.shown(chunk, asked) for chunk in (text, last)] == [text, last]
    assert completions.shown(text, body) == {"choices": text["choices"]}
    assert completions.shown(last, body) is None
    both = text | last | {"choices": text["choices"]}
    assert completions.shown(both, body) == {"choices": text["choices"]}


def test_a_kept_completion_says_what_was_asked():
    """The object has its own id and metadata, what was answered, and the request's settings."""
    body = {"model": "m", "messages": HELLO, "metadata": {"a": "b"}, "seed": 3, "user": "u"}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi."}}
    answer = {
        "id": "theirs",
        "object": "chat.completion",
        "choices": [choice | {"finish_reason": "stop"}],
        "created": None,
        "metadata": {"theirs": "1"},
    }
    kept, messages = completions.keep("X", NOW, body, answer)
    assert (kept.key, kept.created_at, kept.model, kept.metadata) == ("X", NOW, "m", {"a": "b"})
    assert [msgspec.json.decode(message) for message in messages] == HELLO
    shown = completions.encode_completion(kept)
    strict(ChatCompletion, shown)
    assert (shown["id"], shown["metadata"]) == ("chatcmpl-X", {"a": "b"})
    assert (shown["seed"], shown["input_user"], shown["tools"]) == (3, "u", None)
    assert shown["created"] == NOW // 1000


def test_a_list_is_oldest_first_and_takes_conditions():
    """The order is ascending unless it is said otherwise; cursors become keys."""
    query = completions.decode_list([])
    assert (query.page.order, query.page.limit, query.model, query.metadata) == (
        "asc",
        20,
        None,
        {},
    )
    query = completions.decode_list(
        [("order", "desc"), ("model", "m"), ("metadata[k]", "v"), ("after", "chatcmpl-X")]
    )
    assert (query.page.order, query.page.after) == ("desc", "X")
    assert (query.model, query.metadata) == ("m", {"k": "v"})
    for pair in (("before", "chatcmpl-X"), ("after", "msg_1"), ("limit", "0")):
        with pytest.raises(BadRequest):
            completions.decode_list([pair])


def test_the_number_of_a_message_is_in_its_id():
    """An id of another completion's message, or of nothing, is no number of this one's."""
    assert completions.message_number("X", "chatcmpl-X-12") == "12"
    assert completions.message_number("X-1", "chatcmpl-X-1-0") == "0"
    for id in ("chatcmpl-Y-1", "X-1", "12", "msg_1"):
        assert not completions.message_number("X", id).isdigit() or id == "12"
