"""Settings: which wins, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from clew.cli import main
from clew.cli.config import Config, load_config
from clew.core.errors import BadRequest


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a clew.toml."""
    monkeypatch.chdir(tmp_path)


def test_without_any_setting_the_defaults_hold():
    """A SQLite file here, on loopback, without an upstream."""
    assert load_config({}, {}, None) == Config()
    assert Config().store == "sqlite:///clew.db"
    assert (Config().host, Config().port) == ("127.0.0.1", 8787)


def test_flags_win_over_the_environment_and_that_over_the_file():
    """Each setting comes from the first place that has it."""
    Path("clew.toml").write_text('store = "sqlite:///toml.db"\nport = 1\nhost = "::1"\n')
    environment = {"CLEW_PORT": "2", "CLEW_STORE": "sqlite:///env.db"}
    config = load_config({"port": 3, "host": None}, environment, None)
    assert (config.store, config.host, config.port) == ("sqlite:///env.db", "::1", 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STORE", "sqlite:///x.db"),
        ("HOST", "::1"),
        ("PORT", "9"),
        ("UPSTREAM_URL", "http://x/v1"),
        ("UPSTREAM_KEY", "secret"),
        ("UPSTREAM_KIND", "anthropic"),
        ("SCRIPT", "x.yaml"),
        ("EMBEDDINGS_URL", "http://x/v1"),
        ("EMBEDDINGS_MODEL", "m"),
        ("EMBEDDINGS_KEY", "secret"),
        ("EMBEDDINGS_DIMENSIONS", "256"),
    ],
)
def test_every_setting_has_a_variable(name: str, value: str):
    """CLEW_… sets it."""
    config = load_config({}, {f"CLEW_{name}": value}, None)
    assert str(getattr(config, name.lower())) == value


def test_an_empty_variable_is_no_setting():
    """`CLEW_STORE=` in a unit file means: not set."""
    assert load_config({}, {"CLEW_STORE": ""}, None).store == Config().store


def test_a_named_file_must_exist():
    """One that is not named need not."""
    with pytest.raises(BadRequest, match=r"Cannot read other\.toml"):
        load_config({}, {}, "other.toml")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prot = 1", "prot"),
        ('port = "many"', "port"),
        ("store = 1", "store"),
        ("port = ", "clew.toml"),
        ("\x00", "clew.toml"),
    ],
)
def test_a_wrong_file_is_refused_by_name(text: str, complaint: str):
    """The message names the setting, or the file."""
    Path("clew.toml").write_text(text)
    with pytest.raises(BadRequest, match=complaint):
        load_config({}, {}, None)


def test_a_wrong_variable_is_refused_by_name():
    """CLEW_PORT has to be a number."""
    with pytest.raises(BadRequest, match="port"):
        load_config({}, {"CLEW_PORT": "http"}, None)


def test_a_refusal_is_one_line_and_status_one(capsys: pytest.CaptureFixture[str]):
    """No traceback for a mistake of the user's."""
    assert main(["serve", "--config", "none.toml"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("clew: Cannot read none.toml")
    assert said.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["sing"], ["serve", "--port", "x"], ["serve", "--nope"]])
def test_a_wrong_call_is_status_two(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    """As every command line does; usage goes to standard error."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: clew" in capsys.readouterr().err


def test_an_upstream_is_an_address():
    """What is no HTTP address is refused by the setting's name."""
    with pytest.raises(BadRequest, match="upstream_url"):
        load_config({"upstream_url": "not a url"}, {}, None)


def test_several_upstreams_are_read_from_the_file():
    """Each entry of [[upstreams]] is one, in order."""
    Path("clew.toml").write_text(
        '[[upstreams]]\nkind = "anthropic"\nurl = "https://a/v1"\nmodels = ["claude-*"]\n'
        '[[upstreams]]\nurl = "http://b/v1"\nkey_env = "B_KEY"\n'
    )
    first, second = load_config({}, {}, None).upstreams
    assert (first.kind, first.url, first.models) == ("anthropic", "https://a/v1", ("claude-*",))
    assert (second.kind, second.key_env, second.models) == ("openai-compatible", "B_KEY", ("*",))


def test_several_upstreams_may_be_in_the_environment_as_json():
    """CLEW_UPSTREAMS is a list of the same entries."""
    environment = {"CLEW_UPSTREAMS": '[{"url": "http://b/v1", "models": ["gpt-*"]}]'}
    (only,) = load_config({}, environment, None).upstreams
    assert (only.url, only.models) == ("http://b/v1", ("gpt-*",))
    with pytest.raises(BadRequest, match="CLEW_UPSTREAMS is not JSON"):
        load_config({}, {"CLEW_UPSTREAMS": "http://b/v1"}, None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('upstream_kind = "telepathy"', "upstream_kind"),
        ('[[upstreams]]\nurl = "b"', "upstreams"),
        ('[[upstreams]]\nurl = "http://b/v1"\nmodles = ["a"]', "modles"),
    ],
)
def test_a_wrong_upstream_is_refused_by_name(text: str, complaint: str):
    """The message names the setting."""
    Path("clew.toml").write_text(text)
    with pytest.raises(BadRequest, match=complaint):
        load_config({}, {}, None)
