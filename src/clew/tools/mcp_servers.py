"""An MCP server as a run names it: where it is, what it is told, which of its tools may be called.

Its headers and its token are secrets: they go to the server and nowhere else, and are cut out of
whatever it sends back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import msgspec

from clew.tools.tool import ToolError

FUNCTION_NAME_MAX = 64
"""OpenAI's: `^[a-zA-Z0-9_-]{1,64}$`."""

SECRET_MIN = 6
"""Shorter values of headers are words like any other, not to be cut out of texts."""

_DIGEST = 12
_PLAIN = re.compile(r"[A-Za-z0-9-]+(?:_[A-Za-z0-9-]+)*")
_ODD = re.compile(r"[^A-Za-z0-9-]+")

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_HEADERS_OF_OURS = frozenset(
    """accept accept-encoding connection content-encoding content-length content-type host
    last-event-id mcp-method mcp-name mcp-protocol-version mcp-session-id te trailer
    transfer-encoding upgrade""".split()
)
"""What the protocol itself sends: a second one would change whom or what a request is for."""


class Server(msgspec.Struct, frozen=True):
    """What is needed to reach a server. Made by `read_server`."""

    label: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()

    def redacted(self, text: str) -> str:
        """The text without our secrets: a server may send back what it was sent."""
        for _, value in self.headers:
            for secret in (value, value.partition(" ")[2]):
                if len(secret) >= SECRET_MIN:
                    text = text.replace(secret, "[redacted]")
        return text


def read_server(config: Mapping[str, Any]) -> Server:
    """The server of a tool in the Responses shape. Raises ToolError."""
    found = problem_of(config)
    if found is not None:
        raise ToolError(f"MCP server '{config.get('server_label')}': {found[0]} {found[1]}")
    headers = [(name.lower(), value.strip()) for name, value in _headers(config).items()]
    token = config.get("authorization")
    if token:
        is_whole = token.lower().startswith("bearer ")
        headers.append(("authorization", token if is_whole else f"Bearer {token}"))
    return Server(config["server_label"], config["server_url"], tuple(headers))


def problem_of(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """What of a tool cannot be done here: the field, and what is wrong with it."""
    for name in ("connector_id", "tunnel_id"):
        if config.get(name) is not None:
            return name, "is of OpenAI's own servers; name a server with server_url."
    if config.get("defer_loading"):
        return "defer_loading", "is not supported; all allowed tools are loaded."
    callers = config.get("allowed_callers")
    if callers is not None and "direct" not in callers:
        return "allowed_callers", "must have 'direct'."
    return _url_problem(config.get("server_url")) or _header_problem(config)


def _url_problem(url: str | None) -> tuple[str, str] | None:
    if not url:
        return "server_url", "is missing."
    try:
        parts = urlsplit(url)
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_http = False
    if not is_http or not url.isascii() or not url.isprintable() or " " in url:
        return "server_url", "is not the URL of an HTTP server."
    if parts.username is not None or parts.password is not None:
        return "server_url", "has a user or a password in it; use authorization or headers."
    return None


def _header_problem(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """Values are secrets, so only names are said."""
    headers, token = _headers(config), config.get("authorization")
    for name, value in headers.items():
        if name.lower() in _HEADERS_OF_OURS:
            return "headers", f"may not have '{name}': the protocol sets it."
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            return "headers", f"has a name or a value that HTTP does not allow: {name!r}."
    if len({name.lower() for name in headers}) < len(headers):
        return "headers", "names a header twice."
    if token and not _HEADER_VALUE.fullmatch(token):
        return "authorization", "is not a token that HTTP allows."
    if token and any(name.lower() == "authorization" for name in headers):
        return "authorization", "is given twice, also in headers."
    return None


def _headers(config: Mapping[str, Any]) -> Mapping[str, str]:
    return config.get("headers") or {}


def function_name(label: str, tool: str) -> str:
    """What a model calls a tool of a server: the same for ever, another for every other tool.

    A name that has to be changed for that carries a digest of the label and the tool's own name.
    """
    plain = f"mcp__{label}__{tool}"
    fits = _PLAIN.fullmatch(label) and _PLAIN.fullmatch(tool)
    if fits and len(plain) <= FUNCTION_NAME_MAX:
        return plain
    digest = sha256(msgspec.json.encode([label, tool])).hexdigest()[:_DIGEST]
    words = _ODD.sub("_", f"{label}_{tool}").strip("_")
    return f"mcp_{words[: FUNCTION_NAME_MAX - _DIGEST - 5]}_{digest}"


def is_allowed(config: Mapping[str, Any], tool: Mapping[str, Any]) -> bool:
    """Whether `allowed_tools` lets a model know a tool; without it, every tool is allowed."""
    allowed = config.get("allowed_tools")
    if allowed is None:
        return True
    if isinstance(allowed, list):
        return tool["name"] in allowed
    return _matches(allowed, tool)


def named_tools(config: Mapping[str, Any]) -> list[str] | None:
    """The names in `allowed_tools`, if it has any."""
    allowed = config.get("allowed_tools")
    names = allowed.get("tool_names") if isinstance(allowed, dict) else allowed
    return names if isinstance(names, list) else None


def by_what_they_do(config: Mapping[str, Any]) -> bool:
    """Whether `allowed_tools` chooses by what tools say of themselves, not by name alone."""
    allowed = config.get("allowed_tools")
    return isinstance(allowed, dict) and allowed.get("read_only") is not None


def needs_approval(config: Mapping[str, Any], tool: Mapping[str, Any]) -> bool:
    """Whether somebody has to agree to a call. Always, where nothing says that nobody has to."""
    rule = config.get("require_approval") or "always"
    if isinstance(rule, str):
        return rule != "never"
    always, never = rule.get("always"), rule.get("never")
    if always and _matches(always, tool):
        return True
    return not (never and _matches(never, tool))


def _matches(filter: Mapping[str, Any], tool: Mapping[str, Any]) -> bool:
    """Whether a tool is all that the filter says. `read_only` is as the server itself declares."""
    names, read_only = filter.get("tool_names"), filter.get("read_only")
    if names is not None and tool["name"] not in names:
        return False
    if read_only is None:
        return True
    notes = tool.get("annotations")
    declared = isinstance(notes, dict) and notes.get("readOnlyHint") is True
    return bool(declared == read_only)
