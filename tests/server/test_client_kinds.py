"""One journey by every kind of the official client: strict and loose, blocking and asynchronous."""

from __future__ import annotations

import pytest
from openai import AsyncAssistantEventHandler

from .live import Live, run

QUESTION = "My code is Z-99."


@pytest.mark.parametrize("strict", [True, False])
def test_a_blocking_client_goes_through_both_faces(live: Live, project: str, strict: bool):
    """Thread, run, stream, response and listing, by a client that blocks."""
    with live.client(project=project, _strict_response_validation=strict) as client:
        threads = client.beta.threads
        assistant = client.beta.assistants.create(model="scripted")
        thread = threads.create(messages=[{"role": "user", "content": QUESTION}]).id
        done = threads.runs.create_and_poll(
            thread_id=thread, assistant_id=assistant.id, poll_interval_ms=5
        )
        assert done.status == "completed"
        conversation = thread.replace("thread_", "conv_")
        response = client.responses.create(
            model="scripted", input="What is the code I gave you?", conversation=conversation
        )
        assert "Z-99" in response.output_text
        ids = [item.id for item in client.conversations.items.list(conversation, limit=1)]
        assert ids == [message.id for message in threads.messages.list(thread, limit=3)]
        assert len(ids) == 4


class Listener(AsyncAssistantEventHandler):
    """Notes the text it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.said = ""

    async def on_text_delta(self, delta, snapshot) -> None:
        self.said += delta.value


@pytest.mark.parametrize("strict", [True, False])
def test_an_asynchronous_client_goes_through_both_faces(live: Live, project: str, strict: bool):
    """The same and its streams, by a client that awaits."""

    async def play() -> None:
        options = {"project": project, "_strict_response_validation": strict}
        async with live.async_client(**options) as client:
            threads = client.beta.threads
            assistant = (await client.beta.assistants.create(model="scripted")).id
            thread = (await threads.create(messages=[{"role": "user", "content": "hello"}])).id
            listener = Listener()
            async with threads.runs.stream(
                thread_id=thread, assistant_id=assistant, event_handler=listener
            ) as stream:
                await stream.until_done()
            assert listener.said == "Hello there, dear friend."
            await threads.messages.create(thread, role="user", content="weather in Rome")
            paused = await threads.runs.create_and_poll(
                thread_id=thread, assistant_id=assistant, poll_interval_ms=5
            )
            [call] = paused.required_action.submit_tool_outputs.tool_calls
            done = await threads.runs.submit_tool_outputs_and_poll(
                run_id=paused.id,
                thread_id=thread,
                tool_outputs=[{"tool_call_id": call.id, "output": "sunny"}],
                poll_interval_ms=5,
            )
            assert done.status == "completed"
            conversation = thread.replace("thread_", "conv_")
            async with client.responses.stream(
                model="scripted", input="hello", conversation=conversation
            ) as stream:
                final = await stream.get_final_response()
            assert final.output_text == listener.said
            listing = client.conversations.items.list(conversation, limit=2, order="asc")
            items = [item async for item in listing]
            assert [item.type for item in items].count("message") == 6
            messages = [message.id async for message in threads.messages.list(thread, limit=2)]
            assert messages[::-1] == [item.id for item in items if item.type == "message"]

    run(play())
