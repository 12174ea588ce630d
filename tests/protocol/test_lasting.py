"""R5, R7, R8, R13: what lasts, what must not come back, and clocks that lie."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kalos_connect_sdk import (
    ConsentRequired,
    Duration,
    PermissionState,
    Position,
    Precision,
    PromptAnswer,
    Reason,
    VaultUnavailable,
)
from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.testing import FakeClock, FakeVehicle, MemoryVault

NOON = datetime(2027, 5, 4, 12, tzinfo=UTC)
WEEK = PromptAnswer.allow(Duration.days(7))


def leaf(tmp_path: Path) -> Path:
    return next((tmp_path / "state" / "com.example.test").iterdir())


# -- R7: never backwards -------------------------------------------------------------------------


@pytest.mark.fault(14)
def test_r7_a_directory_restored_from_before_a_withdrawal_is_refused(make, tmp_path):
    connect = make(WEEK)
    connect.request_permission(user_action=True)
    connect.close()
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    connect = make()
    connect.withdraw()
    connect.close()
    shutil.rmtree(tmp_path / "state")
    shutil.copytree(tmp_path / "copy", tmp_path / "state")
    again = make()
    permission = again.permission()
    assert permission.state is PermissionState.UNAVAILABLE and permission.reason is Reason.STATE_ROLLED_BACK
    with pytest.raises(ConsentRequired):
        again.submit(Position(60.0, 24.0))
    assert again.request_permission(user_action=True).reason is Reason.STATE_ROLLED_BACK


@pytest.mark.fault(15)
def test_r7_state_and_vault_restored_together_are_refused_within_one_boot(make, tmp_path):
    connect = make(WEEK)
    connect.request_permission(user_action=True)
    connect.close()
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    shutil.copy(tmp_path / "vault", tmp_path / "vault-copy")
    connect = make()
    connect.withdraw()
    connect.close()
    shutil.rmtree(tmp_path / "state")
    shutil.copytree(tmp_path / "copy", tmp_path / "state")
    shutil.copy(tmp_path / "vault-copy", tmp_path / "vault")
    assert make().permission().reason is Reason.STATE_ROLLED_BACK


def test_r7_a_directory_restored_from_before_a_downgrade_is_refused_after_a_reboot_too(make, tmp_path):
    connect = make(WEEK)
    connect.request_permission(user_action=True)
    path = connect.state_path
    connect.close()
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    connect = make()
    assert connect.request_permission(precision=Precision.APPROXIMATE).precision is Precision.APPROXIMATE
    connect.close()
    DataKeys.choose(StateDirectory.open("com.example.test", None, str(tmp_path / "state"), create=False), None).remove()
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "copy" / path.parent.name / path.name, path)
    assert make().permission().reason is Reason.STATE_ROLLED_BACK


def test_r7_a_missing_state_directory_is_no_rollback_and_the_epoch_goes_on(make, tmp_path):
    connect = make()
    connect.request_permission(user_action=True)
    connect.withdraw()
    connect.request_permission(user_action=True)
    connect.withdraw()
    connect.close()
    shutil.rmtree(tmp_path / "state")
    again = make()
    assert again.permission().reason is Reason.NOT_ASKED
    assert again.request_permission(user_action=True).epoch > 2


@pytest.mark.fault(14)
def test_r8_reset_leads_out_of_a_rolled_back_state(make, tmp_path, service):
    connect = make(WEEK)
    connect.request_permission(user_action=True)
    connect.close()
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    connect = make()
    connect.withdraw()
    connect.close()
    shutil.rmtree(tmp_path / "state")
    shutil.copytree(tmp_path / "copy", tmp_path / "state")
    again = make()
    again.reset()
    assert again.permission().reason is Reason.NOT_ASKED
    permission = again.request_permission(user_action=True)
    assert permission.granted and permission.epoch > 1
    assert again.submit(Position(60.0, 24.0)).accepted
    assert again.flush().sent == 1
    assert list(leaf(tmp_path).glob("ledger*")), "the old ledger is kept aside"


# -- R8: tamper-evident --------------------------------------------------------------------------


def edit(tmp_path: Path, change) -> None:
    with sqlite3.connect(leaf(tmp_path) / "ledger.db") as database:
        change(database)
    database.close()


def table_and_body(database) -> tuple[str, str]:
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall():
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        if "body" in columns and "prev" in columns:
            return table, "body"
    raise AssertionError("no table of events")


@pytest.mark.fault(13)
def test_r8_an_edited_event_locks_the_state_and_withdrawing_still_works(make, tmp_path, service):
    connect = make(WEEK)
    connect.request_permission(user_action=True)
    connect.close()

    def lengthen(database) -> None:
        table, column = table_and_body(database)
        for rowid, body in database.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
            text = bytes(body).replace(b"7-days", b"9-days") if isinstance(body, bytes) else body.replace("7-d", "9-d")
            database.execute(f"UPDATE {table} SET {column}=? WHERE rowid=?", (text, rowid))

    edit(tmp_path, lengthen)
    again = make()
    assert again.permission().reason is Reason.STATE_UNREADABLE
    assert again.request_permission(user_action=True).state is PermissionState.UNAVAILABLE
    report = again.withdraw()
    assert report.complete and report.durable
    assert again.wait_for_notices(5)
    assert [w["epoch"] for w in service.withdrawals] == [1]
    again.reset()
    assert again.request_permission(user_action=True).epoch == 2


@pytest.mark.fault(13)
def test_r8_a_forged_grant_is_not_believed(make, tmp_path):
    from kalos_connect_sdk.core.canonical import canonical
    from kalos_connect_sdk.core.chain import link

    connect = make(WEEK)
    connect.request_permission(user_action=True)
    connect.withdraw()
    connect.close()

    def forge(database) -> None:
        table, _ = table_and_body(database)
        rows = database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
        names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        grant = next(
            dict(zip(names, row, strict=True)) for row in rows if b'"allow"' in bytes(row[names.index("body")])
        )
        last = dict(zip(names, rows[-1], strict=True))
        body = json.loads(bytes(grant["body"]))
        body["epoch"] = 2
        raw = canonical(body)
        forged = {**grant, "seq": last["seq"] + 1, "body": raw, "prev": last["hash"], "hash": link(last["hash"], raw)}
        database.execute(
            f"INSERT INTO {table} ({','.join(forged)}) VALUES ({','.join('?' * len(forged))})", tuple(forged.values())
        )

    edit(tmp_path, forge)
    permission = make().permission()
    assert permission.state is PermissionState.UNAVAILABLE and not permission.granted


@pytest.mark.fault(12)
@pytest.mark.parametrize("name", ["ledger.db", "page"])
def test_r8_a_damaged_file_is_kept_and_reset_leads_out(make, tmp_path, name):
    connect = make(WEEK)
    connect.request_permission(user_action=True)
    connect.close()
    path = leaf(tmp_path) / name
    data = bytearray(path.read_bytes())
    data[0] ^= 0xFF
    for at in range(300, min(len(data), 4000), 7):
        data[at] ^= 0x5A
    path.write_bytes(data)
    again = make()
    assert again.permission().reason is Reason.STATE_UNREADABLE
    assert path.read_bytes() == bytes(data), "kept for inspection"
    again.withdraw()
    again.reset()
    assert again.request_permission(user_action=True).granted


def test_r8_another_vault_does_not_open_the_gate(make, tmp_path):
    connect = make(WEEK)
    connect.request_permission(user_action=True)
    connect.close()
    (tmp_path / "vault").unlink()
    assert make().permission().state is PermissionState.UNAVAILABLE


def test_r9_a_locked_vault_is_unavailable_and_withdrawing_needs_none(make, service):
    vault = MemoryVault(persistent=True)
    connect = make(WEEK, vault=vault)
    connect.request_permission(user_action=True)
    connect.close()
    vault.available = False
    again = make(vault=vault)
    permission = again.permission()
    assert permission.state is PermissionState.UNAVAILABLE and permission.reason is Reason.VAULT_UNAVAILABLE
    with pytest.raises(VaultUnavailable):
        again.receipts()
    assert again.withdraw().complete
    assert again.wait_for_notices(5) and len(service.withdrawals) == 1
    vault.available = True
    assert again.request_permission(user_action=True).epoch == 2


# -- R13: clocks lie -----------------------------------------------------------------------------


def test_r13_a_week_ends_after_a_week(make):
    clock = FakeClock(NOON)
    connect = make(WEEK, clock=clock)
    assert connect.request_permission(user_action=True).expires_at == NOON + timedelta(days=7)
    clock.advance(7 * 86_400 - 5)
    assert connect.permission().granted
    clock.advance(10)
    assert connect.permission().reason is Reason.EXPIRED
    with pytest.raises(ConsentRequired):
        connect.submit(Position(60.0, 24.0))


def test_r13_turning_the_clock_back_never_lengthens_a_grant(make):
    clock = FakeClock(NOON)
    connect = make(WEEK, clock=clock)
    connect.request_permission(user_action=True)
    clock.advance(6 * 86_400)
    clock.set_wall(NOON)
    clock.advance(86_400 + 10)
    assert not connect.permission().granted


def test_r13_a_jump_to_2099_neither_expires_nor_poisons(make):
    clock = FakeClock(NOON)
    connect = make(WEEK, clock=clock)
    connect.request_permission(user_action=True)
    clock.set_wall(datetime(2099, 1, 1, tzinfo=UTC))
    assert connect.permission().granted
    clock.set_wall(NOON + timedelta(seconds=1))
    assert connect.permission().granted


def test_r13_a_boot_in_1970_is_not_trusted_with_a_grant_that_can_expire(make):
    clock = FakeClock(NOON)
    connect = make(WEEK, clock=clock)
    connect.request_permission(user_action=True)
    connect.close()
    clock.reboot(datetime(1970, 1, 1, tzinfo=UTC))
    assert make(clock=clock).permission().reason is Reason.CLOCK_UNTRUSTED


def test_r13_this_drive_ends_with_the_boot_and_after_twelve_hours(make):
    clock = FakeClock(NOON)
    connect = make(clock=clock)
    assert connect.request_permission(user_action=True).granted
    clock.advance(12 * 3600 - 5)
    assert connect.permission().granted
    clock.advance(10)
    assert connect.permission().reason is Reason.EXPIRED
    assert connect.request_permission(user_action=True).granted
    clock.reboot()
    assert not connect.permission().granted


def test_r13_this_drive_ends_with_the_vehicles_drive(make):
    vehicle = FakeVehicle()
    vehicle.start_drive("one")
    connect = make(vehicle=vehicle)
    assert connect.request_permission(user_action=True).granted
    vehicle.start_drive("two")
    assert connect.permission().reason is Reason.EXPIRED


def test_r13_an_expiry_runs_the_same_drop_as_a_withdrawal(make, service, tmp_path):
    clock = FakeClock(NOON)
    connect = make(clock=clock)
    connect.request_permission(user_action=True)
    for i in range(5):
        assert connect.submit(Position(60.0, 24.0 + i)).accepted
    clock.advance(13 * 3600)
    assert service.wait_for(lambda s: s.withdrawals), "the service is told"
    assert not list((leaf(tmp_path) / "outbox").glob("*.box"))
    assert connect.request_permission(user_action=True).granted
    assert connect.flush().sent == 0


def test_r9_a_second_run_without_a_vault_is_another_record_and_is_heard(tmp_path, service):
    """Lost identity: the service knows the old record by the old key, so the new grant needs a new pseudonym."""
    script = """
import sys
from kalos_connect_sdk import AssertedParked, Config, Connect, Position, PromptAnswer
from kalos_connect_sdk.testing import ScriptedPrompter
connect = Connect("com.example.test", prompter=ScriptedPrompter(PromptAnswer.allow()),
    vehicle=AssertedParked("a test bench"), config=Config(state_dir=sys.argv[1], vault="memory", service_url=sys.argv[2]))
permission = connect.request_permission(user_action=True)
connect.submit(Position(60.0, 24.0))
sent = connect.flush().sent
if sys.argv[3] == "withdraw":
    connect.withdraw()
print(permission.granted, sent, connect.wait_for_notices(10), len(connect.receipts()))
"""

    def run(last: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "s"), service.url, last],
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout.strip()

    assert run("leave") == "True 1 True 1"
    assert run("leave") == "True 1 True 2", "the first grant ended with its run, and the service heard of it"
    assert run("withdraw") == "True 1 True 3"
    assert len(service.consents) == 3
    assert len(service.withdrawals) == 3
