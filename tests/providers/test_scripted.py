"""The scripted model: rules first, then answers from the thread itself."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clew.core.items import Item, message, new_item
from clew.providers.provider import (
    AnnotationDelta,
    Delta,
    Finish,
    HostedDelta,
    ItemDone,
    ModelRequest,
    ProviderError,
    TextDelta,
    ToolCallDelta,
)
from clew.providers.script import (
    Rule,
    ScriptedCall,
    ScriptedError,
    ScriptedHosted,
    ScriptedUsage,
)
from clew.providers.scripted import Scripted
from clew.providers.stand_in import WHAT_I_AM

DOCS = Path(__file__).parents[2] / "docs" / "scripted.md"


def thread(*said: str) -> list[Item]:
    """User and assistant in turn, the user first."""
    roles = ("user", "assistant")
    return [message(f"msg_{at}", roles[at % 2], text, 0) for at, text in enumerate(said)]


def called(call_id: str, name: str) -> Item:
    data = {"type": "function_call", "call_id": call_id, "name": name, "arguments": "{}"}
    return new_item("fc_" + call_id, data, 0)


def gave(call_id: str, output: Any) -> Item:
    data = {"type": "function_call_output", "call_id": call_id, "output": output}
    return new_item("fco_" + call_id, data, 0)


def ask(provider: Scripted, items: Sequence[Item], **said: Any) -> list[Delta]:
    async def run() -> list[Delta]:
        return [delta async for delta in provider.stream(ModelRequest("m", items, **said))]

    return asyncio.run(run())


def text(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def answer(items: Sequence[Item], *rules: Rule, **said: Any) -> str:
    return text(ask(Scripted(rules), items, **said))


# rules


def test_the_first_rule_that_matches_answers_in_upper_or_lower_case() -> None:
    rules = (
        Rule(match="refund", reply="first"),
        Rule(match="re", reply="second"),
        Rule(reply="last"),
    )
    assert answer(thread("REFUND me"), *rules) == "first"
    assert answer(thread("remember me"), *rules) == "second"
    assert answer(thread("hello"), *rules) == "last"


def test_a_rule_looks_at_the_last_message_of_the_user_alone() -> None:
    assert answer(thread("refund", "no", "thanks"), Rule(match="refund", reply="x")) != "x"


def test_a_rule_may_be_for_one_model() -> None:
    assert answer(thread("hi"), Rule(model="other", reply="x"), Rule(model="m", reply="y")) == "y"


def test_a_reply_is_streamed_word_by_word_and_loses_no_white_space() -> None:
    reply = "  One two,\n\nthree  "
    deltas = ask(Scripted([Rule(reply=reply)]), thread("hi"))
    assert [delta.text for delta in deltas if isinstance(delta, TextDelta)] == [
        "  One",
        " two,",
        "\n\nthree",
        "  ",
    ]


def test_a_call_follows_the_reply_with_the_groups_filled_in() -> None:
    calls = [ScriptedCall("f", {"id": "{1}"}), ScriptedCall("g")]
    rule = Rule(match=r"(INV-\d+)", reply="Looking up {1}.", tool_calls=calls)
    deltas = ask(Scripted([rule]), thread("what of INV-7"))
    first, second = (d.call_id for d in deltas if isinstance(d, ToolCallDelta) and d.name)
    assert text(deltas) == "Looking up INV-7."
    assert deltas[3:] == [
        ToolCallDelta(0, "", first, "f"),
        ToolCallDelta(0, '{"id":"INV-7"}'),
        ToolCallDelta(1, "", second, "g"),
        ToolCallDelta(1, "{}"),
        Finish("tool_calls", 3, 5),
    ]
    assert first != second


def test_the_same_window_gives_the_same_call_ids_and_the_next_turn_others() -> None:
    def ids(items: Sequence[Item]) -> list[str | None]:
        deltas = ask(Scripted([Rule(tool_calls=[ScriptedCall("f")])]), items)
        return [d.call_id for d in deltas if isinstance(d, ToolCallDelta) and d.name]

    turn = thread("go")
    assert ids(turn) == ids(turn)
    assert ids(turn) != ids(thread("go", "done", "go"))


def test_a_rule_after_a_tool_answers_its_output_and_no_message() -> None:
    rules = (
        Rule(match="go", tool_calls=[ScriptedCall("f")]),
        Rule(after_tool="f", reply="It is {output}."),
    )
    window = [*thread("go"), called("c1", "f"), gave("c1", "42")]
    assert answer(window, *rules) == "It is 42."
    assert ask(Scripted(rules), thread("go"))[-1] == Finish("tool_calls", 1, 1)


def test_a_scripted_failure_comes_after_the_reply() -> None:
    rule = Rule(reply="I was", error=ScriptedError("rate_limit_exceeded", "too fast"))

    async def run() -> list[Delta]:
        stream = Scripted([rule]).stream(ModelRequest("m", thread("hi")))
        said = [await anext(stream), await anext(stream)]
        with pytest.raises(ProviderError, match="too fast") as failure:
            await anext(stream)
        assert failure.value.code == "rate_limit_exceeded"
        return said

    assert text(asyncio.run(run())) == "I was"


def test_delays_come_before_the_first_token_and_between_tokens() -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    rule = Rule(reply="a b c", delay_ms=500, token_delay_ms=20)
    ask(Scripted([rule], sleep=note), thread("hi"))
    assert waits == [0.5, 0.02, 0.02]


def test_usage_counts_words_unless_the_rule_says_otherwise() -> None:
    window = [*thread("one two"), called("c1", "f"), gave("c1", "three")]
    counted = ask(Scripted([Rule(after_tool="f", reply="a b")]), window, instructions="Be kind.")
    said = ask(Scripted([Rule(reply="a", usage=ScriptedUsage(7, 8, 9, 1))]), thread("hi"))
    assert counted[-1] == Finish("stop", 6, 2)
    assert said[-1] == Finish("stop", 7, 8, 9, 1)


def test_a_token_limit_cuts_the_reply() -> None:
    rule = Rule(reply="a b c", tool_calls=[ScriptedCall("f")])
    assert ask(Scripted([rule]), thread("hi"), tokens_max=2) == [
        TextDelta("a"),
        TextDelta(" b"),
        Finish("length", 1, 2),
    ]


# answers from the thread itself


SUPPORT = thread(
    "Why was I charged twice?",
    "Can you give me the invoice number?",
    "Sure. My invoice number is INV-20391.",
    "Thank you.",
)


@pytest.mark.parametrize(
    "question",
    ["What is the invoice number I gave you?", "Has the refund for that invoice gone through?"],
)
def test_a_later_question_is_answered_from_what_the_user_said(question: str) -> None:
    said = answer([*SUPPORT, message("msg_9", "user", question, 0)])
    assert said == (
        f"{WHAT_I_AM} From what you wrote earlier: INV-20391. You said it in item 3 of this "
        'thread: "My invoice number is INV-20391." I know nothing beyond this thread.'
    )


def test_the_item_named_is_the_one_in_the_thread_when_the_window_begins_later() -> None:
    window = thread("My invoice number is INV-1.", "Thanks.", "Which invoice?")
    for seq, item in enumerate(window, 41):
        item.seq = seq
    assert "You said it in item 41 of this thread" in answer(window)


def test_without_anything_to_look_up_it_repeats_the_user() -> None:
    assert answer(thread("Hello", "Hi", "How are you?")) == (
        f'{WHAT_I_AM} I see 3 messages of this thread. Your last one says: "How are you?"'
    )


def test_a_thread_without_words_of_the_user_is_answered_too() -> None:
    assert answer([]) == f"{WHAT_I_AM} I see 0 messages of this thread."
    assert answer([message("msg_1", "assistant", "Hi", 0)]) == (
        f"{WHAT_I_AM} I see 1 message of this thread."
    )


def test_outputs_that_no_rule_answers_are_stated() -> None:
    parts = [{"type": "input_text", "text": "sunny"}]
    window = [
        *thread("Weather?"),
        called("c1", "weather"),
        called("c2", "time"),
        gave("c1", parts),
        gave("c2", "noon"),
    ]
    assert answer(window) == (
        f"{WHAT_I_AM} The function weather gave back: sunny The function time gave back: noon"
    )


WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    },
}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "weather"}])
def test_a_function_that_is_insisted_on_is_called_with_what_its_schema_requires(
    choice: Any,
) -> None:
    deltas = ask(Scripted(), thread("Weather?"), tools=[WEATHER], tool_choice=choice)
    assert [d.arguments for d in deltas if isinstance(d, ToolCallDelta)] == [
        "",
        '{"city":"city","days":0}',
    ]
    assert isinstance(deltas[0], ToolCallDelta)
    assert deltas[0].name == "weather"


@pytest.mark.parametrize(
    ("name", "said", "arguments"),
    [
        ("file_search", "Days off?", {"queries": ["Days off?"]}),
        ("code_interpreter", "1 + 1", {"code": "1 + 1"}),
        (
            "code_interpreter",
            "Run this:\n```python\nx = 1\nx\n```\nPlease.",
            {"code": "x = 1\nx\n"},
        ),
    ],
)
def test_clews_own_tools_are_called_with_what_was_said(
    name: str, said: str, arguments: dict[str, Any]
) -> None:
    """What a user says is looked for, or run."""
    field = next(iter(arguments))
    kind = {"type": "array" if field == "queries" else "string", "items": {"type": "string"}}
    parameters = {"type": "object", "properties": {field: kind}, "required": [field]}
    tool = {"type": "function", "name": name, "parameters": parameters}
    choice = {"type": "function", "name": name}
    deltas = ask(Scripted(), thread(said), tools=[tool], tool_choice=choice)
    (call,) = [d.arguments for d in deltas if isinstance(d, ToolCallDelta) and d.arguments]
    assert msgspec.json.decode(call) == arguments


def test_its_output_is_stated_even_though_the_choice_still_stands() -> None:
    window = [*thread("Weather?"), called("c1", "weather"), gave("c1", "sunny")]
    assert answer(window, tools=[WEATHER], tool_choice="required").endswith("gave back: sunny")


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_a_function_that_is_only_offered_is_not_called(choice: str | None) -> None:
    assert WHAT_I_AM in answer(thread("Weather?"), tools=[WEATHER], tool_choice=choice)


def test_a_choice_of_a_function_that_is_not_offered_is_refused() -> None:
    with pytest.raises(ProviderError, match="'time'") as refusal:
        answer(thread("?"), tools=[WEATHER], tool_choice={"type": "function", "name": "time"})
    assert refusal.value.code == "invalid_prompt"


# the documented example


@pytest.fixture
def documented(tmp_path: Path) -> Scripted:
    path = tmp_path / "support.yaml"
    found = re.search(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    path.write_text(found[1])

    async def at_once(_: float) -> None: ...

    return Scripted.from_file(path, sleep=at_once)


def test_the_example_of_the_docs_does_what_it_says(documented: Scripted) -> None:
    asked = thread("Is there a refund for INV-20391?")
    deltas = ask(documented, asked)
    assert text(deltas) == "I'll look up INV-20391. "
    assert deltas[-2] == ToolCallDelta(0, '{"invoice":"INV-20391"}')
    window = [*asked, called("c1", "refund_status"), gave("c1", "on its way")]
    assert text(ask(documented, window)) == "The refund is on its way."
    assert ask(documented, thread("a slow one"))[-1] == Finish("stop", 12, 3)
    with pytest.raises(ProviderError, match="The model went away"):
        ask(documented, thread("now break"))


# all that a model may say


def test_a_rule_may_think_search_cite_and_refuse_before_it_calls() -> None:
    rule = Rule(
        match="about (.*)",
        reasoning="About {1}?",
        summary="Thinking.",
        encrypted_content="sealed",
        hosted=[ScriptedHosted({"type": "web_search_call", "query": "{1}"}, ["searching"])],
        reply="News.",
        annotations=[{"type": "url_citation", "url": "https://x.test/{1}"}],
        refusal="No more.",
        tool_calls=[ScriptedCall("sql", input="SELECT {1}")],
    )
    *deltas, finish = ask(Scripted([rule]), thread("about cats"))
    search = {"type": "web_search_call", "query": "cats"}
    parts = {
        "summary": [{"type": "summary_text", "text": "Thinking."}],
        "content": [{"type": "reasoning_text", "text": "About cats?"}],
    }
    (call_id,) = (delta.call_id for delta in deltas if getattr(delta, "call_id", None))
    assert deltas == [
        TextDelta("About", "reasoning_text"),
        TextDelta(" cats?", "reasoning_text"),
        TextDelta("Thinking.", "summary_text"),
        ItemDone({"type": "reasoning", "encrypted_content": "sealed", **parts}),
        HostedDelta(0, {"status": "in_progress", **search}),
        HostedDelta(0, None, "searching"),
        ItemDone({"status": "completed", **search}, 0),
        TextDelta("News."),
        AnnotationDelta({"type": "url_citation", "url": "https://x.test/cats"}),
        TextDelta("No", "refusal", 1),
        TextDelta(" more.", "refusal", 1),
        ToolCallDelta(0, "", call_id, "sql", "custom_tool_call"),
        ToolCallDelta(0, "SELECT cats", kind="custom_tool_call"),
    ]
    assert isinstance(finish, Finish)
    assert (finish.reason, finish.tokens_reasoning) == ("tool_calls", 2)


def test_a_custom_tools_output_is_answered_like_a_functions() -> None:
    asked = {"type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": "SELECT 1"}
    given = {"type": "custom_tool_call_output", "call_id": "c1", "output": "1"}
    window = [*thread("How many?"), new_item("ctc_1", asked, 0), new_item("ctco_1", given, 0)]
    assert answer(window, Rule(after_tool="sql", reply="It is {output}.")) == "It is 1."


def test_a_custom_tool_that_must_be_called_is_called() -> None:
    tools = [{"type": "custom", "name": "sql"}]
    first, second, _ = ask(Scripted(), thread("Hi"), tools=tools, tool_choice="required")
    assert isinstance(first, ToolCallDelta)
    assert (first.name, first.kind) == ("sql", "custom_tool_call")
    assert second == ToolCallDelta(0, "?", kind="custom_tool_call")


def test_only_allowed_tools_are_called() -> None:
    tools = [{"type": "function", "name": name} for name in ("f", "g")]
    allowed = {"type": "function", "name": "g"}
    choice = {"type": "allowed_tools", "mode": "required", "tools": [allowed]}
    first, *_ = ask(Scripted(), thread("Hi"), tools=tools, tool_choice=choice)
    assert isinstance(first, ToolCallDelta)
    assert first.name == "g"


def test_asked_for_json_it_answers_in_json() -> None:
    said = answer(thread("Hi"), text_format={"type": "json_object"})
    assert msgspec.json.decode(said)["answer"].startswith(WHAT_I_AM)


def test_a_schema_that_says_nothing_is_fit_by_any_object() -> None:
    said = answer(thread("Hi"), text_format={"type": "json_schema", "name": "n"})
    assert msgspec.json.decode(said) == {}


def test_asked_for_a_schema_it_gives_the_least_that_fits() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    said = answer(thread("Hi"), text_format={"type": "json_schema", "name": "n", "schema": schema})
    assert isinstance(msgspec.json.decode(said)["n"], int)


def test_a_rule_looks_into_the_output() -> None:
    """`output` is a condition, and its named groups can be said."""
    window = [*thread("go"), called("c", "f"), gave("c", "first, then [2] last")]
    rules = [
        Rule(after_tool="f", output="nothing of it", reply="Never."),
        Rule(after_tool="f", output=r"(?P<mark>\[\d\])", reply="See {mark}."),
    ]
    assert answer(window, *rules) == "See [2]."
