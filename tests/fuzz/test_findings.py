"""What fuzzing found, seen from outside: each was a call that raised, or never came back."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path

import pytest

from kalos_connect_sdk import Position
from kalos_connect_sdk.storage.box import FIRST_FRAME, Box, Medium, new_header, read_head

KEY = bytes(32)


def _leaf(tmp_path: Path) -> Path:
    return next((tmp_path / "state" / "com.example.test").iterdir())


@pytest.mark.fault(12, 50)
@pytest.mark.parametrize("offset", [2**40 + 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_r4_a_box_whose_mark_is_damaged_stops_no_withdrawal(make, tmp_path, offset) -> None:
    connect = make()
    connect.request_permission(user_action=True)
    assert connect.submit(Position(60.0, 24.0)).accepted
    (box,) = (_leaf(tmp_path) / "outbox").glob("*.box")
    with box.open("r+b") as file:
        file.seek(64)
        file.write(struct.pack("<Q", offset))
    report = connect.withdraw()
    assert report.complete and report.durable
    assert not list((_leaf(tmp_path) / "outbox").iterdir())


@pytest.mark.fault(12)
@pytest.mark.parametrize("rows_left", [0, 1, 2])
def test_r8_a_batch_whose_end_was_torn_off_ends(rows_left) -> None:
    content = bytearray()

    def write(data: bytes, at: int) -> int:
        content[at : at + len(data)] = data
        return len(data)

    def read(length: int, at: int) -> bytes:
        return bytes(content[at : at + length])

    medium = Medium(write, read, lambda size: None)
    box = Box.create(medium, new_header(1, 1), KEY)
    for row in range(4):
        box.append(bytes([row]) * 40)
    assert box.take(3) is not None
    size = (len(content) - FIRST_FRAME) // 4
    del content[FIRST_FRAME + rows_left * size :]
    for row in range(rows_left):
        content[FIRST_FRAME + row * size + 12] ^= 1
    head = read_head(read)
    assert head is not None
    adopted = Box.adopt(medium, head, KEY)
    assert adopted is not None
    assert adopted.take(3) is None and adopted.count == 0


@pytest.mark.once
@pytest.mark.fault(12, 31)
@pytest.mark.parametrize("body", ["{", "[]", "7", '{"epoch": 1e400}', "[" * 5000])
def test_r5_a_notice_that_is_damaged_on_disk_raises_nothing_and_loses_no_other(make, tmp_path, service, body) -> None:
    connect = make()
    connect.request_permission(user_action=True)
    service.fail(503, times=None)
    connect.withdraw()
    connect.request_permission(user_action=True)
    connect.withdraw()
    connect.close()
    database = sqlite3.connect(_leaf(tmp_path) / "ledger.db")
    with database:
        database.execute("UPDATE notice SET body = ? WHERE epoch = 1", (body,))
    database.close()
    service.clear_failures()
    again = make()
    assert again.flush().notices_pending >= 1  # and it raises nothing
    if not service.withdrawals:  # the damage was seen, and locked the state: reset leads out, with what is still whole
        again.reset()
        make().flush()
    assert [told["epoch"] for told in service.withdrawals] == [2]


@pytest.mark.fault(49)
def test_r10_a_date_without_a_zone_is_utc_wherever_the_device_is(monkeypatch) -> None:
    import time

    from kalos_connect_sdk.transport.answer import http_date_s

    said = []
    for zone in ("UTC", "Asia/Shanghai"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        said.append(http_date_s("Wed, 21 Oct 2027 07:28:00 -0000"))
    monkeypatch.undo()
    time.tzset()
    assert said[0] == said[1] == 1824103680.0
