"""Item types: the fields of each of the 29 kinds of conversation item, as a client sends them.

Whatever these specs let in comes back in a form that OpenAI's own types accept. `id` is given by
us, so here it is optional; `DEFAULTS` are the fields a client may leave out and OpenAI returns.
"""

from __future__ import annotations

from typing import Any

from clew.wire.checks import (
    Anything,
    Choice,
    Either,
    Flag,
    Integer,
    ListOf,
    MapOf,
    Nullable,
    Number,
    Record,
    Spec,
    Tagged,
    Text,
)
from clew.wire.fields import METADATA_MAP, REASONING_EFFORT, TEXT_MAX
from clew.wire.item_tools import ITEM_TOOL
from clew.wire.messages import ATTACHMENTS
from clew.wire.parts import INPUT_PARTS, PARTS, kinds, shape

ENCRYPTED_MAX = 20_971_520
ROLES_SENT = ("user", "assistant", "system", "developer")
"""Roles a client may write; the others are OpenAI's own."""

_STATUS = Choice("in_progress", "completed", "incomplete")
_TEXTS = ListOf(Text())
_CALL: dict[str, Spec] = {"call_id": Text()}
_CALLER: dict[str, Spec] = {
    "caller": Tagged("type", kinds(shape("direct", {}), shape("program", {"caller_id": Text()}))),
    "created_by": Text(),
}
_TOOL_OUTPUT = Either(Text(), ListOf(Tagged("type", kinds(*INPUT_PARTS))))
_SAFETY_CHECKS = ListOf(
    Record({"id": Text(), "code": Nullable(Text()), "message": Nullable(Text())}, ("id",), "keep")
)


def _item(type: str, required: dict[str, Spec], optional: dict[str, Spec] | None = None) -> Record:
    return shape(type, required, {"id": Text(), **(optional or {})})


_MESSAGE = Record(
    {
        "type": Choice("message"),
        "id": Nullable(Text()),
        "role": Choice(*ROLES_SENT),
        "content": Either(Text(TEXT_MAX), ListOf(Tagged("type", kinds(*PARTS)))),
        "status": Nullable(_STATUS),
        "phase": Nullable(Choice("commentary", "final_answer")),
        # What the Threads face adds to a message; given back by both faces.
        "metadata": Nullable(METADATA_MAP),
        "attachments": ATTACHMENTS,
        "assistant_id": Nullable(Text()),
        "incomplete_details": Nullable(
            Record(
                {
                    "reason": Choice(
                        "content_filter",
                        "max_tokens",
                        "run_cancelled",
                        "run_expired",
                        "run_failed",
                    )
                },
                ("reason",),
            )
        ),
    },
    ("role", "content"),
    "keep",
)

