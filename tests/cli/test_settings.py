"""Where the command line's configuration comes from, and what it never reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from kalos_connect_sdk.cli import settings
from kalos_connect_sdk.errors import ConfigError


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's and a system's configuration directory of our own, and an empty working directory."""
    for name, variable in (("user", "XDG_CONFIG_HOME"), ("system", "XDG_CONFIG_DIRS")):
        (tmp_path / name / "kalos-connect").mkdir(parents=True)
        monkeypatch.setenv(variable, str(tmp_path / name))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_without_any_file_the_defaults_hold() -> None:
    assert settings.config_file(None) is None
    assert settings.load(None).timeout_s == 10.0


def test_the_user_s_file_wins_over_the_system_s(folders: Path) -> None:
    write(folders / "system" / "kalos-connect", "timeout_s = 3\nlocale = 'en'")
    assert settings.load(None).timeout_s == 3
    write(folders / "user" / "kalos-connect", "timeout_s = 4")
    assert settings.load(None).timeout_s == 4
    assert settings.load(None).locale is None, "files are not merged"


def test_a_named_file_wins_over_both(folders: Path) -> None:
    write(folders / "user" / "kalos-connect", "timeout_s = 4")
    assert settings.load(str(write(folders, "timeout_s = 5"))).timeout_s == 5


@pytest.mark.parametrize(
    "name", ["config.toml", "kalos-connect.toml", "kalos-connect/config.toml", ".kalos-connect.toml"]
)
def test_no_file_is_ever_read_from_the_working_directory(
    folders: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folders / "here" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("timeout_s = 66")
    assert settings.load(None).timeout_s == 10.0
    monkeypatch.setenv("XDG_CONFIG_HOME", ".")
    monkeypatch.setenv("XDG_CONFIG_DIRS", "")
    assert settings.load(None).timeout_s == 10.0


def test_a_variable_wins_over_a_file_and_an_argument_over_both(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write(folders, "timeout_s = 5"))
    monkeypatch.setenv("KALOS_CONNECT_TIMEOUT_S", "7")
    assert settings.load(path).timeout_s == 7
    assert settings.load(path, timeout_s=8).timeout_s == 8
    monkeypatch.setenv("KALOS_CONNECT_TIMEOUT_S", "")
    assert settings.load(path).timeout_s == 5


def test_paths_in_a_file_are_relative_to_that_file(folders: Path) -> None:
    path = write(
        folders, "state_dir = 'state'\nca_bundle = '~/ca.pem'\nvault = 'file:keys'\nenrolment_token_file = '/t'"
    )
    config = settings.load(str(path))
    assert config.state_dir == str(folders / "state")
    assert config.ca_bundle == str(Path("~/ca.pem").expanduser())
    assert config.vault == f"file:{folders / 'keys'}"
    assert config.enrolment_token_file == "/t"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("colour = 'blue'", "unknown configuration key 'colour'"),
        ("timeout_s = 'fast'", "timeout_s must be a number"),
        ("service_url = 'http://example.com'", "plain http off loopback"),
        ("state_dir = ''", "state_dir must be a path"),
        ("state_dir = 5", "state_dir must be a path"),
        ("vault = 'file:'", "vault must be"),
        ("proxy = 'secret", "is not valid TOML"),
        ("[timeout_s]\nx = 1", "timeout_s must be a number"),
        ("x = 1\n" * 20_000, "is larger than 64 KiB"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_in_one_sentence(folders: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        settings.load(str(write(folders, text)))
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_key_is_judged_even_when_a_variable_wins(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALOS_CONNECT_TIMEOUT_S", "7")
    with pytest.raises(ConfigError, match="unknown configuration key"):
        settings.load(str(write(folders, "timeouts = 1")))


def test_a_named_file_that_is_missing_or_no_text_is_an_error(folders: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        settings.load(str(folders / "missing.toml"))
    (folders / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        settings.load(str(folders / "binary"))
