"""Tools as the Responses face writes them, of all kinds there are.

As they stand here, `additional_tools` and `tool_search_output` may list them: stored and given
back, with whatever fields they bring. `tools` makes of them what a request may ask for.
"""

from __future__ import annotations

from collections.abc import Mapping

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
from clew.wire.fields import REASONING_EFFORT
from clew.wire.parts import kinds, shape

_OBJECT = MapOf(Anything())
_TEXTS = ListOf(Text())
_CALLERS: dict[str, Spec] = {"allowed_callers": ListOf(Choice("direct", "programmatic"))}
_CALLED: dict[str, Spec] = {"async": Flag(), "defer_loading": Flag(), **_CALLERS}


def _part(required: Mapping[str, Spec], optional: Mapping[str, Spec] | None = None) -> Record:
    """An object without a type of its own; what is optional may be null."""
    maybe = {name: Nullable(spec) for name, spec in (optional or {}).items()}
    return Record({**required, **maybe}, required, "keep")


_FUNCTION = shape(
    "function",
    {"name": Text()},
    {
        "description": Text(),
        "parameters": _OBJECT,
        "output_schema": _OBJECT,
        "strict": Flag(),
        **_CALLED,
    },
)
_GRAMMAR = shape("grammar", {"definition": Text(), "syntax": Choice("lark", "regex")})
_CUSTOM = shape(
    "custom",
    {"name": Text()},
    {
        "description": Text(),
        "format": Tagged("type", kinds(shape("text", {}), _GRAMMAR)),
        **_CALLED,
    },
)
_NAMESPACE = shape(
    "namespace",
    {
        "name": Text(),
        "description": Text(),
        "tools": ListOf(Tagged("type", kinds(_FUNCTION, _CUSTOM))),
    },
)

_COMPARISONS = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin")
_COMPARISON = _part(
    {
        "type": Choice(*_COMPARISONS),
        "key": Text(),
        "value": Either(Text(), Number(), Flag(), ListOf(Either(Text(), Number()))),
    }
)
_COMPOUNDS = ("and", "or")
_COMPOUND = _part({"type": Choice(*_COMPOUNDS), "filters": ListOf(_OBJECT)})
_FILE_SEARCH = shape(
    "file_search",
    {"vector_store_ids": _TEXTS},
    {
        "max_num_results": Integer(1, 50),
        "filters": Tagged(
            "type",
            dict.fromkeys(_COMPARISONS, _COMPARISON) | dict.fromkeys(_COMPOUNDS, _COMPOUND),
        ),
        "ranking_options": _part(
            {},
            {
                "ranker": Choice("auto", "default-2024-11-15"),
                "score_threshold": Number(),
                "hybrid_search": _part({"embedding_weight": Number(), "text_weight": Number()}),
            },
        ),
    },
)

_PLACE: dict[str, Spec] = {name: Text() for name in ("city", "country", "region", "timezone")}
_CONTEXT: dict[str, Spec] = {"search_context_size": Choice("low", "medium", "high")}
_SEARCH: dict[str, Spec] = {
    **_CONTEXT,
    "external_web_access": Flag(),
    "filters": _part({}, {"allowed_domains": _TEXTS}),
    "user_location": _part({}, {"type": Choice("approximate"), **_PLACE}),
}
_PREVIEW: dict[str, Spec] = {
    **_CONTEXT,
    "search_content_types": ListOf(Choice("text", "image")),
    "user_location": shape("approximate", {}, _PLACE),
}

