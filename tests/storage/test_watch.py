"""Seeing another process's change at once."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import pytest

from kalos_connect_sdk.model.consent import Purpose
from kalos_connect_sdk.storage import watch as module
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.page import NAME, Page
from kalos_connect_sdk.storage.watch import Watch

LONG_S = 60.0


def waited(watch: Watch) -> float:
    begun = time.monotonic()
    watch.wait(LONG_S)
    return time.monotonic() - begun


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_r3_a_tombstone_of_another_process_ends_the_waiting(directory: StateDirectory, peer: Callable) -> None:
    page = Page.open(directory)
    watch = Watch(directory, NAME)
    one = peer(
        "from kalos_connect_sdk.storage.page import Page\np = Page.open(directory); say('ready'); wait(); p.end(Purpose.NAVIGATION, 1); wait()\n"
    )
    assert one.hear() == "ready"
    one.say()
    assert waited(watch) < LONG_S / 2
    while not page.ended(Purpose.NAVIGATION, 1):
        watch.wait(LONG_S)
    watch.close()


def test_waking_ends_the_present_or_the_next_waiting(directory: StateDirectory) -> None:
    Page.open(directory)
    watch = Watch(directory, NAME)
    watch.wake()
    assert waited(watch) < LONG_S / 2
    thread = threading.Thread(target=watch.wake)
    thread.start()
    assert waited(watch) < LONG_S / 2
    thread.join()
    for _ in range(100_000):
        watch.wake()  # a full pipe blocks nobody
    watch.wait(LONG_S)
    watch.close()
    watch.close()
    watch.wake()


@pytest.mark.parametrize("why", ["platform", "no file"])
def test_without_inotify_it_looks_again_and_again(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "platform":
        Page.open(directory)
        monkeypatch.setattr(module.sys, "platform", "darwin")
    watch = Watch(directory, NAME)
    monkeypatch.undo()
    assert waited(watch) < LONG_S / 2
    watch.close()


def test_a_vanished_event_is_no_error(directory: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    Page.open(directory)
    watch = Watch(directory, NAME)
    watch.wake()

    def taken(*_: object) -> bytes:
        raise BlockingIOError

    monkeypatch.setattr(module.os, "read", taken)
    watch.wait(LONG_S)
    monkeypatch.undo()
    watch.close()
