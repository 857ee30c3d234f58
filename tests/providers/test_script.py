"""Script files: what is read, and how mistakes are refused."""

from pathlib import Path

import pytest

from clew.core.errors import BadRequest
from clew.providers.script import Rule, ScriptedCall, ScriptedError, fill, load_script
from clew.providers.turn import Turn


def load(tmp_path: Path, text: str, name: str = "script.yaml") -> list[Rule]:
    path = tmp_path / name
    path.write_text(text)
    return load_script(path)


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    yaml = "rules:\n- {match: hi, reply: Hello}\n- {error: {code: server_error, message: gone}}\n"
    json = (
        '{"rules": [{"match": "hi", "reply": "Hello"},'
        ' {"error": {"code": "server_error", "message": "gone"}}]}'
    )
    rules = [
        Rule(match="hi", reply="Hello"),
        Rule(error=ScriptedError("server_error", "gone")),
    ]
    assert load(tmp_path, yaml) == load(tmp_path, json, "script.json") == rules


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("rules: [{reply: a}, {reply: 7}]", "rule 2, field `reply`: Expected `str | null`"),
        ("rules: [{reply: a, delay_ms: -1}]", "rule 1, field `delay_ms`: Expected `int` >= 0"),
        ("rules: [{replay: a}]", "rule 1: Object contains unknown field `replay`"),
        (
            "rules: [{tool_calls: [{}]}]",
            "rule 1, field `tool_calls[0]`: Object missing required field `name`",
        ),
        (
            "rules: [{error: {code: oops, message: a}}]",
            "rule 1, field `error.code`: Invalid enum value 'oops'",
        ),
        ("rules: [{match: a}]", "rule 1: it needs `reply`, `tool_calls`, `refusal`,"),
        ("rules: [{reasoning: a}]", "rule 1: it needs `reply`, `tool_calls`, `refusal`,"),
        ("rules: [{refusal: a, annotations: [{}]}]", "rule 1: `annotations` need a `reply`"),
        ("rules: [{hosted: [{item: {}}]}]", "`item` needs a `type`"),
        ("rules: [{reply: a, reasoning: '{x}'}]", "rule 1: `reasoning` names the group {x}"),
        (
            "rules: [{tool_calls: [{name: f, arguments: {a: 1}, input: b}]}]",
            "`arguments` and `input` exclude each other",
        ),
        ("rules: [{match: '(', reply: a}]", "rule 1: `match` is not a regular expression"),
        ("rules: [{match: '(a)', reply: '{2}'}]", "rule 1: `reply` names the group {2}"),
        ("rules: [{reply: a, output: x}]", "rule 1: `output` needs `after_tool`"),
        (
            "rules: [{reply: a, after_tool: f, output: '('}]",
            "rule 1: `output` is not a regular expression",
        ),
        ("rules: [{reply: '{output}'}]", "rule 1: `reply` names the group {output}"),
        (
            "rules: [{tool_calls: [{name: f, arguments: {a: ['{x}']}}]}]",
            "rule 1: `tool_calls` names the group {x}",
        ),
        (
            "rules: [{tool_calls: [{name: f}], error: {code: server_error, message: a}}]",
            "rule 1: `tool_calls` and `error` exclude each other",
        ),
        ("- reply: a", "as a whole: Expected `object`, got `array`"),
        ("", "as a whole: Expected `object`, got `null`"),
        ("rules: [", "is not YAML or JSON"),
    ],
)
def test_a_mistake_is_refused_by_file_rule_and_field(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(BadRequest) as refusal:
        load(tmp_path, text)
    assert f"The script {tmp_path / 'script.yaml'}" in str(refusal.value)
    assert complaint in str(refusal.value)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"nowhere\.yaml cannot be read: No such file"):
        load_script(tmp_path / "nowhere.yaml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_bytes(b"\xff\xfe\x00rules")
    with pytest.raises(BadRequest):
        load_script(tmp_path / "script.yaml")


def test_rules_made_in_code_are_checked_alike() -> None:
    with pytest.raises(ValueError, match="needs `reply`"):
        Rule(match="a")


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{1} and {name}", "one and two"),
        ('{"a": {"b": 1}}', '{"a": {"b": 1}}'),
        ("{{name}} is {name}", "{name} is two"),
        ({"a": ["{1}", 7, None]}, {"a": ["one", 7, None]}),
    ],
)
def test_groups_fill_every_text_and_other_braces_stay(template: object, filled: object) -> None:
    assert fill(template, {"1": "one", "name": "two"}) == filled


def test_a_group_that_took_no_part_is_empty() -> None:
    rule = Rule(match="(x)?b", tool_calls=[ScriptedCall("f", {"a": "<{1}>"})])
    answer = rule.answer(Turn("m", "abc", (), ()))
    assert answer is not None
    assert answer.calls == [ScriptedCall("f", {"a": "<>"})]
