"""The prompt as a local page, without a browser: what it says, what it takes, and who is turned away (R10, R12)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from web_questions import Question, request_in

from kalos_connect_sdk import ConfigError, Duration, Precision, PromptAnswer, Purpose
from kalos_connect_sdk.core.notices.default import DEFAULT_NOTICE
from kalos_connect_sdk.prompts.web import WebPrompter


@pytest.mark.parametrize("locale", [text.locale for text in DEFAULT_NOTICE.texts])
def test_r14_the_notice_is_shown_verbatim(ask, locale):
    from html import escape

    question = ask(request_in(locale))
    page = question.open()
    text = question.request.text
    for element in (text.title, text.who, text.what, text.why, text.how_to_stop, text.allow, text.deny):
        assert f">{escape(element)}<" in page
    for paragraph in text.full.strip().split("\n\n"):
        assert f"<p>{escape(paragraph)}</p>" in page
    assert "https://connect.example.com" in page
    assert f'lang="{locale}"' in page and ('dir="rtl"' in page) == (locale == "ar")


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        (
            {"choice": "allow", "duration": "this-drive", "precision": "precise"},
            PromptAnswer.allow(Duration.THIS_DRIVE, Precision.PRECISE),
        ),
        (
            {"choice": "allow", "duration": "days-7", "precision": "approximate"},
            PromptAnswer.allow(Duration.days(7), Precision.APPROXIMATE),
        ),
        (
            {"choice": "allow", "duration": "until-withdrawn", "precision": "precise"},
            PromptAnswer.allow(Duration.UNTIL_WITHDRAWN, Precision.PRECISE),
        ),
        ({"choice": "deny"}, PromptAnswer.deny()),
        ({"choice": "deny", "duration": "days-7", "precision": "precise"}, PromptAnswer.deny()),
    ],
)
def test_every_answer_arrives(ask, fields, answer):
    question = ask()
    question.open()
    status, _, text = question.post(**fields)
    assert (status, text) == (200, "Your answer was recorded.")
    assert question.answer() == answer


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"choice": "allow"},
        {"choice": "allow", "duration": "days-8", "precision": "precise"},
        {"choice": "allow", "duration": "this-drive", "precision": "exact"},
        {"choice": "allow", "duration": "this-drive"},
        {"choice": "yes", "duration": "this-drive", "precision": "precise"},
    ],
)
def test_r12_half_an_answer_allows_nothing(ask, fields):
    question = ask()
    question.open()
    assert question.post(**fields)[0] == 400
    question.request.cancelled.set()
    assert question.answer() == PromptAnswer.dismiss()


def test_r15_an_answer_never_exceeds_what_was_asked(ask):
    question = ask(request_in(precision=Precision.APPROXIMATE))
    assert 'value="precise"' not in question.open()
    question.post(choice="allow", duration="this-drive", precision="precise")
    assert question.answer().precision is Precision.APPROXIMATE


def test_r12_the_two_answers_are_alike_and_neither_is_set(ask):
    page = ask().open()
    allow, deny = [line for line in page.splitlines() if line.startswith("<button")]
    assert allow.replace("allow", "deny").replace("Allow", "Don’t allow") == deny
    assert "autofocus" not in page
    assert page.count(" checked>") == 2, "the shortest duration, and the precision that was asked for"


def test_without_scripts_the_form_works_by_itself(ask):
    question = ask()
    question.open()
    status, headers, text = question.post(
        headers={"X-Kalos-Key": None},
        key=question.key,
        choice="allow",
        duration="this-drive",
        precision="precise",
    )
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    assert "Your answer was recorded." in text and question.key not in text
    assert question.answer().precision is Precision.PRECISE


def test_r12_leaving_park_closes_the_page_and_a_late_answer_is_void(ask):
    question = ask()
    question.open()
    told: list[str] = []

    def wait() -> None:
        with suppress(OSError):  # closed before it was heard
            told.append(question.post("/wait")[2])

    waiting = threading.Thread(target=wait)
    waiting.start()
    question.request.cancelled.set()
    assert question.answer() == PromptAnswer.dismiss()
    waiting.join(20)
    assert told in ([question_closed()], [])
    with pytest.raises(OSError):
        question.post(choice="allow", duration="this-drive", precision="precise")


def question_closed() -> str:
    return "The question was closed. Nothing was allowed."


def test_only_the_first_answer_counts(ask):
    question = ask()
    question.open()
    question.post(choice="deny")
    try:
        question.post(choice="allow", duration="this-drive", precision="precise")
    except OSError:
        pass  # the port is closed already
    assert question.answer() == PromptAnswer.deny()


# -- who is turned away --------------------------------------------------------------------------

ALLOW = {"choice": "allow", "duration": "this-drive", "precision": "precise"}


def refused(question, status, reply):
    assert reply[0] == status
    assert question.link.rsplit("/", 1)[1] not in reply[2] and (not question.key or question.key not in reply[2])
    assert question.answers.empty()


def test_a_link_works_once_and_a_replay_is_refused(ask):
    question = ask()
    question.open()
    refused(question, 410, question.call("GET", urlsplit(question.link).path))


@pytest.mark.parametrize("host", ["localhost:{port}", "attacker.example", "127.0.0.1", "attacker.example:{port}", None])
def test_dns_rebinding_a_foreign_host_is_refused_and_uses_up_no_link(ask, host):
    question = ask()
    port = urlsplit(question.link).port
    named = host and host.format(port=port)
    refused(question, 421, question.call("GET", urlsplit(question.link).path, headers={"Host": named}))
    question.open()
    refused(question, 421, question.post(headers={"Host": named}, **ALLOW))


@pytest.mark.parametrize("origin", ["https://attacker.example", "null", "http://127.0.0.1:1", "http://localhost", None])
def test_a_foreign_origin_is_refused_even_with_the_key(ask, origin):
    question = ask()
    question.open()
    refused(question, 403, question.post(headers={"Origin": origin}, **ALLOW))


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Dest": "object"},
    ],
)
def test_a_page_from_elsewhere_cannot_open_or_frame_it(ask, headers):
    question = ask()
    refused(question, 403, question.call("GET", urlsplit(question.link).path, headers=headers))
    question.open(**{"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"})


def test_every_answer_forbids_frames_foreign_content_and_keeping(ask):
    question = ask()
    replies = [question.call("GET", "/style.css"), question.call("GET", "/nothing"), question.post("/answer")]
    for _, headers, _ in replies:
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert headers["X-Frame-Options"] == "DENY" and headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer" and "Set-Cookie" not in headers


def test_nothing_on_the_page_comes_from_elsewhere(ask):
    question = ask(policy_url="https://example.com/policy")
    page = question.open()
    assert "https://example.com" not in page.replace("https://connect.example.com", ""), "it is in the picture alone"
    assert "data:image/svg+xml" in page
    for path in ("/style.css", "/prompt.js", "/rotary.js"):
        status, _, text = question.call("GET", path)
        assert status == 200 and "http" not in text.replace("X-Kalos", "")
    assert " style=" not in page and "javascript:" not in page and " onclick" not in page


@pytest.mark.parametrize(("key", "status"), [("", 404), ("x" * 43, 403), (None, 404)], ids=["empty", "guessed", "none"])
def test_without_the_key_nothing_is_answered(ask, key, status):
    question = ask()
    question.open()
    refused(question, status, question.post(headers={"X-Kalos-Key": key}, **ALLOW))


def test_the_key_of_a_page_nobody_opened_is_no_key(ask):
    question = ask()
    assert question.post(headers={"X-Kalos-Key": "x"}, **ALLOW)[0] == 403


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_another_local_user_gets_nowhere(ask):
    """Another user can connect to the port; everything is refused, and with ``same_user=False`` all but link and key."""
    for options, statuses in (({}, ["403"] * 5), ({"same_user": False}, ["404", "404", "404", "404", "403"])):
        _as_another_user(ask(**options), statuses)


def _as_another_user(question, statuses):
    question.open()
    port = urlsplit(question.link).port
    requests = [
        f"GET /open/{'x' * 43} HTTP/1.1",
        "GET / HTTP/1.1",
        "GET /answer HTTP/1.1",
        f"POST /answer HTTP/1.1\r\nOrigin: http://127.0.0.1:{port}\r\nContent-Length: 0",
        f"POST /answer HTTP/1.1\r\nOrigin: http://127.0.0.1:{port}\r\nX-Kalos-Key: {'y' * 43}\r\nContent-Length: 0",
    ]
    script = f"""
