"""What the load is made of, and how answers are read."""

from __future__ import annotations

import msgspec
import pytest
from bench.bare import Bare, answer_to
from bench.generator import encoded, is_complete
from bench.material import ITEMS, MESSAGE, TEXT
from bench.postgres import APPEND, thread_key, tps

from clew.core.ids import key_of
from clew.wire.conversations import CREATE as CREATE_CONVERSATION
from clew.wire.messages import decode_message, encode_message

PGBENCH = """\
transaction type: append.pgbench
number of clients: 8
number of failed transactions: {failed} (0.000%)
tps = 16702.482731 (without initial connection time)
"""


def test_every_message_is_400_bytes_of_text():
    """What is written is as long as the table says, on both faces."""
    assert len(TEXT.encode()) == 400
    assert msgspec.json.decode(MESSAGE) == {"role": "user", "content": TEXT}
    body = msgspec.json.decode(ITEMS)
    CREATE_CONVERSATION.check(body)
    assert body["items"][0]["content"][0]["text"] == TEXT


def test_the_bare_endpoint_answers_with_the_same_json():
    """It encodes an object of the same fields and size as Clew's, so that the ratio is fair."""
    path = "/v1/threads/thread_abc/messages"
    bare = msgspec.json.decode(answer_to(MESSAGE, path))
    item = decode_message(msgspec.json.decode(MESSAGE), 1_800_000_000_000)
    ours = msgspec.json.decode(encode_message(item, "abc"))
    assert bare | {"id": None} == ours | {"id": None}
    assert list(bare) == list(ours)
    assert abs(len(bare["id"]) - len(ours["id"])) <= 1


def test_the_bare_endpoint_returns_the_bytes_given_for_a_path():
    """A GET costs it a look-up and nothing else."""
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"method": "GET", "path": "/v1/threads/thread_abc/messages"}
    exchange = Bare({str(scope["path"]): "the page"})(scope, None, send)
    with pytest.raises(StopIteration):
        exchange.send(None)
    assert [message.get("body") for message in sent] == [None, b"the page"]


@pytest.mark.parametrize(
    ("answer", "complete"),
    [
        (b"", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\netag: 1\r\n\r\n", True),
    ],
)
def test_an_answer_is_complete_when_its_body_is(answer: bytes, complete: bool):
    """The generator sends the next request only then."""
    assert is_complete(answer) is complete


def test_a_request_goes_out_as_http():
    """With the length of its body in bytes, and no content type when it has none."""
    post = b"POST /a HTTP/1.1\r\nhost: h:1\r\ncontent-length: 4\r\ncontent-type: application/json"
    assert encoded("POST", "/a", '"é"', "h:1") == post + b"\r\n\r\n" + '"é"'.encode()
    get = b"GET /b HTTP/1.1\r\nhost: h:1\r\ncontent-length: 0\r\n\r\n"
    assert encoded("GET", "/b", "", "h:1") == get


def test_pgbench_is_read_by_its_transactions_per_second():
    """A run in which a transaction failed is no limit to compare with."""
    assert tps(PGBENCH.format(failed=0)) == 16702.482731
    with pytest.raises(RuntimeError, match="failed transactions: 3"):
        tps(PGBENCH.format(failed=3))
    with pytest.raises(RuntimeError, match="pgbench said"):
        tps("pgbench: error: connection refused")


def test_pgbench_appends_to_the_threads_that_are_served():
    """The key it computes is the one the threads were made with, and an id on the wire."""
    assert thread_key(7) == "0" * 29 + "7"
    assert key_of("thread", f"thread_{thread_key(7)}") == thread_key(7)
    assert "lpad((:thread)::text, 30, '0')" in APPEND
