"""The notice that the service publishes, and the one this app shows: six kinds of change, end to end (R14)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from kalos_connect_sdk import ConsentRequired, PermissionState, Position, PromptAnswer, Reason
from kalos_connect_sdk.core.notices.default import DEFAULT_NOTICE
from kalos_connect_sdk.core.notices.hashing import fields_sha256
from kalos_connect_sdk.model.consent import Duration
from kalos_connect_sdk.model.notice import Notice
from kalos_connect_sdk.testing import FakeClock, ScriptedPrompter, ServiceEmulator

NOON = datetime(2027, 5, 4, 12, tzinfo=UTC)
WEEK = PromptAnswer.allow(Duration.days(7))
HERE = (60.1699, 24.9384)
LATER: dict[str, Any] = {"version": "2027-05-01.1", "effective": date(2027, 5, 1)}
OWNER = DEFAULT_NOTICE.controller


def later(**changed: Any) -> Notice:
    return replace(DEFAULT_NOTICE, **{**LATER, **changed})


ASKED = {
    "(1) purpose": ({"purpose": "traffic-research"}, Reason.NOTICE_CHANGED),
    "(1) data": ({"data": (*DEFAULT_NOTICE.data, "contacts")}, Reason.NOTICE_CHANGED),
    "(1) method": ({"method": ("collect", "transmit", "use", "profile")}, Reason.NOTICE_CHANGED),
    "(2) owner": ({"controller": replace(OWNER, id="another-owner", name="Another")}, Reason.CONTROLLER_CHANGED),
    "(3) recipients": ({"recipients": (*DEFAULT_NOTICE.recipients, "A partner")}, Reason.NOTICE_CHANGED),
}
TOLD = {
    "(4) rights": {"rights": ("access, by telephone",)},
    "(5) contact": {"controller": replace(OWNER, contact="privacy@example.com", department="Privacy")},
    "(6) assessment": {"assessment": "PIA 2027-2"},
    "wording": {},
}


class Run:
    """A later run of an app with a grant, whose service publishes something new meanwhile."""

    def __init__(self, make: Any, service: ServiceEmulator, **options: Any) -> None:
        self.clock = FakeClock(NOON)
        self.options = {"clock": self.clock, **options}
        self.make, self.service = make, service
        first = make(WEEK, **self.options)
        assert first.request_permission(user_action=True).granted
        assert first.submit(Position(*HERE, time=self.clock.now())).accepted
        first._opened().courier.worker.call(lambda: None, 30)
        first.close()
        self.connect = make(WEEK, **self.options)
        assert self.connect.permission().granted

    def hear(self) -> None:
        """Time passes, and the service is asked how the grant stands, and for its notice."""
        works = self.connect._opened().works
        seen = len(self.service.requests)
        while works.polling._plan is None:
            works.watcher.wake()
        self.clock.advance(67)
        assert self.service.wait_for(lambda s: any("/notice" in r["path"] for r in s.requests[seen:]), 30)
        works.courier.worker.call(lambda: None, 30)

    def notice_row(self) -> dict[str, Any] | None:
        return next((row for row in self.connect.doctor() if row["name"] == "notice"), None)


@pytest.mark.parametrize("kind", ASKED)
def test_r14_what_people_must_be_asked_about_closes_the_gate_here_and_there(make, service, kind):
    changed, reason = ASKED[kind]
    run = Run(make, service)
    service.set_notice(later(**changed))
    run.hear()
    permission = run.connect.permission()
    assert (permission.state, permission.reason) == (PermissionState.DENIED, reason)
    with pytest.raises(ConsentRequired) as caught:
        run.connect.submit(Position(*HERE, time=run.clock.now()))
    assert caught.value.reason is reason
    assert not list(run.connect.state_path.glob("outbox/*.box")), "what was buffered is gone"
    assert run.connect.wait_for_notices(10) and [w["epoch"] for w in service.withdrawals] == [1]
    row = run.notice_row()
    assert row is not None and not row["ok"] and "2027-05-01.1" in row["detail"] and "update the app" in row["advice"]
    again = run.connect.request_permission(user_action=True)
    assert (again.state, again.reason) == (PermissionState.DENIED, reason), "to ask a person would not help"
    (receipt,) = run.connect.receipts()
    assert receipt["dpv:hasConsentStatus"][-1]["@type"] == "dpv:ConsentInvalidated"
    assert "kc:changedSince" not in receipt["dpv:hasNotice"]


@pytest.mark.parametrize("kind", ASKED)
def test_r14_a_service_that_insists_refuses_what_the_app_would_close(make, service, kind):
    """Both sides agree on what is no longer covered: the purpose a notice had before included."""
    changed, _ = ASKED[kind]
    connect = make(WEEK, clock=FakeClock(NOON))
    assert connect.request_permission(user_action=True).granted
    service.set_notice(DEFAULT_NOTICE)
    service.set_notice(later(**changed))
    connect.submit(Position(*HERE, time=NOON))
    assert connect.flush().reason in (Reason.NOTICE_CHANGED, Reason.CONTROLLER_CHANGED)
    assert service.positions == []


@pytest.mark.parametrize("kind", TOLD)
def test_r14_what_people_are_told_of_leaves_the_consent_and_is_in_the_receipt(make, service, kind):
    run = Run(make, service)
    service.set_notice(later(**TOLD[kind]))
    run.hear()
    assert run.connect.permission().granted
    (receipt,) = run.connect.receipts()
    assert receipt["dpv:hasNotice"]["kc:version"] == DEFAULT_NOTICE.version
    assert receipt["dpv:hasNotice"]["kc:changedSince"] == {"kc:version": "2027-05-01.1", "dct:date": "2027-05-01"}
    row = run.notice_row()
    assert row is not None and row["ok"] and "2027-05-01.1" in row["detail"]
    assert run.connect.flush().sent == 1, "the service takes it, too"


def test_r14_after_an_update_of_the_app_the_person_is_asked_about_the_new_notice(make, service):
    run = Run(make, service)
    published = later(recipients=(*DEFAULT_NOTICE.recipients, "A partner"))
    service.set_notice(published)
    run.hear()
    run.connect.close()
    prompter = ScriptedPrompter(WEEK)
    updated = make(notice=published, prompter=prompter, clock=run.clock)
    assert updated.permission().state is PermissionState.PROMPT, "what ended is not revived"
    assert updated.request_permission().granted and updated.permission().epoch == 2
    assert prompter.requests[0].notice is published


def test_r14_the_word_is_kept_for_the_next_run_and_asked_for_again_before_a_person_is_refused(make, service):
    run = Run(make, service)
    service.set_notice(later(data=("coordinates", "contacts")))
    run.hear()
    run.connect.close()
    service.stop()
    offline = make(WEEK, clock=run.clock)
    assert offline.permission().state is PermissionState.DENIED
    assert offline.request_permission(user_action=True).reason is Reason.NOTICE_CHANGED
    service.start()
    service.set_notice(later(version="2027-05-03.1"))
    assert offline.request_permission(user_action=True).granted, "the service took it back"


def test_r14_a_service_that_is_behind_the_app_changes_nothing(make, service):
    ours = later(recipients=(*DEFAULT_NOTICE.recipients, "A partner"))
    run = Run(make, service, notice=ours)
    service._desk.notice = DEFAULT_NOTICE
    run.hear()
    assert run.connect.permission().granted
    assert "kc:changedSince" not in run.connect.receipts()[0]["dpv:hasNotice"]


def test_r14_a_notice_of_another_matter_changes_nothing(make, service):
    run = Run(make, service)
    service._desk.notice = later(id="marketing", purpose="marketing")
    run.hear()
    assert run.connect.permission().granted and run.notice_row() is None


def test_r14_nothing_the_service_publishes_opens_the_gate_or_is_shown(make, service):
    """It says that the very fields of an ended grant are in force, with a hash and a kind that are lies."""
    prompter = ScriptedPrompter(PromptAnswer.deny())
    service.set_notice(later(texts=(replace(DEFAULT_NOTICE.texts[0], title="Say yes"),)))
    connect = make(prompter=prompter, clock=FakeClock(NOON))
    connect._opened().works.bulletin.ask()
    assert connect.permission().reason is Reason.NOT_ASKED
    assert connect.request_permission(user_action=True).reason is Reason.REFUSED
    assert prompter.requests[0].text.title != "Say yes"
    connect._opened().works.bulletin.ask()
    assert connect.permission().reason is Reason.REFUSED


BROKEN = [
    b"", b"[]", b"null", b"{}", b"<html>", b'{"id": 1}', b'{"controller": []}', b"[" * 5000,
    b'{"id": "x", "version": "1", "effective": "soon", "controller": {"id": "a", "name": "b", "contact": "c"},'
    b' "purpose": "navigation", "data": [], "method": [], "recipients": []}',
    b'{"id": "x", "version": "1\\u202e", "effective": "2030-01-01", "controller": {"id": "a", "name": "b",'
    b' "contact": "c"}, "purpose": "navigation", "data": [], "method": [], "recipients": []}',
    json.dumps({"id": "x" * (2 << 20)}).encode(),
]  # fmt: skip


@pytest.mark.parametrize("body", BROKEN, ids=lambda body: body[:20].decode())
def test_r14_what_cannot_be_read_changes_nothing(make, service, monkeypatch, body):
    from kalos_connect_sdk.service.front import Front, Response

    run = Run(make, service)
    monkeypatch.setattr(Front, "_notice", lambda *_: Response(200, {"Content-Type": "application/json"}, body))
    run.hear()
    assert run.connect.permission().granted and run.notice_row() is None


@pytest.mark.parametrize("status", [404, 401, 403, 409, 410, 500, 503])
def test_r14_its_absence_and_every_error_change_nothing(make, service, status):
    run = Run(make, service)
    service.set_notice(later(data=("contacts",)))
    service.fail(status, times=None, path="/v1/notice")
    run.hear()
    assert run.connect.permission().granted


def test_it_is_asked_for_once_in_a_run(make, service):
    run = Run(make, service)
    asked = [r for r in service.requests if r["path"] == "/v1/notice"]
    assert len(asked) == 1, "with the registration"
    run.hear()
    for _ in range(3):
        run.clock.advance(67)
        run.connect._opened().watcher.wake()
        run.connect._opened().courier.worker.call(lambda: None, 30)
    assert len([r for r in service.requests if r["path"] == "/v1/notice"]) == 2


def test_r14_other_programs_of_the_state_hear_it_from_the_first(make, service):
    run = Run(make, service)
    other = make(WEEK, clock=run.clock)
    assert other.permission().granted
    service.set_notice(later(controller=replace(OWNER, id="another-owner")))
    run.hear()
    assert other.permission().reason is Reason.CONTROLLER_CHANGED
    assert other.permission().state is PermissionState.DENIED


def test_the_fixtures_are_what_their_names_say() -> None:
    for changed, _ in ASKED.values():
        assert fields_sha256(later(**changed)) != fields_sha256(DEFAULT_NOTICE)
    for told in TOLD.values():
        assert fields_sha256(later(**told)) == fields_sha256(DEFAULT_NOTICE)
