"""What a provider cannot do is refused by name, before anything is stored. Pure.

Hints (where it is billed, what it is cached under, who asks) change no answer, so a provider may
pass over them. Everything else that a run asks of its model is done or refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from clew.core.errors import BadRequest
from clew.core.runs import Run
from clew.providers.provider import Abilities

HINTS = frozenset(
    """service_tier prompt_cache_key prompt_cache_retention prompt_cache_options safety_identifier
    user metadata""".split()
)

OURS = frozenset(
    """temperature top_p tool_choice parallel_tool_calls max_output_tokens text_format reasoning
    truncation include background stream stream_options max_tool_calls context_management store
    conversation previous_response_id limits max_prompt_tokens truncation_strategy instructions
    tools model input routed_by""".split()
)
"""Settings that Clew itself sees to, and those looked at below."""

OUR_INCLUDE = frozenset(
    """file_search_call.results web_search_call.results web_search_call.action.sources
    message.input_image.image_url computer_call_output.output.image_url
    code_interpreter_call.outputs reasoning.encrypted_content
    step_details.tool_calls[*].file_search.results[*].content""".split()
)
"""What an answer may include of its items, if it has such; the model has no part in it."""

DEFAULTS: Mapping[str, Any] = {"verbosity": "medium", "top_logprobs": 0}
"""Values that ask for nothing."""

NAMES = {"verbosity": "text.verbosity"}
"""Setting -> its parameter, where the two have different names."""

CHOICES = frozenset({"function", "allowed_tools"})
"""Types of `tool_choice` that need no ability of their own."""


def refuse(abilities: Abilities, run: Run, our_tools: frozenset[str] = frozenset()) -> None:
    """Raise BadRequest for what the provider cannot do; `our_tools` are types Clew runs itself."""
    tools = abilities.tools | our_tools
    _refuse_tools(tools, run)
    _refuse_settings(abilities, run)
    for at, wanted in enumerate(run.settings.get("include") or ()):
        if wanted not in abilities.include | OUR_INCLUDE:
            raise _unsupported(f"include[{at}]", f"'{wanted}'", run)


def _refuse_tools(tools: frozenset[str], run: Run) -> None:
    for at, tool in enumerate(run.tools):
        if tool["type"] not in tools:
            raise _unsupported(f"tools[{at}].type", f"Tool type '{tool['type']}'", run)
    choice = run.settings.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] not in tools | CHOICES:
        raise _unsupported("tool_choice.type", f"Tool choice '{choice['type']}'", run)


def _refuse_settings(abilities: Abilities, run: Run) -> None:
    known = OURS | HINTS | abilities.settings
    for name, value in _said(run.settings):
        if name not in known and value != DEFAULTS.get(name):
            raise _unsupported(NAMES.get(name, name), None, run)
    if "reasoning" not in abilities.settings:
        for name, _ in _said(run.settings.get("reasoning") or {}):
            if name != "effort" and f"reasoning.{name}" not in abilities.settings:
                raise _unsupported(f"reasoning.{name}", None, run)
    kind = (run.settings.get("text_format") or {"type": "text"})["type"]
    if kind not in abilities.formats:
        raise _unsupported("text.format", f"Format '{kind}'", run)
    if (run.settings.get("temperature") or 0) > abilities.temperature_max:
        limit = abilities.temperature_max
        raise _unsupported("temperature", f"A temperature above {limit:g}", run)


def _said(settings: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((name, value) for name, value in settings.items() if value is not None)


def _unsupported(param: str, what: str | None, run: Run) -> BadRequest:
    subject = f"{what} is" if what else f"Unsupported parameter: '{param}' is"
    message = f"{subject} not supported with model '{run.model}'."
    return BadRequest(message, param, "unsupported_parameter")
