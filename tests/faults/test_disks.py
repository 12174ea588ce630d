"""R5: disks that are full, out of inodes, read-only or limited, for real. Withdrawing works; all else fails closed."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_disks import Disk, ext4, tmpfs

from kalos_connect_sdk import (
    Connect,
    ConsentRequired,
    Duration,
    PermissionState,
    Position,
    PromptAnswer,
    Reason,
)
from kalos_connect_sdk.storage.datakeys import DataKeys

WEEK = PromptAnswer.allow(Duration.days(7))
HERE = (60.17, 24.94)
pytestmark = pytest.mark.once


@pytest.fixture
def full_tmpfs(tmp_path: Path) -> Iterator[Disk]:
    with tmpfs(tmp_path / "state", "size=512k") as disk:
        yield disk


@pytest.fixture
def few_inodes(tmp_path: Path) -> Iterator[Disk]:
    with tmpfs(tmp_path / "state", "size=4m,nr_inodes=40") as disk:
        yield disk


@pytest.fixture
def on_ext4(tmp_path: Path) -> Iterator[Disk]:
    with ext4(tmp_path / "state", tmp_path / "image") as disk:
        yield disk


@pytest.fixture(params=["full_tmpfs", "on_ext4"])
def disk(request: pytest.FixtureRequest) -> Disk:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Disk)
    return found


def granted(connect: Connect, positions: int = 5) -> Connect:
    assert connect.request_permission(user_action=True).granted
    for i in range(positions):
        assert connect.submit(Position(HERE[0] + i / 1000, HERE[1])).accepted
    return connect


def key_is_gone(connect: Connect) -> bool:
    ram = connect._opened().state.keys.read()
    return ram is None or ram.key is None


def boxes(connect: Connect) -> list[Path]:
    return list((connect.state_path / "outbox").glob("*"))


def kinds(connect: Connect) -> list[tuple[str, int, bool]]:
    """(kind, epoch, authenticated) of every event."""
    import json

    engine = connect._opened()
    engine.keeper.call(lambda: engine.works)
    rows = engine.keeper.call(engine.state.ledger.events)
    bodies = [json.loads(row.body) for row in rows]
    return [(body["kind"], body["epoch"], row.mac is not None) for body, row in zip(bodies, rows, strict=True)]


def submit_until_refused(connect: Connect) -> Reason:
    for i in range(20_000):
        submission = connect.submit(Position(HERE[0], HERE[1] + i / 100_000))
        if not submission.accepted:
            return submission.reason
    raise AssertionError("there is room without end")


@pytest.mark.fault(6, 5)
def test_r5_on_a_full_disk_a_withdrawal_is_complete_and_the_next_open_records_it(
    disk: Disk, make: Callable[..., Connect], service: Any
) -> None:
    connect = granted(make(WEEK))
    disk.fill()
    assert submit_until_refused(connect) is Reason.OUTBOX_UNAVAILABLE, "and nothing is half buffered"
    report = connect.withdraw()
    assert report.complete and report.durable and report.dropped >= 5
    assert report.remaining == ("the ledger entry; the tombstone stands for it",), "it says what is not yet recorded"
    assert key_is_gone(connect) and boxes(connect) == []
    assert connect.permission().reason is Reason.WITHDRAWN
    assert service.wait_for(lambda s: s.withdrawals), "the service is told all the same"
    refused = connect.request_permission(user_action=True)
    assert (refused.state, refused.reason) == (PermissionState.UNAVAILABLE, Reason.STATE_UNREADABLE)
    connect.close()
    disk.empty()

    again = make(WEEK)
    assert again.permission().reason is Reason.WITHDRAWN
    assert [event for event in kinds(again) if event[0] in ("withdraw", "erased")] == [
        ("withdraw", 1, True),
        ("erased", 1, True),
    ], "countersigned"
    assert again.wait_for_notices(10) and len(service.withdrawals) == 1
    assert granted(again).permission().epoch == 2
    assert again.flush().sent == 5


@pytest.mark.fault(7)
def test_r5_without_an_inode_a_withdrawal_is_complete(
    few_inodes: Disk, make: Callable[..., Connect], service: Any
) -> None:
    connect = granted(make(WEEK))
    few_inodes.use_up_inodes()
    report = connect.withdraw()
    assert report.complete and report.durable and report.remaining == () and report.dropped == 5
    assert key_is_gone(connect) and boxes(connect) == []
    assert service.wait_for(lambda s: s.withdrawals)
    few_inodes.empty()
    assert ("withdraw", 1, True) in kinds(make(WEEK))


@pytest.mark.fault(7)
def test_r1_without_an_inode_nothing_is_granted_and_nothing_raised(
    few_inodes: Disk, make: Callable[..., Connect]
) -> None:
    connect = make(WEEK)
    few_inodes.use_up_inodes()
    assert connect.permission().state is PermissionState.UNAVAILABLE
    assert connect.request_permission(user_action=True).reason is Reason.STATE_UNREADABLE
    with pytest.raises(ConsentRequired):
        connect.submit(Position(*HERE))
    assert not connect.withdraw().durable
    few_inodes.empty()
    assert connect.permission().reason is Reason.NOT_ASKED
    few_inodes.use_up_inodes()  # the lock of a prompt and the box are files too
    refused = connect.request_permission(user_action=True)
    assert (refused.state, refused.reason) == (PermissionState.UNAVAILABLE, Reason.STATE_UNREADABLE)
    few_inodes.empty()
    assert connect.request_permission(user_action=True).granted
    few_inodes.use_up_inodes()
    assert connect.submit(Position(*HERE)).reason is Reason.OUTBOX_UNAVAILABLE
    few_inodes.empty()
    assert connect.submit(Position(HERE[0], 25.0)).accepted


@pytest.mark.fault(8)
def test_r3_on_a_disk_that_turns_read_only_sending_stops_and_the_report_says_what_is_not(
    on_ext4: Disk, make: Callable[..., Connect], service: Any
) -> None:
    connect, other = granted(make(WEEK)), make(WEEK)
    for i in range(3):
        assert other.submit(Position(HERE[0], HERE[1] + i)).accepted
    on_ext4.remount("abort")
    report = connect.withdraw()
    assert not report.durable and not report.complete
    assert any("ledger" in item for item in report.remaining)
    assert any("EROFS" in item and "its key is gone" in item for item in report.remaining)
    assert key_is_gone(connect), "what is buffered cannot be removed, and cannot be read any more"
    assert connect.permission().reason is Reason.WITHDRAWN
    with pytest.raises(ConsentRequired):
        connect.submit(Position(HERE[0], 26.0))
    assert connect.flush().sent == 0
    assert other.flush().sent == 0, "nor does another program send what it had buffered"
    assert service.positions == []
    assert service.wait_for(lambda s: s.withdrawals), "the service is told, which fences what would come late"
    refused = connect.request_permission(user_action=True)
    assert (refused.state, refused.reason) == (PermissionState.UNAVAILABLE, Reason.STATE_UNREADABLE)
    assert not connect.withdraw().durable, "nor the second time"


GRANT = """
import sys
from kalos_connect_sdk import AssertedParked, Config, Connect, Duration, PromptAnswer
from kalos_connect_sdk.testing import ScriptedPrompter
state, vault, url = sys.argv[1:]
with Connect("com.example.test", config=Config(state_dir=state, vault=vault, service_url=url),
             vehicle=AssertedParked("a test bench"),
             prompter=ScriptedPrompter(PromptAnswer.allow(Duration.days(7)))) as connect:
    print(connect.request_permission(user_action=True).granted)
