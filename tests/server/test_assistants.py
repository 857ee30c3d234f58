"""Assistants by the official client."""

from __future__ import annotations

import openai
import pytest
from openai import OpenAI

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather somewhere.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "strict": False,
    },
}


def test_an_assistant_is_created_read_changed_and_deleted(client: OpenAI):
    """Every method of assistants does what it says."""
    assistants = client.beta.assistants
    made = assistants.create(
        model="scripted",
        name="Ada",
        description="Knows things.",
        instructions="Be kind.",
        tools=[WEATHER],
        metadata={"k": "v"},
        temperature=0.5,
        top_p=0.25,
        response_format={"type": "json_object"},
    )
    assert (made.name, made.instructions, made.temperature, made.top_p) == (
        "Ada",
        "Be kind.",
        0.5,
        0.25,
    )
    assert made.tools[0].model_dump() == WEATHER
    assert made.response_format.type == "json_object"
    assert assistants.retrieve(made.id) == made
    changed = assistants.update(made.id, name="Grace", metadata={})
    assert changed == made.model_copy(update={"name": "Grace", "metadata": {}})
    assert assistants.retrieve(made.id) == changed
    assert assistants.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError) as refusal:
        assistants.retrieve(made.id)
    assert refusal.value.body["message"] == f"No assistant found with id '{made.id}'."


def test_assistants_are_listed_page_by_page(client: OpenAI):
    """Newest first unless asked otherwise; the iterator walks all pages."""
    ids = [client.beta.assistants.create(model="scripted").id for _ in range(5)]
    assert [one.id for one in client.beta.assistants.list(limit=2)] == ids[::-1]
    assert [one.id for one in client.beta.assistants.list(limit=2, order="asc")] == ids
    page = client.beta.assistants.list(before=ids[3], order="asc", limit=1)
    assert [one.id for one in page.data] == [ids[2]]
    page = client.beta.assistants.list(after=ids[3], order="asc")
    assert [one.id for one in page.data] == [ids[4]]


def test_an_unknown_assistant_runs_nothing(client: OpenAI):
    """A run with an assistant that is not there is refused and leaves the thread free."""
    thread = client.beta.threads.create()
    with pytest.raises(openai.NotFoundError) as refusal:
        client.beta.threads.runs.create(thread.id, assistant_id="asst_nobody")
    assert refusal.value.body["message"] == "No assistant found with id 'asst_nobody'."
    assert list(client.beta.threads.runs.list(thread.id)) == []
    client.beta.threads.messages.create(thread.id, role="user", content="free")
