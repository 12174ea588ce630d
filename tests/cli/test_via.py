"""``route --via``: another provider than the service, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from kalos_connect_sdk.cli.main import main

RECORDED = Path(__file__).parents[1] / "navigation" / "recorded"
PLACES = ("--from", "43.7353,7.4339", "--to", "43.7336,7.423")
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("KALOS_CONNECT_VAULT", "memory")
    monkeypatch.setenv("KALOS_CONNECT_STATE_DIR", str(tmp_path / "state"))

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(("route", *words))
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def provider():
    """A server on loopback that answers with ``answer``: a status and a document."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            server.asked.append((self.command, self.path, body))
            status, document = server.answer
            said = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            """Silent."""

    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answer = [], (500, {})
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def recorded(name: str) -> tuple[int, Any]:
    kept = json.loads((RECORDED / f"{name}.json").read_text("utf-8"))
    return kept["status"], kept["answer"]


@pytest.mark.parametrize(("kind", "scene"), [("valhalla", "valhalla-exit-left"), ("osrm", "osrm-rotary")])
def test_a_way_by_another_provider(say, provider, kind, scene):
    provider.answer = recorded(scene)
    code, text, _ = say(*PLACES, "--via", f"{kind}:{provider.url}")
    assert code == 0 and "You have arrived." in text and "OpenStreetMap" in text
    code, document, _ = say(*PLACES, "--via", f"{kind}:{provider.url}", "--json")
    assert code == 0 and json.loads(document)["properties"]["manoeuvres"]
    assert len(provider.asked) == 2


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (("osrm-off-the-map"), 2, "no-route"),
        ((403, {"code": "7"}), 6, "code 7"),
        ((429, {}), 6, "429 provider-refused"),
        ((410, {}), 6, "410 provider-refused"),
        ((200, {"routes": 1}), 6, "--via"),
    ],
)
def test_what_a_provider_says_has_the_exit_code_of_its_meaning(say, provider, answer, code, says):
    provider.answer = recorded(answer) if isinstance(answer, str) else answer
    got, out, err = say(*PLACES, "--via", f"osrm:{provider.url}")
    assert (got, out) == (code, "") and says in err and err.count("\n") == 1
    assert "43.7" not in err and "service_url" not in err, "R10, and it is not the service that was asked"


def test_nobody_there(say):
    code, _, err = say(*PLACES, "--via", "valhalla:http://127.0.0.1:9")
    assert code == 6 and "--via" in err


def test_amaps_key_comes_from_a_file_of_ones_own(say, tmp_path):
    file = tmp_path / "amap.key"
    file.write_text(KEY + "\n")
    file.chmod(0o644)
    code, _, err = say(*PLACES, "--via", f"amap:{file}")
    assert code == 2 and "chmod 600" in err and KEY not in err
    file.chmod(0o600)
    from kalos_connect_sdk.cli.via import via

    assert via(f"amap:{file}").key == KEY
    file.write_bytes(b"\xff not a key")
    code, _, err = say(*PLACES, "--via", f"amap:{file}")
    assert code == 2 and "not a key" not in err
    file.write_text("two words")
    code, _, err = say(*PLACES, "--via", f"amap:{file}")
    assert code == 2 and "two words" not in err and "web service" in err


@pytest.mark.parametrize(
    ("via", "says"),
    [
        ("http://127.0.0.1:8002", "valhalla:URL"),
        ("valhalla", "valhalla:URL"),
        ("osrm:", "valhalla:URL"),
        ("google:x", "valhalla:URL"),
        ("valhalla:http://maps.example", "plain http off loopback"),
        ("osrm:http://[", "must look like"),
        ("osrm:https://u:secret@maps.example", "must look like"),
        ("amap:/nowhere/key", "cannot be read"),
        ("amap:~nobody-of-that-name/key", "nothing else"),
    ],
)
def test_what_cannot_be_meant_is_usage(say, via, says):
    code, _, err = say(*PLACES, "--via", via)
    assert code == 2 and says in err and "secret" not in err


def test_r14_off_loopback_no_notice_names_it(say):
    """From here it would be refused; a program of one command has no position anyway."""
    from kalos_connect_sdk.cli.via import via

    provider = via("valhalla:https://maps.example/v")
    assert (provider.recipient, provider.region) == ("maps.example", None)
