"""What each kind of upstream can do is done there, and refused by name everywhere else.

The table in `docs/compatibility.md` is made of what the providers say of themselves; here each of
its cells is asked for over HTTP.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from openai import OpenAI

from clew.testing import upstream_responses as says
from clew.testing.upstream import Upstream

from ..docs.upstreams import (
    ABILITIES,
    OURS_TO_DO,
    can_set,
    formats,
    includes,
    settings,
    tools,
)
from .doubles import Doubles
from .live import Live
from .test_upstreams import SAYS, served

TOOLS: dict[str, dict[str, Any]] = {
    "code_interpreter": {"container": {"type": "auto"}},
    "computer_use_preview": {
        "display_height": 600,
        "display_width": 800,
        "environment": "browser",
    },
    "custom": {"name": "sql"},
    "file_search": {"vector_store_ids": ["vs_theirs"]},
    "function": {"name": "get_weather", "parameters": {}, "strict": False},
    "mcp": {"server_label": "docs", "server_url": "https://mcp.example"},
    "namespace": {
        "name": "crm",
        "description": "Customers.",
        "tools": [{"type": "function", "name": "find", "parameters": {}, "strict": False}],
    },
    "shell": {"environment": {"type": "container_auto"}},
    "tool_search": {"execution": "server"},
}
"""Type of tool -> the least it has to say; the others say nothing."""

PASSED_ON: dict[str, Any] = {
    "access_programs": {"cyber": "daybreak_blue"},
    "image": {"context_compression": "enabled"},
    "moderation": {"model": "omni-moderation-latest"},
    "prompt": {"id": "pmpt_1", "version": "2", "variables": {"city": "Rome"}},
    "reasoning": {"effort": "low"},
    "reasoning.context": "all_turns",
    "reasoning.generate_summary": "auto",
    "reasoning.mode": "deep",
    "reasoning.summary": "auto",
    "text.verbosity": "low",
    "top_logprobs": 2,
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "safety_identifier": "s",
    "service_tier": "flex",
    "user": "u",
    "max_tool_calls": 2,
    "truncation": "auto",
}
"""Parameter -> a value that asks for something."""

EVERYBODYS = frozenset(PASSED_ON) - frozenset(settings())
"""Of those, hints, and what Clew itself sees to."""

FORMATS: dict[str, dict[str, Any]] = {
    "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": False}
}


@contextmanager
def asked(kind: str) -> Iterator[tuple[OpenAI, Upstream | None]]:
    """A client of a server with that kind of upstream, which answers a few requests."""
    if kind in SAYS:
        with served(kind, *[SAYS[kind]("Yes.") for _ in range(40)]) as (client, double):
            yield client, double
    else:
        with Live("sqlite://:memory:") as live, live.client() as client:
            yield client, None


def body_of(param: str, value: Any) -> dict[str, Any]:
    """The request's part with this value: `a.b` is `{"a": {"b": …}}`."""
    outer, _, inner = param.partition(".")
    return {outer: {inner: value} if inner else value}


def refused_param(client: OpenAI, **request: Any) -> str | None:
    """The parameter that the refusal names."""
    with pytest.raises(openai.BadRequestError) as refusal:
        client.responses.create(model="m", input="Hi", **request)
    assert refusal.value.code == "unsupported_parameter"
    return refusal.value.param


def check_ours(client: OpenAI, tool: Any) -> None:
    """Clew takes it, as far as what it needs is there: a sandbox, or a server."""
    if tool["type"] == "code_interpreter" and shutil.which("bwrap") is None:
        with pytest.raises(openai.BadRequestError, match="bubblewrap"):
            client.responses.create(model="m", input="Hi", tools=[tool])
        return
    made = client.responses.create(model="m", input="Hi", tools=[tool])
    if tool["type"] == "mcp":
        assert made.error is not None
        assert "Error retrieving tool list from MCP server: 'docs'" in made.error.message
    else:
        assert made.status == "completed"


@pytest.mark.parametrize("kind", ABILITIES)
def test_a_tool_is_passed_on_or_refused_by_its_type(kind: str):
    """Every type of tool, at every kind of upstream; Clew does some where the upstream cannot."""
    with asked(kind) as (client, double):
        for type in tools():
            tool: Any = {"type": type, **TOOLS.get(type, {})}
            if type not in ABILITIES[kind].tools:
                if type in OURS_TO_DO:
                    check_ours(client, tool)
                    continue
                assert refused_param(client, tools=[tool]) == "tools[0].type"
                continue
            made = client.responses.create(model="m", input="Hi", tools=[tool])
            assert made.status == "completed"
            if kind == "openai-responses":
                assert double is not None
                assert double.requests[-1].body["tools"] == [tool]


@pytest.mark.parametrize("kind", ABILITIES)
def test_a_setting_is_passed_on_or_refused_by_its_name(kind: str):
    """Every setting that some kinds have, at every kind; a refusal asks nobody anything."""
    with asked(kind) as (client, double):
        for param in settings():
            request = body_of(param, PASSED_ON[param])
            before = double and len(double.requests)
            if can_set(ABILITIES[kind], param):
                assert client.responses.create(model="m", input="Hi", **request).id
            elif param == "prompt":
                with pytest.raises(openai.NotFoundError, match="Prompt with id 'pmpt_1' not found"):
                    client.responses.create(model="m", **request)
            else:
                assert refused_param(client, **request) == param
                assert before == (double and len(double.requests))


@pytest.mark.parametrize("kind", ABILITIES)
def test_formats_includes_and_temperatures_are_taken_or_refused(kind: str):
    """As the kind can; the highest temperature is its own."""
    abilities = ABILITIES[kind]
    with asked(kind) as (client, _):
        create = client.responses.create
        for type in formats():
            format: Any = {"format": {"type": type, **FORMATS.get(type, {})}}
            if type in abilities.formats:
                assert create(model="m", input="Hi JSON", text=format).status == "completed"
            else:
                assert refused_param(client, text=format) == "text.format"
        for wanted in includes():
            if wanted in abilities.include:
                assert create(model="m", input="Hi", include=[wanted]).status == "completed"
            else:
                assert refused_param(client, include=[wanted]) == "include[0]"
        assert create(model="m", input="Hi", temperature=abilities.temperature_max).id
        if abilities.temperature_max < 2:
            assert refused_param(client, temperature=2) == "temperature"


@pytest.mark.parametrize("param", PASSED_ON)
def test_an_upstream_that_speaks_responses_is_told_everything(
    relayed: OpenAI, upstream: Doubles, param: str
):
    """As it was asked for; what is a hint or Clew's own to do, the scripted model takes as well."""
    upstream.reply(says.says("Yes."))
    request = body_of(param, PASSED_ON[param])
    response = relayed.responses.create(model="m", input="Hi", **request)
    assert response.output_text == "Yes."
    body = upstream.double.requests[0].body
    assert {name: body[name] for name in request} == request
    if param in EVERYBODYS:
        made = relayed.responses.create(model="scripted", input="hello", **request)
        assert made.status == "completed"


def test_a_prompt_that_is_kept_upstream_is_named_in_the_response(
    relayed: OpenAI, upstream: Doubles
):
    """Its id, version and variables come back, and no input is needed beside it."""
    upstream.reply(says.says("Yes."))
    response = relayed.responses.create(model="m", prompt=PASSED_ON["prompt"])
    assert response.prompt.to_dict() == PASSED_ON["prompt"]
    assert relayed.responses.retrieve(response.id) == response
