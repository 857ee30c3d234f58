"""Items: all 29 kinds, in as a client sends them and out as OpenAI types them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.conversations import ConversationItemList

from clew.core.errors import BadRequest
from clew.core.items import ITEM_TYPES, Item, message
from clew.wire import items
from clew.wire.item_types import KINDS
from clew.wire.items import EVERYTHING, decode_items, encode_item, encode_items

from .official import read_item, strict
from .strategies import bodies_like, examples, of_kind

NOW = 1_700_000_000_999
TEXT = {"type": "input_text", "text": "x"}
SHOT = {"type": "computer_screenshot", "image_url": "https://x.test/a.png"}

SMALLEST: dict[str, dict[str, Any]] = {
    "message": {"role": "user", "content": "x"},
    "function_call": {"call_id": "c", "name": "n", "arguments": "{}"},
    "function_call_output": {"call_id": "c", "output": "x"},
    "file_search_call": {"queries": ["q"]},
    "web_search_call": {"action": {"type": "search", "query": "q"}},
    "image_generation_call": {},
    "computer_call": {"call_id": "c", "action": {"type": "wait"}},
    "computer_call_output": {"call_id": "c", "output": SHOT},
    "tool_search_call": {"arguments": {"query": "x"}},
    "tool_search_output": {"tools": [{"type": "local_shell"}]},
    "additional_tools": {"role": "developer", "tools": [{"type": "function", "name": "n"}]},
    "reasoning": {"summary": []},
    "program": {"call_id": "c", "code": "1", "fingerprint": "f"},
    "program_output": {"call_id": "c", "result": "1"},
    "compaction": {"encrypted_content": "x"},
    "code_interpreter_call": {"container_id": "c"},
    "local_shell_call": {
        "call_id": "c",
        "action": {"type": "exec", "command": ["ls"], "env": {}},
    },
    "local_shell_call_output": {"output": "x"},
    "shell_call": {"call_id": "c", "action": {"commands": ["ls"]}},
    "shell_call_output": {
        "call_id": "c",
        "output": [{"stdout": "", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
    },
    "apply_patch_call": {"call_id": "c", "operation": {"type": "delete_file", "path": "a"}},
    "apply_patch_call_output": {"call_id": "c"},
    "mcp_list_tools": {"server_label": "s", "tools": [{"name": "n", "input_schema": {}}]},
    "mcp_approval_request": {"server_label": "s", "name": "n", "arguments": "{}"},
    "mcp_approval_response": {"approval_request_id": "mcpr_1", "approve": True},
    "mcp_call": {"server_label": "s", "name": "n", "arguments": "{}"},
    "custom_tool_call": {"call_id": "c", "name": "n", "input": "x"},
    "custom_tool_call_output": {"call_id": "c", "output": [TEXT]},
    "configuration_update": {},
}


def stored(body: dict[str, Any]) -> Item:
    return decode_items([body], NOW)[0]


def shown(item: Item) -> dict[str, Any]:
    return msgspec.json.decode(encode_item(item))


def test_every_item_type_is_known() -> None:
    """The specs, the examples below and the core agree on the 29 types."""
    assert set(KINDS) == set(ITEM_TYPES) == set(SMALLEST)


@pytest.mark.parametrize("kind", sorted(SMALLEST))
def test_the_least_a_client_may_send(kind: str) -> None:
    """Of each type the least that is allowed is stored, and comes back whole and typed."""
    body = {"type": kind, **SMALLEST[kind]}
    item = stored({**body, "id": "mine"})
    answer = shown(item)
    assert read_item(encode_item(item)).type == kind
    assert answer["id"] == item.id != "mine"
    if kind != "message":
        assert {name: answer[name] for name in body} == body


@pytest.mark.parametrize("kind", sorted(SMALLEST))
def test_every_required_field_is_missed(kind: str) -> None:
    """Of each type, a required field that is missing is named."""
    for name in SMALLEST[kind].keys() & set(KINDS[kind].required):  # type: ignore[attr-defined]
        body = {"type": kind, **SMALLEST[kind]}
        del body[name]
        with pytest.raises(BadRequest) as caught:
            stored(body)
        assert caught.value.message == f"Missing required parameter: 'items[0].{name}'."


@pytest.mark.parametrize("kind", sorted(SMALLEST))
@given(data=st.data())
@examples(25)
def test_whatever_is_let_in_can_be_read_back(kind: str, data: st.DataObject) -> None:
    """Every item the specs allow, of every type, comes back as the SDK types it."""
    body = data.draw(of_kind(items.INPUT_ITEM, kind))
    read = read_item(encode_item(stored(body)))
    assert read.type == kind


def test_what_openai_fills_in() -> None:
    """Fields that the server owes are there although the client left them out or null."""
    call = shown(stored({"type": "function_call", **SMALLEST["function_call"], "status": None}))
    assert call["status"] == "completed"
    ran = shown(stored({"type": "code_interpreter_call", "container_id": "c"}))
    assert (ran["status"], ran["code"], ran["outputs"]) == ("completed", None, None)
    image = {"type": "input_image", "image_url": "https://x.test/a.png"}
    said = shown(
        stored(
            {
                "role": "assistant",
                "content": [{"type": "output_text", "text": "x"}, image],
            }
        )
    )
    assert said["status"] == "completed"
    assert said["content"] == [
        {"type": "output_text", "text": "x", "annotations": [], "logprobs": []},
        {**image, "detail": "auto"},
    ]
    output = shown(stored({"type": "function_call_output", "call_id": "c", "output": [image]}))
    assert output["output"] == [{**image, "detail": "auto"}]


def test_what_the_client_said_is_not_overwritten() -> None:
    """A default stands in for nothing only."""
    call = {"type": "function_call", **SMALLEST["function_call"], "status": "incomplete"}
    assert shown(stored(call))["status"] == "incomplete"


def test_unknown_fields_of_a_known_type_are_kept() -> None:
    """What a newer client says is stored and given back."""
    body = {"type": "reasoning", "summary": [], "new_field": {"deep": [1, None, "é"]}}
    assert shown(stored(body))["new_field"] == {"deep": [1, None, "é"]}
    said = {"role": "user", "content": [{**TEXT, "new": 1}], "also_new": "x"}
    assert shown(stored(said))["content"] == [{**TEXT, "new": 1}]
    assert shown(stored(said))["also_new"] == "x"


@pytest.mark.parametrize("role", ["user", "assistant", "system", "developer"])
def test_easy_messages(role: str) -> None:
    """A role and a text are a message; it is stored as the text alone."""
    for body in (
        {"role": role, "content": "hé"},
        {"type": "message", "role": role, "content": "hé"},
        {"type": "message", "role": role, "content": "hé", "status": "completed", "id": "x"},
    ):
        item = stored(body)
        assert (item.kind, item.body) == (role, '"hé"'.encode())
    part = {"type": "output_text", "text": "hé", "annotations": [], "logprobs": []}
    if role != "assistant":
        part = {"type": "input_text", "text": "hé"}
    assert shown(item) == {
        "id": item.id,
        "type": "message",
        "status": "completed",
        "role": role,
        "content": [part],
    }
    assert read_item(encode_item(item)).role == role


def test_plain_and_rich_messages_have_the_same_fields() -> None:
    """The template and the splice say the same of the same message."""
    plain = shown(stored({"role": "user", "content": "x"}))
    rich = shown(stored({"role": "user", "content": "x", "phase": "commentary"}))
    assert rich == plain | {"id": rich["id"], "phase": "commentary"}


def test_an_item_without_fields() -> None:
    """An item that holds nothing but its type is valid JSON too."""
    item = stored({"type": "configuration_update"})
    assert shown(item) == {"id": item.id, "type": "configuration_update"}


def test_the_call_a_local_shell_output_answers_is_kept() -> None:
    """There the client's id names the call, so it is kept when we give the item our own."""
    item = stored({"type": "local_shell_call_output", "id": "call_1", "output": "x"})
    assert shown(item)["call_id"] == "call_1"
    assert item.id != "call_1"


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({}, "items[0].role", "Missing required parameter: 'items[0].role'."),
        (
            {"type": "telepathy"},
            "items[0].type",
            "Invalid value: 'telepathy'. Supported values are: "
            + ", ".join(f"'{kind}'" for kind in list(KINDS)[:-1])
            + f", and '{list(KINDS)[-1]}'.",
        ),
        (
            {"role": "tool", "content": "x"},
            "items[0].role",
            "Invalid value: 'tool'. Supported values are: "
            "'user', 'assistant', 'system', and 'developer'.",
        ),
        (
            {"type": "item_reference", "id": "msg_1"},
            "items[0]",
            "Unsupported parameter: 'items[0]'. "
            "An item cannot be added by reference; send the item itself.",
        ),
        (
            {"role": "user", "content": "x" * 256_001},
            "items[0].content",
            "Invalid 'items[0].content': string too long. Expected a string with maximum length "
            "256000, but got a string with length 256001 instead.",
        ),
        (
            {"role": "user", "content": [{"type": "input_text", "text": "x" * 256_001}]},
            "items[0].content[0].text",
            "Invalid 'items[0].content[0].text': string too long. Expected a string with maximum "
            "length 256000, but got a string with length 256001 instead.",
        ),
        (
            {"role": "user", "content": [{"type": "input_image"}]},
            "items[0].content[0].image_url",
            "Missing required parameter: 'items[0].content[0].image_url'.",
        ),
        (
            {"type": "mcp_approval_response", "approval_request_id": "a", "approve": "yes"},
            "items[0].approve",
            "Invalid type for 'items[0].approve': expected a boolean, but got a string instead.",
        ),
        (
            {"type": "function_call_output", "call_id": "c", "output": {}},
            "items[0].output",
            "Invalid type for 'items[0].output': expected one of a string or array of objects, "
            "but got an object instead.",
        ),
        (
            {"role": "user", "content": "x", "metadata": {"a": 1}},
            "items[0].metadata.a",
            "Invalid type for 'items[0].metadata.a': expected a string, "
            "but got an integer instead.",
        ),
    ],
)
def test_bad_items_are_refused_by_name(body: dict[str, Any], param: str, message: str) -> None:
    """An item that cannot be stored is refused with the path to the mistake."""
    with pytest.raises(BadRequest) as caught:
        stored(body)
    assert (caught.value.param, caught.value.message) == (param, message)