_POINT: dict[str, Spec] = {"x": Integer(), "y": Integer()}
_KEYS: dict[str, Spec] = {"keys": _TEXTS}
_COMPUTER_ACTION = Tagged(
    "type",
    kinds(
        shape(
            "click",
            {"button": Choice("left", "right", "wheel", "back", "forward"), **_POINT},
            _KEYS,
        ),
        shape("double_click", _POINT, _KEYS),
        shape("drag", {"path": ListOf(Record(_POINT, _POINT, "keep"))}, _KEYS),
        shape("keypress", _KEYS),
        shape("move", _POINT, _KEYS),
        shape("screenshot", {}),
        shape("scroll", {**_POINT, "scroll_x": Integer(), "scroll_y": Integer()}, _KEYS),
        shape("type", {"text": Text()}),
        shape("wait", {}),
    ),
)
_WEB_ACTION = Tagged(
    "type",
    kinds(
        shape(
            "search",
            {},
            {
                "query": Text(),
                "queries": _TEXTS,
                "sources": ListOf(shape("url", {"url": Text()})),
            },
        ),
        shape("open_page", {}, {"url": Text()}),
        shape("find_in_page", {"pattern": Text(), "url": Text()}),
    ),
)
_FILE_RESULT = Record(
    {
        "file_id": Nullable(Text()),
        "filename": Nullable(Text()),
        "text": Nullable(Text()),
        "score": Nullable(Number()),
        "attributes": Nullable(MapOf(Either(Text(), Number(), Flag()))),
    },
    extra="keep",
)
_IMAGE_CALL: dict[str, Spec] = {
    "result": Text(),
    "status": Choice("in_progress", "completed", "generating", "failed"),
    "action": Choice("generate", "edit", "auto"),
    "background": Choice("transparent", "opaque", "auto"),
    "output_format": Choice("png", "webp", "jpeg", "gif", "svg"),
    "quality": Choice("low", "medium", "high", "xhigh", "max", "auto"),
    "revised_prompt": Text(),
    "size": Text(),
    "error": Record(
        {
            "message": Text(),
            "type": Text(),
            "code": Nullable(Text()),
            "param": Nullable(Text()),
            "moderation_details": Nullable(
                Record(
                    {
                        "categories": _TEXTS,
                        "moderation_stage": Choice("input", "output", "unknown"),
                    },
                    ("categories", "moderation_stage"),
                    "keep",
                )
            ),
        },
        ("message", "type"),
        "keep",
    ),
    "svg_usage": Record(
        {
            "model": Text(),
            "input_tokens": Integer(),
            "output_tokens": Integer(),
            "reasoning_tokens": Integer(),
            "total_tokens": Integer(),
        },
        ("model", "input_tokens", "output_tokens", "reasoning_tokens", "total_tokens"),
        "keep",
    ),
}
_SHELL_OUTPUT = Record(
    {
        "stdout": Text(),
        "stderr": Text(),
        "outcome": Tagged(
            "type", kinds(shape("timeout", {}), shape("exit", {"exit_code": Integer()}))
        ),
        "created_by": Nullable(Text()),
    },
    ("stdout", "stderr", "outcome"),
    "keep",
)
_PATCH = Tagged(
    "type",
    kinds(
        shape("create_file", {"path": Text(), "diff": Text()}),
        shape("update_file", {"path": Text(), "diff": Text()}),
        shape("delete_file", {"path": Text()}),
    ),
)
_MCP_ERROR = Tagged(
    "type",
    kinds(
        shape("mcp_protocol_error", {"code": Integer(), "message": Text()}),
        shape("mcp_tool_execution_error", {"content": Anything()}),
        shape("http_error", {"code": Integer(), "message": Text()}),
    ),
)
_TOOL_SEARCH: dict[str, Spec] = {
    **_CALL,
    "execution": Choice("server", "client"),
    "status": _STATUS,
    "created_by": Text(),
}
_SERVER: dict[str, Spec] = {"server_label": Text()}

