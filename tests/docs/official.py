"""What the official client can send: read from its own source."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, get_args

import openai

_CALL = re.compile(r'_(get|post|delete|get_api_list)\(\s*(?:path_template\(\s*)?"(/[^"?]+)"')
_AS_POST = re.compile(r'^\s*method="post",$', re.MULTILINE)
_NAME = re.compile(r'"(\w+)":')
_NOT_SENT = {"OpenAI", "bearer_auth"}
"""Names in the same places that are a header's and the security scheme's."""


def calls() -> dict[tuple[str, str], set[str]]:
    """Method and path of every call the client has -> the parameters it sends with it."""
    root = Path(inspect.getfile(openai)).parent / "resources"
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for file in root.rglob("*.py"):
        for piece in file.read_text(encoding="utf-8").split("self.")[1:]:
            call = _CALL.match(piece)
            if call:
                method = "POST" if _AS_POST.search(piece) else call[1].upper()
                key = (method.removesuffix("_API_LIST"), "/v1" + call[2])
                found[key] |= set(_NAME.findall(piece.split("cast_to")[0])) - _NOT_SENT
    return found


def names(union: Any, field: str) -> list[str]:
    """The names of the events in a union of the client's types."""
    kinds = get_args(get_args(union)[0])
    return sorted(get_args(kind.model_fields[field].annotation)[0] for kind in kinds)