@pytest.mark.parametrize("count", [0, 21])
def test_one_to_twenty_items(count: int) -> None:
    """A request brings at least one item and at most twenty."""
    with pytest.raises(BadRequest, match="Invalid 'items'"):
        decode_items([{"role": "user", "content": "x"}] * count, NOW)


def test_a_page_of_items() -> None:
    """A list names its first and last entries and keeps the order it was given."""
    page_items = decode_items(
        [{"role": "user", "content": "x"}, {"type": "function_call", **SMALLEST["function_call"]}],
        NOW,
    )
    page = strict(ConversationItemList, msgspec.json.decode(encode_items(page_items, False)))
    ids = [item.id for item in page_items]
    assert [entry.id for entry in page.data] == ids
    assert (page.first_id, page.last_id, page.has_more) == (ids[0], ids[1], False)
    assert ids[1].startswith("fc_")


def test_messages_of_other_roles_can_be_read() -> None:
    """Roles that only OpenAI writes come back when an import has stored them."""
    assert read_item(encode_item(message("msg_1", "critic", "x", NOW))).role == "critic"


NAMES = ["type", "role", "content", "text", "output", "call_id", "name", "arguments", "summary"]


@given(st.lists(bodies_like(NAMES), max_size=2) | bodies_like(NAMES))
@examples(200)
def test_no_body_breaks_the_decoder(bodies: Any) -> None:
    """Whatever comes as items, the answer is items or a refusal."""
    try:
        made = decode_items(bodies, NOW)
    except BadRequest as error:
        error.message.encode()
    else:
        for item in made:
            read_item(encode_item(item))


