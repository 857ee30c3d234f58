"""Which provider answers for a model, and which models there are."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clew.core.errors import BadRequest
from clew.providers import catalog
from clew.providers.catalog import Catalog
from clew.providers.provider import ModelEntry, ModelRequest, ProviderError
from clew.testing.upstream import Reply, Upstream, refuses

URL = "http://x.test/v1"
JSON = {"content-type": "application/json"}
SCRIPTED = ModelEntry("scripted", "clew", 0)


def name_of(catalog: Catalog, model: str) -> str:
    return catalog(model).name


def lists(*models: dict[str, Any]) -> Reply:
    return Reply([msgspec.json.encode({"object": "list", "data": models})], headers=JSON)


def listed(*replies: Reply, models: tuple[str, ...] = ("*",), **options: Any) -> list[ModelEntry]:
    async def run() -> list[ModelEntry]:
        async with Upstream(*replies) as upstream:
            entry = {"url": upstream.base_url, "models": models}
            here = Catalog(upstreams=[entry], **options)
            found = await here.models()
            await here.close()
            return found

    return asyncio.run(run())


def test_without_an_upstream_scripted_answers_for_all() -> None:
    assert name_of(Catalog(), "gpt-0") == "scripted"


def test_one_upstream_answers_for_all_but_scripted() -> None:
    here = Catalog(URL, upstream_kind="anthropic")
    assert name_of(here, "gpt-0") == "anthropic"
    assert name_of(here, "scripted") == "scripted"


def test_the_first_upstream_that_matches_answers() -> None:
    here = Catalog(
        URL,
        upstreams=[
            {"url": URL, "kind": "anthropic", "models": ["claude-*"]},
            {"url": URL, "kind": "openai-responses", "models": ["gpt-*", "claude-x"]},
        ],
    )
    assert name_of(here, "claude-x") == "anthropic"
    assert name_of(here, "gpt-0") == "openai-responses"
    assert name_of(here, "llama") == "openai-compatible"


def test_models_of_the_script_stay_with_it(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("rules: [{model: claude-x, reply: Hi}]")
    here = Catalog(URL, script=tmp_path / "s.yaml")
    assert name_of(here, "claude-x") == "scripted"


def test_a_model_nobody_answers_for_says_so() -> None:
    nobody = Catalog(upstreams=[{"url": URL, "models": ["gpt-*"]}])("llama")

    async def ask() -> None:
        async for _ in nobody.stream(ModelRequest("llama", [])):
            pass

    with pytest.raises(ProviderError, match="'llama' does not exist"):
        asyncio.run(ask())


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"url": "x.test"}, "url"),
        ({"kind": "anthropic"}, "url"),
        ({"url": URL, "kind": "telepathy"}, "kind"),
        ({"url": URL, "modles": ["a"]}, "modles"),
        ({"url": URL, "key_env": "CLEW_TEST_NO_SUCH_KEY"}, "CLEW_TEST_NO_SUCH_KEY"),
    ],
)
def test_a_wrong_upstream_is_refused_by_name(entry: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadRequest, match=complaint):
        Catalog(upstreams=[entry])


def test_the_key_may_be_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEW_TEST_KEY", "sk-env")
    (request,) = asked_for_models({"key_env": "CLEW_TEST_KEY"})
    assert request.headers["authorization"] == "Bearer sk-env"


def asked_for_models(options: dict[str, Any]) -> list[Any]:
    async def run() -> list[Any]:
        async with Upstream(lists()) as upstream:
            here = Catalog(upstreams=[{"url": upstream.base_url, **options}])
            await here.models()
            await here.close()
            return upstream.requests

    return asyncio.run(run())


def test_the_list_is_asked_for_at_models_in_the_upstreams_own_way() -> None:
    (request,) = asked_for_models({"kind": "anthropic", "key": "sk-1"})
    assert (request.method, request.path) == ("GET", "/v1/models?limit=1000")
    assert request.headers["x-api-key"] == "sk-1"


def test_the_models_an_upstream_lists_are_listed_after_our_own() -> None:
    gpt = {"id": "gpt-0", "object": "model", "created": 7, "owned_by": "openai"}
    claude = {"type": "model", "id": "claude-x", "created_at": "2026-01-01T00:00:00Z"}
    assert listed(lists(gpt, claude)) == [
        SCRIPTED,
        ModelEntry("gpt-0", "openai", 7),
        ModelEntry("claude-x", "upstream", 0),
    ]


def test_only_models_that_are_routed_there_are_listed() -> None:
    found = listed(lists({"id": "gpt-0"}, {"id": "tts"}, {"id": "scripted"}), models=("gpt-*",))
    assert [entry.id for entry in found] == ["scripted", "gpt-0"]


def test_configured_names_are_listed_once_whether_the_server_knows_them_or_not() -> None:
    found = listed(lists({"id": "a", "owned_by": "me"}), models=("a", "b", "c-*"))
    assert found == [SCRIPTED, ModelEntry("a", "me", 0), ModelEntry("b", "upstream", 0)]


@pytest.mark.parametrize(
    "reply",
    [
        refuses(500, "down"),
        Reply([b"<html>"]),
        Reply([b'{"data": 7}'], headers=JSON),
        Reply([b'{"da'], ending="reset"),
        Reply([], ending="hang"),
    ],
    ids=["refuses", "no JSON", "wrong shape", "reset", "silent"],
)
def test_an_upstream_that_is_down_has_the_names_it_is_configured_for(
    reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "LIST_TIMEOUT_S", 0.2)
    assert listed(reply, models=("a",)) == [SCRIPTED, ModelEntry("a", "upstream", 0)]


def test_models_of_the_script_are_listed(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("rules: [{model: support, reply: Hi}]")
    found = asyncio.run(Catalog(script=tmp_path / "s.yaml").models())
    assert found == [SCRIPTED, ModelEntry("support", "clew", 0)]
