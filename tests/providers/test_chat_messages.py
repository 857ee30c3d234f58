"""A window in the words of chat completions."""

from typing import Any

import pytest
from openai.types.chat import ChatCompletionContentPartParam
from pydantic import TypeAdapter

from clew.core.compactions import compaction
from clew.core.items import Item, message, new_item
from clew.providers.chat_messages import chat_messages
from clew.providers.provider import ProviderError


def said(role: str, text: str, run: str | None = None) -> Item:
    return message("msg_1", role, text, 0, run)


def parts(role: str, *content: dict[str, Any]) -> Item:
    data = {"type": "message", "role": role, "content": list(content)}
    return new_item("msg_2", data, 0)


def called(call_id: str, name: str = "f", run: str | None = None) -> Item:
    data = {"type": "function_call", "call_id": call_id, "name": name, "arguments": '{"a":1}'}
    return new_item("fc_1", data, 0, run)


def gave(call_id: str, output: Any = "ok", run: str | None = None) -> Item:
    data = {"type": "function_call_output", "call_id": call_id, "output": output}
    return new_item("fco_1", data, 0, run)


def tool_call(call_id: str, name: str = "f") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": '{"a":1}'}}


def tool(call_id: str, content: str = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def calling(*calls: dict[str, Any], content: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def test_plain_messages_are_strings_and_instructions_come_first() -> None:
    window = [said("user", "Hi"), said("assistant", "Hello"), said("user", "Bye")]
    assert chat_messages(window, "Be kind.") == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
    ]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_system_and_developer_are_both_system(role: str) -> None:
    assert chat_messages([said(role, "Be brief.")]) == [{"role": "system", "content": "Be brief."}]


def test_several_parts_of_a_user_are_parts_in_their_order() -> None:
    window = parts(
        "user",
        {"type": "input_text", "text": "Look:"},
        {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": None},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,A"},
        {"type": "input_file", "file_id": "file-1"},
    )
    pdf = {"file_data": "data:application/pdf;base64,A", "filename": "a.pdf"}
    assert chat_messages([window])[0]["content"] == [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "file", "file": pdf},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_text", "text": "Look:"},
        {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "original"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,A"},
    ],
)
def test_the_official_types_know_every_part_that_is_sent(part: dict[str, Any]) -> None:
    official: TypeAdapter[Any] = TypeAdapter(ChatCompletionContentPartParam)
    (sent, _) = chat_messages([parts("user", part, part)])[0]["content"]
    assert official.dump_python(official.validate_python(sent)) == sent


def test_a_lone_image_is_still_a_list_of_parts() -> None:
    image = {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "auto"}
    assert chat_messages([parts("user", image)])[0]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "auto"}}
    ]


def test_what_an_assistant_said_is_one_string_refusals_included() -> None:
    window = parts(
        "assistant",
        {"type": "output_text", "text": "One.", "annotations": []},
        {"type": "refusal", "refusal": "Not two."},
    )
    assert chat_messages([window]) == [{"role": "assistant", "content": "One.\nNot two."}]


def test_a_user_message_with_metadata_is_still_plain_text() -> None:
    data = {"type": "message", "role": "user", "content": "Hi", "metadata": {"k": "v"}}
    window = [new_item("msg_1", data, 0)]
    assert chat_messages(window) == [{"role": "user", "content": "Hi"}]


def test_consecutive_calls_are_one_message_and_their_outputs_follow_it() -> None:
    window = [called("c1", "f"), called("c2", "g"), gave("c2", "two"), gave("c1", "one")]
    assert chat_messages(window) == [
        calling(tool_call("c1", "f"), tool_call("c2", "g")),
        tool("c1", "one"),
        tool("c2", "two"),
    ]


def test_a_call_joins_the_words_said_before_it_in_the_same_run() -> None:
    window = [said("assistant", "I'll look.", "r1"), called("c1", run="r1"), gave("c1")]
    assert chat_messages(window)[0] == calling(tool_call("c1"), content="I'll look.")


def test_a_call_does_not_join_what_another_run_said() -> None:
    window = [said("assistant", "Done.", "r1"), called("c1", run="r2"), gave("c1")]
    assert chat_messages(window) == [
        {"role": "assistant", "content": "Done."},
        calling(tool_call("c1")),
        tool("c1"),
    ]


