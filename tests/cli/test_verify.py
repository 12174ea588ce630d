"""``consent verify`` on what is no receipt: one sentence, exit 2, nothing believed. It reads no settings."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kalos_connect_sdk.cli.main import main

Said = tuple[int, Any, str]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Run one command with settings that would fail every command that reads them."""
    monkeypatch.setenv("KALOS_CONNECT_NO_SUCH_SETTING", "x")

    def run(*words: str) -> Said:
        code = main(words)
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in words and out else out, err

    return run


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"[1]",
        b"7",
        b'{"a": 1, "a": 2}',
        b"\xff",
        b"[" * 5000,
        b'{"x": NaN}',
        b" " * (4 << 20) + b"{}",
    ],
)
def test_what_is_no_receipt_is_input_that_is_wrong(say: Callable[..., Said], tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "receipt.json"
    file.write_bytes(content)
    code, out, err = say("consent", "verify", str(file))
    assert (code, out) == (2, "")
    assert "is not a receipt" in err and "kalos-connect consent show --json" in err


def test_an_empty_object_proves_nothing(say: Callable[..., Said], tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    file.write_text("{}")
    code, found, _ = say("consent", "verify", str(file), "--json")
    assert (code, found["valid"], found["proves"]) == (2, False, [])


def test_a_receipt_may_come_on_standard_input(
    say: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{}")))
    assert say("consent", "verify", "-")[0] == 2
    assert say("consent", "verify", str(tmp_path / "missing"))[2].endswith(
        "cannot be read: No such file or directory\n"
    )


@pytest.mark.parametrize("key", ["", "short", "zz" * 32, "A" * 42, "é" * 43])
def test_a_key_that_is_none_is_usage(say: Callable[..., Said], tmp_path: Path, key: str) -> None:
    file = tmp_path / "receipt.json"
    file.write_text("{}")
    assert say("consent", "verify", str(file), "--public-key", key)[0] == 2
