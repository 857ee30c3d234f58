"""What a provider cannot do is refused by the name of its parameter."""

from typing import Any

import pytest

from clew.core.errors import BadRequest
from clew.core.runs import Run
from clew.providers.abilities import refuse
from clew.providers.anthropic import Anthropic
from clew.providers.openai_compatible import OpenAICompatible
from clew.providers.openai_responses import OpenAIResponses
from clew.providers.provider import Abilities
from clew.providers.scripted import Scripted

PLAIN = Abilities()


def run(tools: list[dict[str, Any]] | None = None, **settings: Any) -> Run:
    return Run("r", "t", 0, "m", tools=tools or [], settings=settings)


def test_what_every_model_can_do_passes() -> None:
    settings = {
        "temperature": 2,
        "top_p": 0.5,
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "max_output_tokens": 99,
        "text_format": {"type": "json_object"},
        "reasoning": {"effort": "low", "summary": None},
        "verbosity": "medium",
        "top_logprobs": 0,
        "prompt": None,
        "include": ["reasoning.encrypted_content", "file_search_call.results"],
        "store": True,
        "background": True,
        "truncation": "auto",
    }
    refuse(PLAIN, run([{"type": "function", "name": "f"}], **settings))


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        ("service_tier", "flex"),
        ("prompt_cache_key", "k"),
        ("prompt_cache_retention", "24h"),
        ("safety_identifier", "s"),
        ("user", "u"),
    ],
)
def test_a_hint_passes_everywhere(hint: str, value: str) -> None:
    refuse(PLAIN, run(**{hint: value}))


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (run([{"type": "function"}, {"type": "web_search"}]), "tools[1].type"),
        (run([{"type": "custom", "name": "c"}]), "tools[0].type"),
        (run(tool_choice={"type": "file_search"}), "tool_choice.type"),
        (run(verbosity="low"), "text.verbosity"),
        (run(top_logprobs=2), "top_logprobs"),
        (run(prompt={"id": "pmpt_1"}), "prompt"),
        (run(moderation={"model": "x"}), "moderation"),
        (run(reasoning={"effort": "low", "summary": "auto"}), "reasoning.summary"),
        (
            run(include=["reasoning.encrypted_content", "message.output_text.logprobs"]),
            "include[1]",
        ),
        (run(a_setting_of_tomorrow=1), "a_setting_of_tomorrow"),
    ],
)
def test_what_is_no_ability_is_refused_by_name(asked: Run, param: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        refuse(PLAIN, asked)
    assert (refusal.value.param, refusal.value.wire_code) == (param, "unsupported_parameter")
    assert "model 'm'" in refusal.value.message


def test_a_tool_that_clew_runs_itself_needs_no_ability() -> None:
    asked = run([{"type": "file_search"}], tool_choice={"type": "file_search"})
    refuse(PLAIN, asked, frozenset({"file_search"}))


@pytest.mark.parametrize("provider", [OpenAICompatible, OpenAIResponses, Scripted])
def test_custom_tools_pass_where_they_can_be_told(provider: Any) -> None:
    refuse(provider.abilities, run([{"type": "custom", "name": "c"}]))


def test_responses_can_do_everything() -> None:
    asked = run(
        [{"type": "web_search"}, {"type": "mcp"}, {"type": "image_generation"}],
        reasoning={"effort": "low", "summary": "auto", "context": "all_turns"},
        include=["message.output_text.logprobs"],
        verbosity="low",
        prompt={"id": "pmpt_1"},
        top_logprobs=2,
        moderation={"model": "x"},
    )
    refuse(OpenAIResponses.abilities, asked)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (run(text_format={"type": "json_object"}), "text.format"),
        (run(temperature=1.5), "temperature"),
        (run([{"type": "custom", "name": "c"}]), "tools[0].type"),
    ],
)
def test_anthropic_refuses_what_messages_have_no_word_for(asked: Run, param: str) -> None:
    refuse(Anthropic.abilities, run(reasoning={"effort": "low", "summary": "auto"}))
    with pytest.raises(BadRequest) as refusal:
        refuse(Anthropic.abilities, asked)
    assert refusal.value.param == param