@pytest.mark.parametrize("kind", sorted(SMALLEST))
@given(data=st.data())
@examples(20)
def test_one_wrong_field_never_breaks_the_decoder(kind: str, data: st.DataObject) -> None:
    """Of each type, any JSON in the place of any field is stored and typed, or refused."""
    names = list(KINDS[kind].fields)  # type: ignore[attr-defined]
    name, value = data.draw(st.sampled_from(names)), data.draw(bodies_like([*names, *NAMES]))
    try:
        item = stored({"type": kind, **SMALLEST[kind], name: value})
    except BadRequest as error:
        error.message.encode()
    else:
        read_item(encode_item(item))


TOKEN = {"token": "a", "bytes": [97], "logprob": -0.5}
LOGPROBS = [TOKEN | {"top_logprobs": []}]
SAID: dict[str, Any] = {"type": "output_text", "text": "a", "annotations": [], "logprobs": LOGPROBS}
SOURCES = [{"type": "url", "url": "https://x.test"}]
DETAILS: list[tuple[dict[str, Any], str, list[str | int], Any]] = [
    (
        {"type": "file_search_call", "queries": ["q"], "results": [{"text": "found"}]},
        "file_search_call.results",
        ["results"],
        None,
    ),
    (
        {"type": "web_search_call", "action": {"type": "search", "sources": SOURCES}},
        "web_search_call.action.sources",
        ["action", "sources"],
        None,
    ),
    (
        {"type": "web_search_call", "action": {"type": "search"}, "results": [{"x": 1}]},
        "web_search_call.results",
        ["results"],
        None,
    ),
    (
        {
            "type": "code_interpreter_call",
            "container_id": "c",
            "outputs": [{"type": "logs", "logs": "1"}],
        },
        "code_interpreter_call.outputs",
        ["outputs"],
        None,
    ),
    (
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}, SAID]},
        "message.output_text.logprobs",
        ["content", 1, "logprobs"],
        [],
    ),
]


