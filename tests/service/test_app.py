"""The application beyond the protocol: measuring silence, failing quietly, running as a process."""

from __future__ import annotations

import http.client
import importlib.util
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kalos_connect_sdk.service import server
from kalos_connect_sdk.service.__main__ import main
from kalos_connect_sdk.service.app import create_app
from kalos_connect_sdk.service.contract import contract
from kalos_connect_sdk.service.engine import EngineUnavailable
from kalos_connect_sdk.service.store import MemoryStore
from kalos_connect_sdk.service.valhalla import HttpValhalla


@pytest.fixture
def observed(run_app):
    with run_app(create_app(MemoryStore(), observe=True)) as url:
        yield url


def counts(device):
    return device.call("GET", "/observed").document["records"].get(device.record_id)


def test_r3_silence_after_a_withdrawal_is_measured_at_the_service(observed, new_device):
    device = new_device(observed)
    device.register()
    device.send()
    before = counts(device)
    assert (before["positions"], before["accepted"], before["bytes_after_withdrawal"]) == (2, 2, 0)
    assert before["bytes"] == len(json.dumps(device.batch()))

    device.withdraw()
    assert device.call("POST", "/observed/mark", b"").status == 204
    device.call("GET", f"/v1/consents/{device.record_id}")
    quiet = counts(device)
    assert (quiet["positions"], quiet["bytes_after_withdrawal"], quiet["bytes_after_mark"]) == (0, 0, 0)

    assert device.send(key="late").status == 410
    late = counts(device)
    assert late["bytes_after_withdrawal"] == late["bytes_after_mark"] == before["bytes"]
    assert (late["accepted"], late["requests_after_mark"]) == (2, 1)

    device.register(2)
    device.send(device.batch(2), key="again")
    assert counts(device)["bytes_after_withdrawal"] == before["bytes"], "a new grant may be used"
    device.call("POST", "/observed/mark", b"")
    assert counts(device)["bytes_after_mark"] == 0


def test_bytes_that_nobody_can_be_held_to_are_counted_too(observed, new_device):
    device = new_device(observed)
    device.send()
    unknown = device.call("GET", "/observed").document["records"]["unknown"]
    assert unknown["bytes"] > 0 and unknown["accepted"] == 0


def test_nothing_can_be_observed_unless_asked_for(device, service_url):
    assert device.call("GET", "/observed").status == 404
    assert device.call("POST", "/observed/mark", b"").status == 404


def test_a_body_that_keeps_growing_is_cut_off(observed, new_device):
    device = new_device(observed)
    device.register()
    pieces = iter([b" " * 1_000_000] * 5)
    device.connection.request(
        "POST", "/v1/positions", pieces, {"Authorization": f"Bearer {device.token}"}, encode_chunked=True
    )
    answer = device.connection.getresponse()
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert json.loads(answer.read())["type"].endswith("/body-too-large")


def test_a_body_announced_too_large_is_not_read(observed, new_device):
    device = new_device(observed)
    device.connection.putrequest("POST", "/v1/positions")
    device.connection.putheader("Content-Length", "99999999")
    device.connection.endheaders()
    assert device.connection.getresponse().status == 413


def test_a_device_that_hangs_up_is_nobodys_error(observed, new_device, caplog):
    device, other = new_device(observed), new_device(observed)
    device.connection.putrequest("POST", "/v1/positions")
    device.connection.putheader("Content-Length", "1000")
    device.connection.endheaders(b"{")
    device.connection.close()
    assert other.call("GET", "/v1/notice").status == 404
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_r10_an_error_of_our_own_says_its_kind_and_nothing_else(run_app, new_device, caplog):
    class Broken(MemoryStore):
        def consent(self, record_id):
            raise RuntimeError("24.94 60.17 " + record_id)

    with run_app(create_app(Broken())) as url:
        device = new_device(url)
        answer = device.register()
        device.connection.close()
    assert (answer.status, answer.problem) == (500, "internal-error")
    (said,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert said.getMessage() == "request failed: RuntimeError" and said.exc_info is None


def test_the_document_is_served_and_pages_that_load_scripts_are_not(observed, new_device):
    device = new_device(observed)
    assert device.call("GET", "/openapi.json").document == contract()
    assert device.call("GET", "/docs").status == device.call("GET", "/redoc").status == 404


# -- as a process --------------------------------------------------------------------------------


@pytest.fixture
def process(tmp_path):
    database = tmp_path / "service.db"
    started = subprocess.Popen(
        [
            *(sys.executable, "-m", "kalos_connect_sdk.service"),
            *("--port", "0", "--observe", "--database", str(database), "--region", "FI"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    yield started
    started.kill()
    started.communicate()


def test_it_says_where_it_listens_and_stops_when_told(process, new_device):
    line = process.stdout.readline()
    assert line.startswith("listening on http://127.0.0.1:")
    device = new_device(line.split()[-1])
    assert device.register().status == 201 and device.send().status == 202
    assert device.call("GET", "/v1/notice").document["id"] == "kalos-connect-navigation"
    device.connection.close()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert output == "" or (importlib.util.find_spec("valhalla") is None and output.count("\n") == 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--engine", "horse"],
        ["--engine", "valhalla:/no/such/tiles.tar"],
        ["--database", "postgres://x"],
        ["--database", "/no/such/folder/x.db"],
        ["--port", "99999"],
        ["--host", "192.0.2.1"],
    ],
)
def test_what_cannot_be_started_is_said_in_one_sentence(arguments, capsys):
    given = arguments if "--port" in arguments else [*arguments, "--port", "0"]
    assert main(given) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("the service cannot start: ") and said.err.count("\n") == 1


def test_a_port_in_use_is_said_too(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(taken.getsockname()[1])]) == 2
    assert "in use" in capsys.readouterr().err


def test_beyond_this_machine_it_warns(capsys, monkeypatch):
    def run(uvicorn_server, sockets):
        uvicorn_server._ready()
        raise KeyboardInterrupt

    monkeypatch.setattr(server._Server, "run", run)
    assert main(["--host", "0.0.0.0", "--port", "0"]) == 0
    assert "TLS proxy" in capsys.readouterr().out
    assert main(["--host", "::1", "--port", "0"]) == 0
    assert capsys.readouterr().out.startswith("listening on http://[::1]:")


def test_engines_by_name():
    assert isinstance(server.open_engine("http://127.0.0.1:8002"), HttpValhalla)
    with pytest.raises(EngineUnavailable):
        HttpValhalla("ftp://x")


def test_without_valhalla_there_is_no_engine_but_a_service(monkeypatch):
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: None)
    assert server.open_engine(None) is None


@pytest.mark.parametrize("installed", [False, True])
def test_a_service_without_an_engine_says_what_brings_one(installed, capsys, monkeypatch):
    def run(uvicorn_server, sockets):
        uvicorn_server._ready()

    monkeypatch.setattr(server._Server, "run", run)
    monkeypatch.setattr(
        server, "open_engine", lambda name: HttpValhalla("http://127.0.0.1:8002") if installed else None
    )
    assert main(["--port", "0"]) == 0
    assert ("kalos-connect-sdk[valhalla]" in capsys.readouterr().out) is not installed


def test_a_device_may_speak_http_1_0(observed):
    host, _, port = observed.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"
    connection.request("GET", "/v1/notice")
    assert connection.getresponse().status == 404
    connection.close()
