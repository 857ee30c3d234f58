"""What every request and answer has: ids, times, limits, whatever the endpoint."""

from __future__ import annotations

import logging
import re
import socket

import httpx2
import pytest
from openai import OpenAI

from clew.server import app
from clew.server.logs import WithRequestId

from .live import Live


@pytest.mark.parametrize("path", ["/healthz", "/v1/threads/thread_x", "/nowhere"])
def test_every_answer_names_its_request(http: httpx2.Client, path: str):
    """Answers and refusals have a request id of their own, and tell how long they took."""
    first, second = http.get(path).headers, http.get(path).headers
    assert re.fullmatch(r"req_\w{22}", first["x-request-id"])
    assert first["x-request-id"] != second["x-request-id"]
    assert int(first["openai-processing-ms"]) < 10_000
    assert first["openai-version"] == "2020-10-01"


def test_a_stream_names_its_request(http: httpx2.Client):
    """The head of a stream has them too."""
    body = {"model": "scripted", "input": "hello", "stream": True}
    with http.stream("POST", "/v1/responses", json=body) as answer:
        assert answer.headers["x-request-id"].startswith("req_")
        assert int(answer.headers["openai-processing-ms"]) < 10_000


def test_the_client_reads_the_request_id(client: OpenAI):
    """The official client shows it on what it returns."""
    made = client.conversations.create()
    assert made._request_id is not None
    assert made._request_id.startswith("req_")


def test_a_fault_is_logged_under_the_request_id_it_was_answered_with(
    live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Who reports the id of a failed request leads to the traceback."""

    async def broken(*_: object) -> None:
        raise RuntimeError("no such luck")

    caplog.handler.addFilter(WithRequestId())
    monkeypatch.setattr(live.here.app.server.store, "get_thread", broken, raising=False)
    with live.http("proj_default") as http, caplog.at_level(logging.ERROR):
        answer = http.get("/v1/threads/thread_x")
    id = answer.headers["x-request-id"]
    assert answer.status_code == 500
    assert id in answer.json()["error"]["message"]
    [record] = caplog.records
    assert record.request_id == id
    assert record.exc_info is not None


@pytest.mark.parametrize("beta", [None, "assistants=v2", "assistants=v1", "whatever"])
def test_the_beta_header_is_taken_and_not_demanded(http: httpx2.Client, beta: str | None):
    """Old programs send it, others do not; it makes no difference."""
    headers = {} if beta is None else {"openai-beta": beta}
    assert http.post("/v1/threads", json={}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ({"content-type": "application/json", "content-encoding": "identity"}, 200),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "application/x-www-form-urlencoded"}, 200),
    ],
)
def test_a_body_that_cannot_be_json_is_refused(
    http: httpx2.Client, headers: dict[str, str], status: int
):
    """Forms and compressed bodies are 415; what curl calls a form, but is JSON, is taken."""
    answer = http.post("/v1/threads", content=b'{"metadata": {}}', headers=headers)
    assert answer.status_code == status
    if status == 415:
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("invalid_request_error", "unsupported_media_type")


def test_a_body_that_does_not_arrive_is_refused(live: Live, monkeypatch: pytest.MonkeyPatch):
    """A client that stops in the middle of its body gets 408, and its connection is closed."""
    monkeypatch.setattr(app, "BODY_TIMEOUT_S", 0.1)
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(b"POST /v1/threads HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\n{")
        answer = line.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"timeout"' in answer


def test_metrics_tell_how_the_process_is(live: Live, http: httpx2.Client):
    """Memory, files, tasks, runs and answers by status, in the text format of Prometheus."""
    http.get("/v1/threads/thread_x")
    answer = http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    values = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
    assert values["process_resident_memory_bytes"] > 10e6
    assert values["process_open_fds"] > 3
    assert values["clew_tasks"] >= 1
    assert values["clew_runs"] == 0
    assert values['clew_answers_total{status="404"}'] >= 1