def test_calls_with_an_output_between_them_are_two_messages() -> None:
    window = [called("c1"), gave("c1"), called("c2"), gave("c2")]
    assert chat_messages(window) == [
        calling(tool_call("c1")),
        tool("c1"),
        calling(tool_call("c2")),
        tool("c2"),
    ]


def test_reasoning_between_calls_does_not_part_them() -> None:
    reasoning = new_item("rs_1", {"type": "reasoning", "summary": []}, 0)
    window = [reasoning, called("c1"), reasoning, called("c2"), gave("c1"), gave("c2")]
    assert chat_messages(window)[0] == calling(tool_call("c1"), tool_call("c2"))


def test_an_output_moves_up_to_its_call_past_what_was_written_meanwhile() -> None:
    window = [called("c1"), said("user", "Still there?"), gave("c1")]
    assert chat_messages(window) == [
        calling(tool_call("c1")),
        tool("c1"),
        {"role": "user", "content": "Still there?"},
    ]


def test_a_call_id_used_again_gets_its_own_output() -> None:
    window = [called("c"), gave("c", "old"), said("user", "Again"), called("c"), gave("c", "new")]
    contents = [entry["content"] for entry in chat_messages(window) if entry["role"] == "tool"]
    assert contents == ["old", "new"]


def test_an_output_in_text_parts_is_one_string() -> None:
    output = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    assert chat_messages([called("c1"), gave("c1", output)])[1] == tool("c1", "a\nb")


@pytest.mark.parametrize("kind", ["reasoning", "configuration_update"])
def test_what_only_its_own_model_can_read_is_left_out(kind: str) -> None:
    window = [new_item("x_1", {"type": kind, "encrypted_content": "?"}, 0), said("user", "Hi")]
    assert chat_messages(window) == [{"role": "user", "content": "Hi"}]


def test_a_compaction_of_ours_is_a_message_that_says_what_it_is() -> None:
    (sent,) = chat_messages([new_item("cmp_1", compaction("They met."), 0)])
    assert sent["role"] == "user"
    assert "in summary" in sent["content"]
    assert sent["content"].endswith("They met.")


def test_a_custom_tools_call_and_output_are_told_as_such() -> None:
    asked = {"type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": "SELECT 1"}
    given = {"type": "custom_tool_call_output", "call_id": "c1", "output": "1"}
    custom = {"name": "sql", "input": "SELECT 1"}
    assert chat_messages([new_item("ctc_1", asked, 0), new_item("ctco_1", given, 0)]) == [
        calling({"id": "c1", "type": "custom", "custom": custom}),
        tool("c1", "1"),
    ]


SEALED = {"type": "compaction", "encrypted_content": "gAAAA"}
URL = {"type": "input_file", "file_url": "https://x.test/a.pdf"}
IMAGE_ID = {"type": "input_image", "file_id": "file-1", "detail": "auto"}
IMAGE = {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "auto"}


@pytest.mark.parametrize(
    ("window", "named"),
    [
        ([parts("user", URL)], "'input_file' by file_url (msg_2)"),
        ([parts("user", IMAGE_ID)], "'input_image' by file_id (msg_2)"),
        ([parts("user", {"type": "input_audio", "data": "AA=="})], "'input_audio' (msg_2)"),
        ([parts("assistant", IMAGE)], "'input_image' in a message of role 'assistant' (msg_2)"),
        ([called("c1"), gave("c1", [IMAGE])], "'input_image' in a function's output (fco_1)"),
        ([said("critic", "Meh")], "a message of role 'critic' (msg_1)"),
        ([new_item("ws_1", {"type": "web_search_call"}, 0)], "web_search_call item (ws_1)"),
        ([new_item("cmp_1", SEALED, 0)], "a compaction that another vendor sealed (cmp_1)"),
        ([gave("c9")], "an output of call 'c9', which the window does not contain"),
    ],
)
def test_what_chat_cannot_carry_is_refused_by_name(window: list[Item], named: str) -> None:
    with pytest.raises(ProviderError) as refusal:
        chat_messages(window)
    assert refusal.value.code == "invalid_prompt"
    assert named in refusal.value.message
