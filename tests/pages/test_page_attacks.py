"""Attacks on the local pages with what an attacker has: another site in real Chromium, another user of the machine.

docs/prompts.md lists every attack that was tried, these and those in tests/prompts/test_web_prompter.py.
"""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from page_scenes import centre_link, prompt_link

from kalos_connect_sdk.prompts.web.peers import is_stranger

pytestmark = pytest.mark.once
ALLOW = {"choice": "allow", "duration": "this-drive", "precision": "precise"}
LINKS = {"prompt": lambda device: prompt_link("en"), "centre": lambda device: centre_link("en", device)}


@pytest.fixture
def link(device) -> Iterator[Callable[[str], str]]:
    """A fresh link of a page."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(LINKS[name](device))


@pytest.fixture
def site(browser) -> Iterator[Callable[[str], Any]]:
    """Another site of this machine, opened in the person's browser: a page with the given body."""
    with ExitStack() as stack:

        def visit(body: str) -> Any:
            class Site(http.server.BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response(200)
                    self.send_header("Content-Type", "text/html")
                    self.end_headers()
                    self.wfile.write(b"<!doctype html>" + body.encode())

                def log_message(self, *_: Any) -> None:
                    pass

            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            page = browser.new_page()
            stack.callback(page.close)
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
            page.wait_for_load_state("networkidle")
            return page

        yield visit


def opened(browser: Any, address: str) -> Any:
    page = browser.new_page()
    assert page.goto(address).status == 200
    return page


def origin(address: str) -> str:
    return f"http://{urlsplit(address).netloc}"


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("tag", ["iframe", "object", "embed"])
def test_a_frame_shows_nothing_and_uses_up_no_link(browser, link, site, name, tag):
    """Framing and clickjacking: the attacker even knows the link."""
    address = link(name)
    page = site(f'<{tag} {"data" if tag == "object" else "src"}="{address}" width=800 height=600></{tag}>')
    assert not any("data-key" in frame.content() for frame in page.frames)
    opened(browser, address).close()


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("way", ["window.open(LINK)", "location = LINK", "document.links[0].click()"])
def test_another_site_that_knows_the_link_cannot_open_it_in_the_persons_browser(browser, link, site, name, way):
    address = link(name)
    script = way.replace("LINK", f"'{address}'")
    page = site(f'<a href="{address}">a prize</a>')
    context = page.context
    with context.expect_event("response", lambda reply: reply.url == address) as seen:
        page.evaluate(f"() => {{ {script} }}")
    assert seen.value.status == 403
    opened(browser, address).close()
    for one in context.pages:
        one.close()


@pytest.mark.parametrize("name", LINKS)
def test_a_form_of_another_site_sends_nothing_even_with_the_key(browser, link, site, name, device):
    address = link(name)
    page = opened(browser, address)
    key = page.evaluate("document.body.dataset.key")
    path = "/answer" if name == "prompt" else "/stop"
    fields = "".join(f'<input name="{n}" value="{v}">' for n, v in {"key": key, **ALLOW}.items())
    other = site(f'<form method="post" action="{origin(address)}{path}">{fields}<button>go</button></form>')
    with other.expect_response(lambda reply: path in reply.url) as seen:
        other.click("button")
    assert seen.value.status == 403
    assert device.permission().granted
    assert page.locator("body.over").count() == 0 and page.locator("#stop, button[value=allow]").is_visible()
    page.close()


def test_an_image_or_a_link_does_nothing(browser, link, site, device):
    """A GET changes nothing, whatever it shows."""
    asked, shown = link("prompt"), link("centre")
    question, centre = opened(browser, asked), opened(browser, shown)
    key = question.evaluate("document.body.dataset.key")
    site(
        f'<img src="{origin(asked)}/answer?key={key}&choice=allow"><img src="{origin(shown)}/stop">'
        f'<link rel="stylesheet" href="{origin(shown)}/delete"><script src="{origin(shown)}/stop"></script>'
    )
    for page, path in ((question, "/answer?choice=allow"), (centre, "/stop"), (centre, "/delete")):
        assert page.evaluate("path => fetch(path).then(reply => reply.status)", path) == 404
    assert device.permission().granted and question.locator("button[value=allow]").is_visible()
    question.close()
    centre.close()


def test_after_the_answer_neither_back_nor_the_cache_shows_the_question_again(browser, ask):
    question = ask()
    page = opened(browser, question.link)
    page.click("button[value=deny]")
    assert question.answer().choice.value == "deny"
    page.wait_for_selector("body.over")
    page.goto("about:blank")
    try:
        page.go_back(wait_until="commit", timeout=10_000)
    except Exception as error:
        assert "ERR_CONNECTION_REFUSED" in str(error) or "interrupted" in str(error)
    assert page.locator("button[value=allow]:visible").count() == 0
    page.close()


@pytest.mark.parametrize("name", LINKS)
def test_a_second_tab_gets_nothing_and_the_first_goes_on(browser, link, name):
    address = link(name)
    first, second = opened(browser, address), browser.new_page()
    assert second.goto(address).status == 410
    assert first.reload().status == 410, "nor does a reload: the key of the open page is all there is"
    first.close()
    second.close()


def test_two_readers_of_the_centre_see_the_same(browser, link, device):
    first, second = opened(browser, link("centre")), opened(browser, link("centre"))
    for page in (first, second):
        page.wait_for_selector("body.on")
    first.close()
    assert second.locator("#stop").is_visible()
    second.close()


def test_bodies_that_never_end_keep_nobody_waiting(ask):
    """Slow loris: half a request from many, in its head or in its body."""
    question = ask()
    parts = urlsplit(question.link)
    crowd = []
    for number in range(60):
        crowd.append(socket.create_connection((parts.hostname, parts.port), timeout=20))
        body = f"Origin: {question.origin}\r\nContent-Length: 4000\r\n\r\nkey=" if number % 2 else "X-Slow: "
        crowd[-1].sendall(f"POST /answer HTTP/1.1\r\nHost: {parts.netloc}\r\n{body}".encode())
    question.open()
    assert question.post(choice="deny")[0] == 200
    assert question.answer().choice.value == "deny"
    for one in crowd:
        one.close()


_LOOK = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
pid, port = int(sys.argv[1]), int(sys.argv[2])
words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\\0")
link = next(word for word in words if word.startswith(b"http://")).decode()
for file in ("environ", "mem", "maps", "fd/0"):
    try:
        open(f"/proc/{pid}/{file}", "rb").read(1)
        print("read", file)
    except OSError:
        print("refused", file)
with socket.socket() as peer:
    peer.connect(("127.0.0.1", port))
    peer.sendall(f"GET {link[link.index('/open'):]} HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n".encode())
    print("open", peer.recv(65536).split()[1].decode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
@pytest.mark.parametrize(("same_user", "status"), [(True, "403"), (False, "200")])
def test_another_user_who_reads_the_link_in_the_process_list_cannot_use_it(ask, same_user, status):
    """The default opens the browser with the link as an argument; whoever lists processes sees it."""
    question = ask(same_user=same_user)
    browser = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()", question.link], stdin=subprocess.PIPE
    )
    port = str(urlsplit(question.link).port)
    try:
        seen = subprocess.run(
            [sys.executable, "-c", _LOOK, str(browser.pid), port],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout
    finally:
        browser.communicate()
    assert seen.split("\n")[:5] == ["refused environ", "refused mem", "refused maps", "refused fd/0", f"open {status}"]
    assert question.call("GET", urlsplit(question.link).path)[0] == (200 if same_user else 410), "it used up no link"
    assert question.answers.empty()


def test_who_has_gone_away_already_is_a_stranger():
    """The kernel names root as the owner of a socket that was closed; this program may run as root."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        reader = socket.create_connection(server.getsockname())
        served, peer = server.accept()
        with served:
            assert not is_stranger(peer, served.getsockname())
            reader.close()
            assert served.recv(1) == b"", "it is closed, not on its way"
            assert is_stranger(peer, served.getsockname())
