"""Pushed positions: from any thread, bounded, forgotten when the reader is gone."""

from __future__ import annotations

import threading

import pytest

from kalos_connect_sdk import InvalidPosition, LocationSource, Position
from kalos_connect_sdk.sources import PushSource


def at(latitude: float) -> Position:
    return Position(latitude, 24.9)


def test_it_is_a_live_source():
    source = PushSource()
    assert isinstance(source, LocationSource) and source.live is True
    assert repr(source) == "<PushSource open>"


def test_positions_come_out_in_order_until_it_is_closed():
    source = PushSource()
    got = []
    reader = threading.Thread(target=lambda: got.extend(source))
    reader.start()
    for i in range(50):
        assert source.put(at(i))
    source.close()
    source.close()
    reader.join(10)
    assert not reader.is_alive()
    assert [one.latitude for one in got][: len(got)] == list(range(len(got)))
    assert source.put(at(1)) is False and repr(source) == "<PushSource closed>"


def test_what_was_put_before_close_is_still_given_to_a_reader():
    source = PushSource()
    iterator = iter(source)
    for i in range(3):
        source.put(at(i))
    assert next(iterator).latitude == 0
    source.close()
    assert [one.latitude for one in iterator] == [1, 2]


def test_the_oldest_is_dropped_when_nobody_keeps_up():
    source = PushSource(capacity=3)
    for i in range(10):
        source.put(at(i))
    assert source.dropped == 7
    iterator = iter(source)
    assert [next(iterator).latitude for _ in range(3)] == [7, 8, 9]


def test_r4_nothing_waits_for_a_later_reader_once_it_is_closed():
    source = PushSource()
    source.put(at(1))
    source.close()
    assert list(source) == []
    reading = PushSource()
    iterator = iter(reading)
    for i in range(3):
        reading.put(at(i))
    next(iterator)
    reading.close()
    iterator.close()  # the reader went away: consent was lost
    assert list(reading) == []


def test_a_reader_that_leaves_an_open_source_may_come_back():
    source = PushSource()
    source.put(at(1))
    source.put(at(2))
    for _ in source:
        break
    assert next(iter(source)).latitude == 2


def test_only_positions_are_taken():
    with pytest.raises(InvalidPosition):
        PushSource().put((60.1, 24.9))  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        PushSource(capacity=0)


def test_many_threads_may_push():
    source = PushSource(capacity=10_000)
    source.put(at(0))
    iterator = iter(source)
    got = [next(iterator)]
    reader = threading.Thread(target=lambda: got.extend(iterator))
    writers = [threading.Thread(target=lambda: [source.put(at(i % 90)) for i in range(500)]) for _ in range(4)]
    for thread in (reader, *writers):
        thread.start()
    for writer in writers:
        writer.join()
    source.close()
    reader.join(10)
    assert len(got) == 2001 and source.dropped == 0
