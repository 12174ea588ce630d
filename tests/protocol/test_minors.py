"""R17: a profile marked as a minor, by the app, the user or the service; the mark, the end, the evidence."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading

import pytest

from kalos_connect_sdk import (
    AsyncConnect,
    ConsentRequired,
    DeletionReason,
    MarkedBy,
    PermissionState,
    Position,
    PromptAnswer,
    Purpose,
    Reason,
    RequestKind,
    RequestStatus,
    StateError,
)
from kalos_connect_sdk.testing import ScriptedPrompter

FORM = "form 2027-114"
NEEDS = (PermissionState.DENIED, Reason.GUARDIAN_REQUIRED)


def seen(permission):
    return permission.state, permission.reason


@pytest.fixture
def granted(make):
    connect = make()
    assert connect.request_permission(user_action=True).granted
    return connect


def endings(connect):
    return [
        (event["kind"], event["cause"], event["reason"])
        for event in connect.privacy.export()["history"]
        if event["kind"] in ("revoke", "withdraw")
    ]


@pytest.mark.parametrize("by", MarkedBy)
def test_r17_marked_before_any_grant_nobody_is_asked(make, by):
    prompter = ScriptedPrompter(PromptAnswer.allow())
    connect = make(prompter=prompter)
    assert connect.privacy.mark_as_minor(by) is None
    for purpose in Purpose:
        assert seen(connect.permission(purpose)) == NEEDS
        assert seen(connect.request_permission(purpose, user_action=True)) == NEEDS
    assert prompter.asked == 0
    assert connect.privacy.requests() == []
    with pytest.raises(ConsentRequired) as refused:
        connect.submit(here())
    assert refused.value.reason is Reason.GUARDIAN_REQUIRED


def test_r17_marked_later_revokes_drops_and_requests_deletion(granted, service):
    granted.submit(here())
    assert granted.flush().sent == 1
    granted.submit(Position(60.2, 24.9))
    request = granted.privacy.mark_as_minor(MarkedBy.APP)
    assert (request.kind, request.reason) == (RequestKind.DELETION, DeletionReason.NO_CONSENT)
    assert granted.privacy.export()["buffered_positions"] == 0
    assert seen(granted.permission()) == NEEDS
    assert endings(granted) == [("revoke", "profile", "guardian-required")]
    assert [known.status for known in granted.privacy.requests()] == [RequestStatus.COMPLETED]
    assert [consent["kept"] for consent in service.consents.values()] == [0]
    assert granted.wait_for_notices()
    assert granted.flush().sent == 0 and len(service.positions) == 1


def test_r17_marking_twice_is_once(granted):
    granted.privacy.mark_as_minor(MarkedBy.USER)
    assert granted.privacy.mark_as_minor(MarkedBy.APP) is None
    assert len(granted.privacy.requests()) == 1
    marks = [event for event in granted.privacy.export()["history"] if event["kind"] == "minor"]
    assert [(mark["purpose"], mark["cause"]) for mark in marks] == [(purpose.value, "user") for purpose in Purpose]


def test_r17_evidence_of_a_guardian_opens_the_way_and_stands_in_the_receipt(make, service):
    connect = make()
    connect.privacy.mark_as_minor(MarkedBy.USER)
    assert connect.request_permission(user_action=True, guardian=FORM).granted
    connect.submit(here())
    assert connect.flush().sent == 1
    [given] = connect.receipts()[0]["dpv:hasConsentStatus"]
    assert given["kc:guardianEvidence"] == FORM
    assert given["dpv:isIndicatedBy"] == "dpv:GuardianOfDataSubject"
    [kept] = service.consents.values()
    assert kept["record"]["dpv:hasConsentStatus"][0]["kc:guardianEvidence"] == FORM
    assert connect.withdraw().complete
    assert seen(connect.request_permission(user_action=True)) == NEEDS  # each grant needs it anew


def test_r17_a_grant_with_evidence_stays_when_marked_later(make):
    connect = make()
    before = connect.request_permission(user_action=True, guardian=FORM)
    assert before.granted
    assert connect.privacy.mark_as_minor(MarkedBy.APP) is None
    assert connect.permission().epoch == before.epoch and connect.permission().granted
    assert connect.privacy.requests() == []


def test_r17_the_mark_is_seen_by_every_process_and_by_the_next(granted, make):
    other = make()
    news: list = []
    told = threading.Event()

    def hear(permission):
        news.append(permission)
        if permission.reason is Reason.GUARDIAN_REQUIRED:
            told.set()

    other.on_change(hear)
    granted.privacy.mark_as_minor(MarkedBy.APP)
    assert told.wait(10)
    assert seen(other.permission()) == NEEDS
    granted.close()
    other.close()
    assert seen(make().permission()) == NEEDS


def test_r17_a_reset_keeps_the_mark(granted):
    granted.privacy.mark_as_minor(MarkedBy.USER)
    granted.reset()
    assert seen(granted.permission()) == NEEDS
    granted.reset()
    assert seen(granted.request_permission(user_action=True)) == NEEDS
    assert [event["cause"] for event in granted.privacy.export()["history"]] == ["subject"] * 2 + ["user"] * 2


def test_r17_marked_while_the_prompt_is_open_an_allow_is_void(make):
    opened, go_on = threading.Event(), threading.Event()

    class Waiting:
        driver_facing = True

        def ask(self, request):
            opened.set()
            go_on.wait(30)
            return PromptAnswer.allow()

    connect = make(prompter=Waiting())
    future = connect.request_permission_future(user_action=True)
    assert opened.wait(10)
    connect.privacy.mark_as_minor(MarkedBy.APP)
    go_on.set()
    assert seen(future.result(30)) == NEEDS
    assert connect.receipts() == []


def test_r17_killed_between_the_mark_and_the_end_the_next_opening_ends_it(make, tmp_path, service):
    program = """