import os, socket
os.setuid(65534)
for request in {requests!r}:
    with socket.socket() as peer:
        peer.connect(("127.0.0.1", {port}))
        peer.sendall((request + "\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n").encode())
        print(peer.recv(65536).split()[1].decode())
"""
    seen = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert seen.split() == statuses
    assert question.answers.empty()


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /answer HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999\r\n\r\n",
        b"POST /answer HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\n\r\n",
        b"POST /answer HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"POST /answer HTTP/1.1\r\nHost: {host}\r\n\r\n",
        b"POST /answer HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Length: 3\r\n\r\n\xff\xfe=",
        b"POST /answer HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Length: 2\r\n\r\n&&",
        b"GET / HTTP/1.1\r\nHost: {host}\r\nHost: attacker.example\r\n\r\n",
        b"DELETE / HTTP/1.1\r\nHost: {host}\r\n\r\n",
        b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=["big", "negative", "chunked", "unsized", "binary", "empty-fields", "two-hosts", "delete", "long", "tls"],
)
def test_what_is_no_request_of_ours_is_refused_and_told_to_nobody(ask, raw, capfd):
    question = ask()
    host = urlsplit(question.link).netloc
    with socket.create_connection(("127.0.0.1", urlsplit(question.link).port), timeout=20) as peer:
        try:
            peer.sendall(raw.replace(b"{host}", host.encode()))
            peer.shutdown(socket.SHUT_WR)
            reply = b""
            while piece := peer.recv(65536):
                reply += piece
        except ConnectionError:
            reply = b""
    assert b" 200 " not in reply.split(b"\r\n", 1)[0]
    assert question.answers.empty()
    question.open()
    assert capfd.readouterr() == ("", ""), "R10: a request line may hold a link"


# -- life ----------------------------------------------------------------------------------------


def test_it_listens_on_loopback_and_only_while_it_asks(ask):
    question = ask()
    port = urlsplit(question.link).port
    assert urlsplit(question.link).hostname == "127.0.0.1"
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert [fields[1] for fields in listening if fields[3] == "0A" and fields[1].endswith(f":{port:04X}")] == [
        f"0100007F:{port:04X}"
    ]
    question.request.cancelled.set()
    question.answer()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_r11_whoever_opens_many_connections_keeps_no_reader_out_and_uses_up_no_descriptors(ask):
    question = ask()
    parts = urlsplit(question.link)
    crowd = []
    for _ in range(200):
        crowd.append(socket.create_connection((parts.hostname, parts.port), timeout=20))
        crowd[-1].sendall(b"GET /open/ HTTP/1.1\r\nHost: ")  # and never more than another byte now and then
    for one in crowd[:-32]:
        try:
            assert one.recv(1) == b"", "the oldest are cut"
        except ConnectionResetError:
            pass
    question.open()
    assert question.post(choice="deny")[0] == 200
    assert question.answer() == PromptAnswer.deny()
    for one in crowd:
        one.close()


def test_a_link_that_cannot_be_shown_fails_the_prompt(ask):
    def show(link: str) -> None:
        raise RuntimeError("no web view")

    with pytest.raises(RuntimeError, match="no web view"):
        WebPrompter(show).ask(request_in())


def test_what_cannot_be_is_said_at_once():
    with pytest.raises(ValueError, match="theme"):
        WebPrompter(theme="dusk")
    assert WebPrompter().driver_facing and not WebPrompter(driver_facing=False).driver_facing


def test_without_the_extra_a_qr_code_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "segno", None)
    with pytest.raises(ConfigError, match=r"kalos-connect-sdk\[web\]"):
        WebPrompter(policy_url="https://example.com")


def test_the_whole_way_through_connect(make, service):
    """A head unit's web view: the link goes to it, the answer comes back, the grant is recorded (R20)."""
    seen: list[Question] = []

    def web_view(link: str) -> None:
        question = Question(request_in(), link, None)
        question.open()
        question.post(choice="allow", duration="days-7", precision="approximate")
        seen.append(question)

    connect = make(prompter=WebPrompter(web_view))
    permission = connect.request_permission(Purpose.NAVIGATION, user_action=True)
    assert permission.granted and permission.precision is Precision.APPROXIMATE
    assert seen and permission.expires_at is not None
