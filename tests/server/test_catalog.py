"""Models by the official client."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import openai
import pytest
from openai import OpenAI

from clew.providers.catalog import Catalog
from clew.providers.provider import ModelEntry, ProviderError
from clew.testing.upstream import Reply

from .doubles import Doubles
from .live import Live, run


class Listed(Catalog):
    """A catalog that lists a model with slashes in its name."""

    async def models(self) -> list[ModelEntry]:
        return [ModelEntry("scripted", "clew", 0), ModelEntry("meta/llama/3", "meta", 7)]


class Unreachable(Catalog):
    """A catalog that cannot ask its upstream."""

    async def models(self) -> list[ModelEntry]:
        raise ProviderError("server_error", "The model server could not be reached.")


def test_the_models_are_listed(client: OpenAI):
    """The scripted model is always there, and can be retrieved as it is listed."""
    listed = {model.id: model for model in client.models.list()}
    assert client.models.retrieve("scripted") == listed["scripted"]


def test_an_unknown_model_is_not_found(client: OpenAI):
    """A model that nobody lists is told in OpenAI's words."""
    for act in (client.models.retrieve, client.models.delete):
        with pytest.raises(openai.NotFoundError) as refusal:
            act("nobody/knows")
        assert (refusal.value.code, refusal.value.param) == ("model_not_found", "model")
        assert "'nobody/knows' does not exist" in refusal.value.message


def test_no_model_can_be_deleted(client: OpenAI):
    """Clew owns no models."""
    with pytest.raises(openai.BadRequestError) as refusal:
        client.models.delete("scripted")
    assert "'scripted' cannot be deleted" in refusal.value.message


def test_a_name_may_have_slashes(tmp_path: Path):
    """However a client writes the slash, the model is the same; an asynchronous one agrees."""
    url = f"sqlite:///{tmp_path}/clew.db"
    with Live(url, Listed()) as server, server.client() as client:
        found = client.models.retrieve("meta/llama/3")
        assert (found.owned_by, found.created) == ("meta", 7)
        for name in ("meta%2Fllama%2f3", "meta/llama/3"):
            answer = httpx2.get(f"{server.url}/v1/models/{name}")
            assert answer.json()["id"] == "meta/llama/3"
        with pytest.raises(openai.BadRequestError):
            client.models.delete("meta/llama/3")

        async def play() -> None:
            async with server.async_client() as waiting:
                assert [model.id async for model in waiting.models.list()] == [
                    "scripted",
                    "meta/llama/3",
                ]
                assert (await waiting.models.retrieve("meta/llama/3")).id == found.id

        run(play())


def test_the_models_of_an_upstream_are_listed(tmp_path: Path):
    """What the upstream lists is listed beside the scripted model, and can be retrieved."""
    theirs = {"id": "meta/llama", "object": "model", "created": 7, "owned_by": "meta"}
    body = json.dumps({"object": "list", "data": [theirs]}).encode()
    reply = Reply([body], 200, {"content-type": "application/json"})
    with Doubles() as upstream:
        catalog = Catalog(upstream.double.base_url)
        with Live(f"sqlite:///{tmp_path}/clew.db", catalog) as server, server.client() as client:
            upstream.reply(reply, reply)
            assert [model.id for model in client.models.list()] == ["scripted", "meta/llama"]
            assert client.models.retrieve("meta/llama").owned_by == "meta"
            assert upstream.double.requests[0].path == "/v1/models"


def test_a_model_that_nobody_answers_for_cannot_be_asked(tmp_path: Path):
    """A chat completion of such a model is told as OpenAI tells it, streamed or not."""
    upstreams = [{"url": "http://127.0.0.1:9/v1", "models": ["meta/*"]}]
    catalog = Catalog(upstreams=upstreams)
    with Live(f"sqlite:///{tmp_path}/clew.db", catalog) as server, server.client() as client:
        for streamed in (False, True):
            with pytest.raises(openai.NotFoundError) as refusal:
                client.chat.completions.create(
                    model="nobodys", messages=[{"role": "user", "content": "x"}], stream=streamed
                )
            assert refusal.value.code == "model_not_found"


def test_an_upstream_that_cannot_be_asked_is_told(tmp_path: Path):
    """A list that depends on an upstream fails with it, in OpenAI's shape."""
    with Live(f"sqlite:///{tmp_path}/clew.db", Unreachable()) as server, server.client() as client:
        with pytest.raises(openai.InternalServerError) as failure:
            client.models.list()
        assert (failure.value.status_code, failure.value.code) == (502, "server_error")