_TOOL_NAMES = _part({}, {"read_only": Flag(), "tool_names": _TEXTS})
_MCP = shape(
    "mcp",
    {"server_label": Text()},
    {
        "server_url": Text(),
        "server_description": Text(),
        "connector_id": Choice(
            "connector_dropbox",
            "connector_gmail",
            "connector_googlecalendar",
            "connector_googledrive",
            "connector_microsoftteams",
            "connector_outlookcalendar",
            "connector_outlookemail",
            "connector_sharepoint",
        ),
        "tunnel_id": Text(),
        "authorization": Text(),
        "headers": MapOf(Text()),
        "allowed_tools": Either(_TEXTS, _TOOL_NAMES),
        "require_approval": Either(
            Choice("always", "never"), _part({}, {"always": _TOOL_NAMES, "never": _TOOL_NAMES})
        ),
        "defer_loading": Flag(),
        **_CALLERS,
    },
)

_SECRET = _part({"domain": Text(), "name": Text(), "value": Text()})
_ALLOWLIST = shape("allowlist", {"allowed_domains": _TEXTS}, {"domain_secrets": ListOf(_SECRET)})
_CONTAINER: dict[str, Spec] = {
    "file_ids": _TEXTS,
    "memory_limit": Choice("1g", "4g", "16g", "64g"),
    "network_policy": Tagged("type", kinds(shape("disabled", {}), _ALLOWLIST)),
}
_ZIP = shape("base64", {"data": Text(), "media_type": Choice("application/zip")})
_SKILL = Tagged(
    "type",
    kinds(
        shape("skill_reference", {"skill_id": Text()}, {"version": Text()}),
        shape("inline", {"name": Text(), "description": Text(), "source": _ZIP}),
    ),
)
_LOCAL_SKILL = _part({"name": Text(), "description": Text(), "path": Text()})
_SHELL_ENVIRONMENT = Tagged(
    "type",
    kinds(
        shape("container_auto", {}, {**_CONTAINER, "skills": ListOf(_SKILL)}),
        shape("local", {}, {"skills": ListOf(_LOCAL_SKILL)}),
        shape("container_reference", {"container_id": Text()}),
    ),
)

_IMAGE_GENERATION = shape(
    "image_generation",
    {},
    {
        "action": Choice("generate", "edit", "auto"),
        "background": Choice("transparent", "opaque", "auto"),
        "complexity": Choice("low", "medium", "high"),
        "frame_count": Integer(),
        "frame_duration_ms": Integer(),
        "input_fidelity": Choice("high", "low"),
        "input_image_mask": _part({}, {"file_id": Text(), "image_url": Text()}),
        "model": Text(),
        "moderation": Choice("auto", "low"),
        "output_compression": Integer(),
        "output_format": Choice("png", "webp", "jpeg", "gif", "svg"),
        "partial_images": Integer(),
        "quality": Choice("low", "medium", "high", "xhigh", "max", "auto"),
        "size": Text(),
        "svg": _part({}, {"model": Text(), "reasoning": _part({"effort": REASONING_EFFORT})}),
    },
)

ITEM_TOOL = Tagged(
    "type",
    kinds(
        _FUNCTION,
        _CUSTOM,
        _NAMESPACE,
        _FILE_SEARCH,
        shape("web_search", {}, _SEARCH),
        shape("web_search_2025_08_26", {}, _SEARCH),
        shape("web_search_preview", {}, _PREVIEW),
        shape("web_search_preview_2025_03_11", {}, _PREVIEW),
        _MCP,
        shape(
            "code_interpreter",
            {"container": Either(Text(), shape("auto", {}, _CONTAINER))},
            _CALLERS,
        ),
        _IMAGE_GENERATION,
        shape("computer", {}),
        shape(
            "computer_use_preview",
            {
                "display_height": Integer(),
                "display_width": Integer(),
                "environment": Choice("windows", "mac", "linux", "ubuntu", "browser"),
            },
        ),
        shape("local_shell", {}),
        shape("shell", {}, {"environment": _SHELL_ENVIRONMENT, **_CALLERS}),
        shape("apply_patch", {}, _CALLERS),
        shape("programmatic_tool_calling", {}),
        shape(
            "tool_search",
            {},
            {
                "description": Text(),
                "execution": Choice("server", "client"),
                "parameters": Anything(),
            },
        ),
    ),
)
