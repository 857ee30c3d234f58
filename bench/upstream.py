"""A model server that costs little: chat completions, streamed at the pace that a request names.

The model `chunks-300-25` says 300 words, 25 ms apart, each in a write of its own; `chunks-300-0`
says them as fast as they go out. `silent` says one word, then nothing for as long as it is let.
"""

from __future__ import annotations

import asyncio
import re

import msgspec

from clew.cli import serve

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)
WORD = "word "
_MODEL = re.compile(rb'"model": ?"(?:chunks-(\d+)-(\d+)|(silent))"')


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    """One HTTP chunk with one event, as large as OpenAI's are."""
    event = {
        "id": "chatcmpl-000000000000000000000000000000",
        "object": "chat.completion.chunk",
        "created": 1_800_000_000,
        "model": "chunks",
        "service_tier": "default",
        "system_fingerprint": "fp_0000000000",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }
    data = b"data: %b\n\n" % msgspec.json.encode(event)
    return b"%x\r\n%b\r\n" % (len(data), data)


SAYS = chunk({"content": WORD})
DONE = b"data: [DONE]\n\n"
END = chunk({}, "stop") + b"%x\r\n%b\r\n" % (len(DONE), DONE) + b"0\r\n\r\n"


class Answering(asyncio.Protocol):
    """One request a connection."""

    def __init__(self) -> None:
        self._asked = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._asked += data
        head, complete, body = self._asked.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if complete and length and len(body) >= int(length[1]):
            self._answer(body)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _answer(self, body: bytes) -> None:
        asked = _MODEL.search(body)
        assert asked is not None, "no such model"
        self._transport.write(HEAD)
        if asked[3]:
            self._transport.write(SAYS)
        else:
            self._say(int(asked[1]), int(asked[2]) / 1000)

    def _say(self, left: int, pause_s: float) -> None:
        """So many words, then the end."""
        if left == 0:
            self._transport.write(END)
            self._transport.close()
            return
        self._transport.write(SAYS)
        loop = asyncio.get_running_loop()
        if pause_s:
            self._timer = loop.call_later(pause_s, self._say, left - 1, pause_s)
        else:
            loop.call_soon(self._say, left - 1, pause_s)


async def _serve() -> None:
    listener = serve.listen("127.0.0.1", 0)
    listener.listen(2_000)
    server = await asyncio.get_running_loop().create_server(Answering, sock=listener, backlog=2_000)
    print(f"clew listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=serve.loop_factory()) as runner:
        runner.run(_serve())