"""


@pytest.mark.fault(8)
def test_r1_a_state_that_is_read_only_from_the_start_answers_no(
    full_tmpfs: Disk, make: Callable[..., Connect], service: Any, tmp_path: Path
) -> None:
    grant = [sys.executable, "-c", GRANT, str(tmp_path / "state"), f"file:{tmp_path / 'vault'}", service.url]
    assert subprocess.run(grant, capture_output=True, text=True).stdout == "True\n"
    full_tmpfs.remount("ro")
    again = make(WEEK)
    assert again.permission().reason is Reason.STATE_UNREADABLE
    assert again.request_permission(user_action=True).state is PermissionState.UNAVAILABLE
    with pytest.raises(ConsentRequired):
        again.submit(Position(*HERE))
    assert again.flush().sent == 0 and service.positions == []
    report = again.withdraw()
    assert not report.complete and not report.durable
    assert any("EROFS" in item for item in report.remaining)
    full_tmpfs.remount("rw")
    report = again.withdraw()
    assert report.complete and report.durable


@contextmanager
def limited(kind: int, soft: int) -> Iterator[None]:
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


@contextmanager
def without_descriptors() -> Iterator[None]:
    held = [os.open("/dev/null", os.O_RDONLY)]
    with limited(resource.RLIMIT_NOFILE, max(int(fd) for fd in os.listdir("/proc/self/fd")) + 8):
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        try:
            yield
        finally:
            for fd in held:
                os.close(fd)


@pytest.mark.fault(9)
def test_r5_at_the_file_size_limit_nothing_is_granted_buffered_or_believed(make: Callable[..., Connect]) -> None:
    connect = make(WEEK, settings={"service_url": None})
    assert connect.permission().reason is Reason.NOT_ASKED
    with limited(resource.RLIMIT_FSIZE, 1):
        assert connect.request_permission(user_action=True).reason is Reason.STATE_UNREADABLE
        assert not connect.permission().granted
    assert connect.request_permission(user_action=True).granted
    with limited(resource.RLIMIT_FSIZE, 1):
        assert connect.submit(Position(*HERE)).reason is Reason.OUTBOX_UNAVAILABLE
    assert granted(connect)
    with limited(resource.RLIMIT_FSIZE, 1):
        report = connect.withdraw()
        assert report.complete and not report.durable and report.remaining
        assert key_is_gone(connect) and boxes(connect) == []
    assert not connect.permission().granted
    connect.close()
    assert ("withdraw", 1, True) in kinds(make(WEEK, settings={"service_url": None}))


@pytest.mark.fault(9)
def test_r5_without_descriptors_everything_fails_closed(make: Callable[..., Connect]) -> None:
    connect = make(WEEK, settings={"service_url": None})
    assert connect.permission().reason is Reason.NOT_ASKED
    with without_descriptors():
        assert connect.request_permission(user_action=True).reason is Reason.STATE_UNREADABLE
    assert connect.request_permission(user_action=True).granted
    with without_descriptors():
        assert connect.submit(Position(*HERE)).reason is Reason.OUTBOX_UNAVAILABLE
    assert granted(connect)
    with without_descriptors():
        report = connect.withdraw()
        assert not report.complete and report.remaining, "nobody can be asked whether they are sending"
        assert not connect.permission().granted
        with pytest.raises(ConsentRequired):
            connect.submit(Position(HERE[0], 25.0))
    assert connect.withdraw().complete
    assert key_is_gone(connect) and boxes(connect) == []


# -- where the data keys live --------------------------------------------------------------------


@pytest.mark.fault(9)
def test_r4_with_the_tmpfs_of_the_keys_full_nothing_is_buffered_and_consent_stands(
    tmp_path: Path, make: Callable[..., Connect], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kalos_connect_sdk.storage.keyplaces import KernelPlace

    with tmpfs(tmp_path / "run", "size=64k") as disk:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(disk.point))
        monkeypatch.setattr(KernelPlace, "usable", lambda self: False)  # a container that forbids it
        connect = make(WEEK, settings={"service_url": None})
        connect.permission()
        disk.fill()
        assert connect.request_permission(user_action=True).granted, "consent does not depend on a place for keys"
        assert connect.submit(Position(*HERE)).reason is Reason.OUTBOX_UNAVAILABLE
        disk.empty()
        assert connect.submit(Position(HERE[0], 25.0)).accepted
        disk.fill()
        report = connect.withdraw()
        assert report.complete and key_is_gone(connect), "a key is overwritten in its place"
        connect.close()
        DataKeys.choose(connect._opened(even_closed=True).state.directory, f"tmpfs:{disk.point}/kalos-connect").remove()
        connect._engine.close()
