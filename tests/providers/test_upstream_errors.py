"""What a model server's failures mean, and when to try again."""

import time
from email.utils import formatdate

import pytest

from clew.providers.upstream_errors import UpstreamError, message_in, refused, wait_asked_for


@pytest.mark.parametrize(
    ("status", "code", "passes"),
    [
        (302, "server_error", False),
        (400, "invalid_prompt", False),
        (401, "server_error", False),
        (403, "server_error", False),
        (404, "server_error", False),
        (408, "server_error", True),
        (409, "server_error", True),
        (413, "invalid_prompt", False),
        (422, "invalid_prompt", False),
        (429, "rate_limit_exceeded", True),
        (500, "server_error", True),
        (503, "server_error", True),
        (529, "server_error", True),
    ],
)
def test_the_status_says_whose_fault_it_is_and_whether_it_may_pass(
    status: int, code: str, passes: bool
) -> None:
    error = refused(status, {}, b"", "m")
    assert (error.code, error.passes) == (code, passes)


@pytest.mark.parametrize(("status", "said", "passes"), [(400, "true", True), (503, "false", False)])
def test_the_server_may_say_itself_whether_to_try_again(
    status: int, said: str, passes: bool
) -> None:
    assert refused(status, {"x-should-retry": said}, b"", "m").passes is passes


def test_a_refused_prompt_says_why_in_the_servers_words() -> None:
    error = refused(400, {}, b'{"error": {"message": "too long"}}', "m")
    assert str(error) == "The model server refused the prompt (400): too long"


def test_an_unknown_model_is_named() -> None:
    assert "no model 'gpt-0' (404)" in str(refused(404, {}, b"", "gpt-0"))


def test_a_refused_key_is_not_quoted_even_in_part() -> None:
    body = b'{"error": {"message": "Incorrect API key: sk-ab**yz"}}'
    assert str(refused(401, {}, body, "m")) == "The model server refused Clew's API key (401)."


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "no"}}', "no"),
        (b'{"error": "no"}', "no"),
        (b'{"object": "error", "message": "no"}', "no"),
        (b'{"detail": "no"}', "no"),
        (b'{"detail": [{"loc": ["body"]}]}', "[{'loc': ['body']}]"),
        (b'{"else": 1}', "{'else': 1}"),
        (b"upstream timed out\n", "upstream timed out"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_the_message_is_found_in_every_error_shape_in_use(body: bytes, message: str) -> None:
    assert message_in(body) == message


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0"}, 0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "?", "retry-after": "7"}, 7),
        ({"retry-after": "3600"}, 60),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)
def test_the_server_may_ask_for_a_wait_of_at_most_a_minute(
    headers: dict[str, str], wait_s: float | None
) -> None:
    assert wait_asked_for(headers) == wait_s


def test_the_wait_may_be_given_as_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    date = formatdate(1_700_000_020, usegmt=True)
    assert wait_asked_for({"retry-after": date}) == 20


@pytest.mark.parametrize(
    ("attempt", "chance", "pause_s"),
    [(1, 0, 0.5), (2, 0, 1), (3, 0, 2), (5, 0, 8), (50, 0, 8), (1, 1, 0.375)],
)
def test_pauses_double_up_to_a_limit_and_jitter_shortens_them(
    attempt: int, chance: float, pause_s: float
) -> None:
    assert UpstreamError("server_error", "").pause_s(attempt, lambda: chance) == pause_s


def test_what_the_server_asked_for_goes_before_the_own_pause() -> None:
    error = UpstreamError("server_error", "", wait_s=3)
    assert error.pause_s(1, lambda: 0.5) == 3


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"code": "context_length_exceeded", "message": "Please reduce it."}}',
        b'{"error": {"type": "exceed_context_size_error", "message": "no"}}',
        b'{"error": {"message": "Your input exceeds the context window of this model."}}',
        b'{"message": "This model\'s maximum context length is 4096 tokens. However, you"}',
        b'{"message": "The prompt (9 tokens) is longer than the maximum model length of 8."}',
        b'{"type": "error", "error": {"message": "prompt is too long: 9 tokens > 8 maximum"}}',
        b'{"error": {"message": "input length and `max_tokens` exceed context limit: 9 > 8"}}',
        b'{"error": {"message": "The input token count (9) exceeds the maximum number of 8"}}',
        b'{"error": "`inputs` must have less than 1024 tokens"}',
    ],
)
@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_each_vendors_way_to_say_that_a_window_is_too_long_is_known(
    status: int, body: bytes
) -> None:
    error = refused(status, {}, body, "m")
    assert (error.code, error.passes) == ("context_length_exceeded", False)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, b'{"error": {"message": "temperature is too long"}}', "invalid_prompt"),
        (429, b'{"error": {"message": "context length quota"}}', "rate_limit_exceeded"),
        (500, b'{"error": {"message": "out of memory"}}', "server_error"),
    ],
)
def test_other_refusals_are_not_taken_for_it(status: int, body: bytes, code: str) -> None:
    assert refused(status, {}, body, "m").code == code