KINDS: dict[str, Spec] = {
    "message": _MESSAGE,
    **kinds(
        _item(
            "function_call",
            {**_CALL, "name": Text(), "arguments": Text()},
            {"status": _STATUS, "namespace": Text(), "async": Flag(), **_CALLER},
        ),
        _item(
            "function_call_output",
            {"output": _TOOL_OUTPUT},
            {**_CALL, "status": _STATUS, "name": Text(), "namespace": Text(), **_CALLER},
        ),
        _item(
            "file_search_call",
            {"queries": _TEXTS},
            {
                "status": Choice("in_progress", "searching", "completed", "incomplete", "failed"),
                "results": ListOf(_FILE_RESULT),
            },
        ),
        _item(
            "web_search_call",
            {"action": _WEB_ACTION},
            {
                "status": Choice("in_progress", "searching", "completed", "failed", "incomplete"),
            },
        ),
        _item("image_generation_call", {}, _IMAGE_CALL),
        _item(
            "computer_call",
            _CALL,
            {
                "action": _COMPUTER_ACTION,
                "actions": ListOf(_COMPUTER_ACTION),
                "pending_safety_checks": _SAFETY_CHECKS,
                "status": _STATUS,
            },
        ),
        _item(
            "computer_call_output",
            {
                **_CALL,
                "output": shape(
                    "computer_screenshot", {}, {"image_url": Text(), "file_id": Text()}
                ),
            },
            {
                "acknowledged_safety_checks": _SAFETY_CHECKS,
                "status": Choice("in_progress", "completed", "incomplete", "failed"),
                "created_by": Text(),
            },
        ),
        _item("tool_search_call", {"arguments": Anything()}, _TOOL_SEARCH),
        _item("tool_search_output", {"tools": ListOf(ITEM_TOOL)}, _TOOL_SEARCH),
        _item("additional_tools", {"role": Choice("developer"), "tools": ListOf(ITEM_TOOL)}),
        _item(
            "reasoning",
            {"summary": ListOf(shape("summary_text", {"text": Text()}))},
            {
                "content": ListOf(shape("reasoning_text", {"text": Text()})),
                "encrypted_content": Text(ENCRYPTED_MAX),
                "status": _STATUS,
            },
        ),
        _item("program", {**_CALL, "code": Text(), "fingerprint": Text()}),
        _item(
            "program_output",
            {**_CALL, "result": Text()},
            {"status": Choice("completed", "incomplete")},
        ),
        _item("compaction", {"encrypted_content": Text(ENCRYPTED_MAX)}, {"created_by": Text()}),
        _item(
            "code_interpreter_call",
            {"container_id": Text()},
            {
                "code": Text(),
                "outputs": ListOf(
                    Tagged(
                        "type",
                        kinds(shape("logs", {"logs": Text()}), shape("image", {"url": Text()})),
                    )
                ),
                "status": Choice(
                    "in_progress", "completed", "incomplete", "interpreting", "failed"
                ),
            },
        ),
        _item(
            "local_shell_call",
            {
                **_CALL,
                "action": shape(
                    "exec",
                    {"command": _TEXTS, "env": MapOf(Text())},
                    {"timeout_ms": Integer(), "user": Text(), "working_directory": Text()},
                ),
            },
            {"status": _STATUS},
        ),
        _item("local_shell_call_output", {"output": Text()}, {**_CALL, "status": _STATUS}),
        _item(
            "shell_call",
            {
                **_CALL,
                "action": Record(
                    {
                        "commands": _TEXTS,
                        "timeout_ms": Nullable(Integer()),
                        "max_output_length": Nullable(Integer()),
                    },
                    ("commands",),
                    "keep",
                ),
            },
            {
                "environment": Tagged(
                    "type",
                    kinds(
                        shape("local", {}),
                        shape("container_reference", {"container_id": Text()}),
                    ),
                ),
                "status": _STATUS,
                **_CALLER,
            },
        ),
        _item(
            "shell_call_output",
            {**_CALL, "output": ListOf(_SHELL_OUTPUT)},
            {"max_output_length": Integer(), "status": _STATUS, **_CALLER},
        ),
        _item(
            "apply_patch_call",
            {**_CALL, "operation": _PATCH},
            {"status": Choice("in_progress", "completed"), **_CALLER},
        ),
        _item(
            "apply_patch_call_output",
            _CALL,
            {"output": Text(), "status": Choice("completed", "failed"), **_CALLER},
        ),
        _item(
            "mcp_list_tools",
            {
                **_SERVER,
                "tools": ListOf(
                    Record(
                        {
                            "name": Text(),
                            "input_schema": Anything(),
                            "description": Nullable(Text()),
                        },
                        ("name", "input_schema"),
                        "keep",
                    )
                ),
            },
            {"error": Text()},
        ),
        _item("mcp_approval_request", {**_SERVER, "name": Text(), "arguments": Text()}),
        _item(
            "mcp_approval_response",
            {"approval_request_id": Text(), "approve": Flag()},
            {"reason": Text()},
        ),
        _item(
            "mcp_call",
            {**_SERVER, "name": Text(), "arguments": Text()},
            {
                "output": Text(),
                "error": _MCP_ERROR,
                "status": Choice("in_progress", "completed", "incomplete", "calling", "failed"),
                "approval_request_id": Text(),
            },
        ),
        _item(
            "custom_tool_call",
            {**_CALL, "name": Text(), "input": Text()},
            {"namespace": Text(), "async": Flag(), **_CALLER},
        ),
        _item("custom_tool_call_output", {**_CALL, "output": _TOOL_OUTPUT}, _CALLER),
        _item(
            "configuration_update",
            {},
            {
                "reasoning": Record({"effort": REASONING_EFFORT}, extra="keep"),
                "text": Record(
                    {
                        "format": Tagged(
                            "type",
                            kinds(
                                shape("text", {}),
                                shape(
                                    "json_schema",
                                    {"name": Text(), "schema": MapOf(Anything())},
                                    {"description": Text(), "strict": Flag()},
                                ),
                            ),
                        )
                    },
                    ("format",),
                    "keep",
                ),
            },
        ),
    ),
}
"""Item type -> its fields."""

_DONE: dict[str, Any] = {"status": "completed"}
_SEARCHED: dict[str, Any] = {**_DONE, "call_id": None, "execution": "server"}

DEFAULTS: dict[str, dict[str, Any]] = {
    "message": _DONE,
    "function_call": _DONE,
    "function_call_output": _DONE,
    "file_search_call": _DONE,
    "web_search_call": _DONE,
    "image_generation_call": {**_DONE, "result": None},
    "computer_call": {**_DONE, "pending_safety_checks": []},
    "computer_call_output": _DONE,
    "tool_search_call": _SEARCHED,
    "tool_search_output": _SEARCHED,
    "program_output": _DONE,
    "code_interpreter_call": {**_DONE, "code": None, "outputs": None},
    "local_shell_call": _DONE,
    "shell_call": {**_DONE, "environment": None},
    "shell_call_output": {**_DONE, "max_output_length": None},
    "apply_patch_call": _DONE,
    "apply_patch_call_output": _DONE,
}
"""Item type -> what OpenAI returns where the client said nothing."""
