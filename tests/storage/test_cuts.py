"""R3: what programs cut in flight is noted on the page before they let go, and counted once by who withdraws."""

from __future__ import annotations

import os

import pytest

from kalos_connect_sdk.model.consent import Purpose
from kalos_connect_sdk.storage import cuts
from kalos_connect_sdk.storage.cuts import note_cut, take_cuts
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.locks import FileLock
from kalos_connect_sdk.storage.page import Page


@pytest.fixture
def page(directory: StateDirectory) -> Page:
    return Page.open(directory)


def test_r3_others_are_counted_once_and_the_own_never(directory, page):
    other, third = Page.open(directory), Page.open(directory)
    for _ in range(3):
        note_cut(directory, other, 7)
    note_cut(directory, third, 7)
    note_cut(directory, page, 7)
    assert take_cuts(page, 7) == {os.getpid(): 4}
    assert take_cuts(page, 7) == {} and page.cuts() == [(0, 0)] * len(page.cuts())


def test_r6_what_belongs_to_an_older_epoch_is_forgotten(directory, page):
    other = Page.open(directory)
    note_cut(directory, other, 3)
    note_cut(directory, other, 4)
    note_cut(directory, other, 4)
    assert take_cuts(page, 4) == {os.getpid(): 2}
    note_cut(directory, other, 3)
    assert take_cuts(page, 4) == {} == take_cuts(page, 3)


def test_r3_programs_that_note_at_once_lose_none(directory, page, peer):
    script = """
from kalos_connect_sdk.storage.cuts import note_cut
from kalos_connect_sdk.storage.page import Page
page = Page.open(directory)
say("ready"); wait()
for _ in range(200): note_cut(directory, page, 1)
say("done")
"""
    programs = [peer(script) for _ in range(4)]
    for word in ("ready", "done"):
        for one in programs:
            assert one.hear() == word
        for one in programs if word == "ready" else ():
            one.say()
    assert take_cuts(page, 1) == {one.pid: 200 for one in programs}


def test_r3_with_the_lock_held_or_no_lock_at_all_it_is_noted(directory, page, monkeypatch):
    monkeypatch.setattr(cuts, "_WAIT_S", 0.001)
    other = Page.open(directory)
    with FileLock(directory, "cuts.lock").try_acquire():
        note_cut(directory, other, 1)
    (directory.path / "cuts.lock").unlink()
    (directory.path / "cuts.lock").mkdir()
    note_cut(directory, other, 1)
    assert take_cuts(page, 1) == {os.getpid(): 2}


def test_r3_when_every_place_is_taken_the_count_still_rises(directory, page):
    pages = [Page.open(directory) for _ in range(len(page.cuts()) + 5)]
    for one in pages:
        note_cut(directory, one, 2)
    assert sum(take_cuts(page, 2).values()) == len(pages)
    for one in pages[:-5]:
        note_cut(directory, one, 1)
    note_cut(directory, pages[-1], 2)  # takes the place of an older one
    assert take_cuts(page, 2) == {os.getpid(): 1}


def test_r3_the_disk_may_refuse_and_nothing_else_of_the_page_changes(directory, page):
    before = page.words.tobytes()
    reader = Page.open(directory)
    os.close(page._fd)
    page._fd = os.open(directory.path / "page", os.O_RDONLY)
    note_cut(directory, page, 5)
    assert take_cuts(reader, 5) == {os.getpid(): 1}
    assert page.words.tobytes() == before and page.intact()
    assert not page.ended(Purpose.NAVIGATION, 1)