import os, sys
from kalos_connect_sdk import *
from kalos_connect_sdk.protocol.ending import Ending
from kalos_connect_sdk.testing import ScriptedPrompter
connect = Connect("com.example.test", vehicle=AssertedParked("a bench"), prompter=ScriptedPrompter(PromptAnswer.allow()),
    config=Config(service_url=sys.argv[2], state_dir=sys.argv[1] + "/state", vault="file:" + sys.argv[1] + "/vault"))
assert connect.request_permission(user_action=True).granted
Ending.end = lambda *_, **__: os._exit(9)
connect.privacy.mark_as_minor(MarkedBy.APP)
"""
    service.fail(503, times=None, path="/v1/requests")
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path), service.url], check=False)
    assert done.returncode == 9
    service.clear_failures()
    connect = make()
    assert seen(connect.permission()) == NEEDS  # at once: the mark is in the history
    with pytest.raises(ConsentRequired):
        connect.submit(here())
    assert service.wait_for(lambda there: there.withdrawals)  # and the grant ends, as by a withdrawal
    assert endings(connect) == [("revoke", "profile", "guardian-required")]
    assert [known.reason for known in connect.privacy.requests()] == [DeletionReason.NO_CONSENT]


def here() -> Position:
    """A position of now: a suite may run for longer than one is worth sending."""
    return Position(60.169857, 24.938379)


def test_r17_the_service_marks_a_profile_at_the_next_position(granted, service):
    granted.submit(here())
    assert granted.flush().sent == 1
    service.mark_minor()
    granted.submit(Position(60.2, 24.9))
    assert granted.flush().sent == 0
    assert seen(granted.permission()) == NEEDS
    marks = [event["cause"] for event in granted.privacy.export()["history"] if event["kind"] == "minor"]
    assert marks == ["service"] * len(Purpose)
    assert [known.kind for known in granted.privacy.requests()] == [RequestKind.DELETION]
    assert granted.request_permission(user_action=True, guardian=FORM).granted
    granted.submit(Position(60.3, 24.8))
    assert granted.flush().sent == 1


def test_r17_the_service_refuses_to_register_without_evidence(make, service):
    connect = make()
    service.fail(403, problem="guardian-required", path="/v1/consents/")
    answer = connect.request_permission(user_action=True)
    assert not answer.granted or seen(connect.permission()) == NEEDS
    assert seen(connect.permission()) == NEEDS
    assert service.positions == []


def test_r17_a_service_that_does_not_take_the_evidence_ends_the_grant(make, service):
    connect = make()
    assert connect.request_permission(user_action=True, guardian=FORM).granted
    service.fail(403, problem="guardian-required", path="/v1/positions")
    connect.submit(here())
    assert connect.flush().sent == 0
    assert seen(connect.permission()) == (PermissionState.BLOCKED, Reason.REVOKED)
    assert seen(connect.request_permission(user_action=True)) == NEEDS


@pytest.mark.parametrize("guardian", ["", "  ", "x" * 201, "two\nlines", 7])
def test_r17_a_reference_is_short_and_printable(make, guardian):
    connect = make()
    for ask in (connect.request_permission, connect.request_permission_future, connect.ask_when_parked):
        with pytest.raises(ValueError) as refused:
            ask(guardian=guardian)
        assert len(str(guardian)) < 3 or str(guardian) not in str(refused.value)
    with pytest.raises(TypeError):
        connect.privacy.mark_as_minor("app")


def test_r17_what_cannot_be_recorded_is_told_and_nothing_is_granted(granted, tmp_path):
    [ledger] = (tmp_path / "state").rglob("ledger.db")
    ledger.write_bytes(b"not a ledger any more" * 400)
    with pytest.raises(StateError):
        granted.privacy.mark_as_minor(MarkedBy.APP)
    assert not granted.permission().granted


def test_r17_the_same_for_asyncio(make):
    connect = make()

    async def story():
        facade = AsyncConnect(
            "com.example.test",
            config=connect.config,
            vehicle=connect._parts.vehicle,
            prompter=ScriptedPrompter(PromptAnswer.allow()),
        )
        async with facade as same:
            assert await same.privacy.mark_as_minor(MarkedBy.USER) is None
            assert seen(await same.request_permission(user_action=True)) == NEEDS
            assert (await same.ask_when_parked(guardian=FORM)).granted
            assert (await same.request_permission(guardian=FORM)).granted

    asyncio.run(story())


def test_r8_an_edited_history_does_not_unmark(granted, tmp_path, make):
    granted.privacy.mark_as_minor(MarkedBy.APP)
    granted.close()
    [path] = (tmp_path / "state").rglob("ledger.db")
    with sqlite3.connect(path) as db:
        [table] = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'") if "event" in name
        ]
        body = db.execute(f"SELECT seq, body FROM {table}").fetchall()
        seq = next(number for number, raw in body if b'"minor"' in bytes(raw))
        db.execute(f"DELETE FROM {table} WHERE seq = ?", (seq,))
    db.close()
    connect = make()
    assert connect.permission().state is PermissionState.UNAVAILABLE
    connect.reset()
    assert seen(connect.permission()) == NEEDS  # the other mark still says so