def at(value: Any, path: list[str | int]) -> Any:
    for step in path:
        value = value[step]
    return value


@pytest.mark.parametrize(("body", "name", "path", "hidden"), DETAILS)
def test_details_are_shown_when_asked_for(
    body: dict[str, Any], name: str, path: list[str | int], hidden: Any
) -> None:
    """They are stored all the same; the rest of the item is as it was."""
    item = stored(body)
    shown = msgspec.json.decode(encode_item(item, [name]))
    brief = msgspec.json.decode(encode_item(item))
    read_item(encode_item(item))
    assert at(shown, path) == at(body, path)
    assert at(brief, path) == hidden
    *place, last = path
    at(brief, place)[last] = at(shown, path)
    assert brief == shown == msgspec.json.decode(encode_item(item, EVERYTHING))


KEPT: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "input_image", "image_url": "https://x.test/a"}]},
    {"type": "reasoning", "summary": [], "encrypted_content": "x"},
    {
        "type": "computer_call_output",
        "call_id": "c",
        "output": {"type": "computer_screenshot", "image_url": "https://x.test/a"},
    },
    {"type": "web_search_call", "action": {"type": "open_page", "url": None}},
    {"role": "user", "content": 'It says "logprobs":[{ here.', "metadata": {"a": "b"}},
]


@pytest.mark.parametrize("body", KEPT)
def test_what_a_client_would_lose_is_always_shown(body: dict[str, Any]) -> None:
    """Images and encrypted reasoning: who sends a page back must not lose them."""
    item = stored(body)
    assert encode_item(item) == encode_item(item, EVERYTHING)
