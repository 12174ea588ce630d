"""What the desk adds to the rules: borders, enrolment, notices, retention, stores that agree."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kalos_connect_sdk.core.notices.default import DEFAULT_NOTICE
from kalos_connect_sdk.core.notices.hashing import fields_sha256
from kalos_connect_sdk.core.wire import strict_json
from kalos_connect_sdk.service.desk import Desk
from kalos_connect_sdk.service.engine import EngineUnavailable, NoRoute
from kalos_connect_sdk.service.front import Front, Request
from kalos_connect_sdk.service.refusal import Refusal
from kalos_connect_sdk.service.sqlite import SqliteStore, open_store
from kalos_connect_sdk.service.store import MemoryStore
from kalos_connect_sdk.testing import ServiceEmulator

BEIJING = (39.9042, 116.4074)


@pytest.fixture
def emulator():
    with ServiceEmulator(region="DE", enrolment_token="vendor") as emulator:
        yield emulator


def test_r16_from_mainland_china_to_a_service_abroad_only_with_the_second_grant(emulator, new_device):
    device = new_device(emulator.url)
    device.token = "vendor"
    device.register()
    navigation, navigation_token = device.record_id, device.token
    assert device.send().status == 202
    assert device.send(device.batch(at=BEIJING), key="b").problem == "cross-border"
    here = {"type": "Point", "coordinates": list(reversed(BEIJING))}
    assert device.route(origin=here, consent=device.member()).problem == "cross-border"
    assert device.route(origin=here).status == 200, "a typed place is not a position"

    device.record_id, device.token = "c" * 32, "vendor"
    device.register(**{"kc:purpose": "cross-border-transfer"})
    border_token = device.token
    device.record_id, device.token = navigation, navigation_token
    assert device.send(device.batch(at=BEIJING), key="b").status == 202
    device.record_id, device.token = "c" * 32, border_token
    device.withdraw()
    device.record_id, device.token = navigation, navigation_token
    assert device.send(device.batch(at=BEIJING), key="c").problem == "cross-border"


def test_r16_another_devices_grant_opens_no_border(emulator, new_device):
    first, second = new_device(emulator.url), new_device(emulator.url)
    first.token = second.token = "vendor"
    first.register(**{"kc:purpose": "cross-border-transfer"})
    second.register()
    assert second.send(second.batch(at=BEIJING)).problem == "cross-border"


def test_a_vendor_may_ask_for_its_enrolment_token(emulator, new_device):
    device = new_device(emulator.url)
    for token in (None, "guess", "vendör".encode().decode("latin-1")):
        device.token = token
        assert device.register().status == 401
    device.token = "vendor"
    assert device.register().status == 201


def test_r14_the_published_notice_says_what_changed_and_whether_to_ask_again(emulator, new_device):
    device = new_device(emulator.url)
    wording = replace(DEFAULT_NOTICE, version="2")
    emulator.set_notice(DEFAULT_NOTICE)
    published = device.call("GET", "/v1/notice").document
    assert (published["change"], published["asks_again"], len(published["texts"])) == (
        [],
        False,
        len(DEFAULT_NOTICE.texts),
    )
    assert published["fields_sha256"] == fields_sha256(DEFAULT_NOTICE)
    assert [t["locale"] for t in device.call("GET", "/v1/notice?locale=zh-CN").document["texts"]] == ["zh-CN"]
    emulator.set_notice(wording)
    assert device.call("GET", "/v1/notice").document["change"] == ["wording"]
    emulator.set_notice(replace(wording, recipients=("Somebody Else",)))
    assert device.call("GET", "/v1/notice").document["asks_again"] is True


@pytest.mark.parametrize(
    ("changed", "kind", "asks_again"),
    [
        ({"method": ("collect",)}, "processing", True),
        ({"controller": replace(DEFAULT_NOTICE.controller, id="another-owner")}, "controller", True),
        ({"recipients": ("Somebody Else",)}, "recipients", True),
        ({"rights": ("to be told within a week",)}, "rights", False),
        ({"controller": replace(DEFAULT_NOTICE.controller, department="Privacy")}, "contact", False),
        ({"assessment": "PIA 2030-2"}, "assessment", False),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_r14_the_policys_six_kinds_of_change_are_published_with_their_effect(
    emulator, new_device, changed, kind, asks_again
):
    device = new_device(emulator.url)
    emulator.set_notice(DEFAULT_NOTICE)
    emulator.set_notice(replace(DEFAULT_NOTICE, **changed))
    published = device.call("GET", "/v1/notice").document
    assert kind in published["change"] and published["asks_again"] is asks_again
    assert (published["fields_sha256"] != fields_sha256(DEFAULT_NOTICE)) is asks_again


def test_r14_grants_to_other_fields_are_refused_once_a_notice_is_in_force(emulator, new_device):
    device = new_device(emulator.url)
    device.token = "vendor"
    device.register()
    emulator.set_notice(DEFAULT_NOTICE)
    assert device.send().problem == "notice-changed"
    device.token, enrolled = "vendor", device.token
    assert device.register(2).problem == "notice-changed"
    device.token = enrolled
    assert device.withdraw().status == 200, "withdrawing never depends on a notice"


@pytest.fixture(params=[MemoryStore, SqliteStore])
def store(request, tmp_path):
    store = request.param() if request.param is MemoryStore else SqliteStore(tmp_path / "s.db")
    yield store
    store.close()


def front_call(front, device, method, path, body=None, **headers):
    data = b"" if body is None else json.dumps(body).encode()
    kind = "application/geo+json" if path.endswith("positions") else "application/json"
    sent = {"content-type": kind, "idempotency-key": '"k"', "authorization": f"Bearer {device.token}", **headers}
    answer = front.answer(Request(method, path, "", sent, data))
    return answer.status, strict_json(answer.body) if answer.body else {}


@pytest.fixture
def device(new_device):
    return new_device("http://127.0.0.1:1")


def test_positions_are_kept_no_longer_than_the_retention(store, device):
    now = [1000.0]
    front = Front(Desk(store, now_s=lambda: now[0], retention_s=60))
    path = f"/v1/consents/{device.record_id}"
    device.token = front_call(front, device, "PUT", path, device.registration())[1]["access_token"]
    front_call(front, device, "POST", "/v1/positions", device.batch(count=5))
    assert store.count(device.record_id) == 5
    now[0] += 61
    front_call(front, device, "POST", "/v1/positions", device.batch(count=1), **{"idempotency-key": '"l"'})
    assert store.count(device.record_id) == 1


def test_the_controller_can_revoke_only_what_it_knows(store, device):
    desk = Desk(store, now_s=lambda: 0.0)
    with pytest.raises(Refusal, match="unknown-record"):
        desk.revoke(device.record_id)
    _, body = desk.register(device.record_id, device.registration())
    assert desk.owner_of(f"Bearer {body['access_token']}") == device.record_id
    assert desk.owner_of(None) is None
    assert desk.revoke(device.record_id) == 0


def test_r5_what_a_service_knows_survives_its_restart(tmp_path, device):
    path = tmp_path / "s.db"
    consents = f"/v1/consents/{device.record_id}"
    store = open_store(f"sqlite:{path}")
    front = Front(Desk(store, now_s=lambda: 0.0))
    device.token = front_call(front, device, "PUT", consents, device.registration())[1]["access_token"]
    front_call(front, device, "POST", "/v1/positions", device.batch())
    store.close()

    store = open_store(f"sqlite://{path}")
    front = Front(Desk(store, now_s=lambda: 0.0))
    assert front_call(front, device, "POST", "/v1/positions", device.batch())[0] == 202
    assert store.count(device.record_id) == 2
    assert front_call(front, device, "POST", f"{consents}/withdrawals", device.notice())[1]["dropped"] == 2
    store.close()

    store = open_store(str(path))
    front = Front(Desk(store, now_s=lambda: 0.0))
    assert front_call(front, device, "POST", f"{consents}/withdrawals", device.notice())[1]["dropped"] == 2
    assert front_call(front, device, "PUT", consents, device.registration())[0] == 410
    store.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_r4_what_a_withdrawal_drops_is_overwritten_in_the_file(tmp_path, device):
    path = tmp_path / "s.db"
    store = SqliteStore(path)
    front = Front(Desk(store, now_s=lambda: 0.0))
    consents = f"/v1/consents/{device.record_id}"
    device.token = front_call(front, device, "PUT", consents, device.registration())[1]["access_token"]
    batch = device.batch(count=50)
    for feature in batch["features"]:
        feature["properties"]["timestamp"] = "2026-03-04T05:06:07Z"
    front_call(front, device, "POST", "/v1/positions", batch)
    assert b"2026-03-04T05:06:07Z" in path.read_bytes()
    front_call(front, device, "POST", f"{consents}/withdrawals", device.notice())
    assert b"2026-03-04T05:06:07Z" not in path.read_bytes()
    store.close()


def test_a_step_that_fails_leaves_no_trace_in_the_database(tmp_path, device):
    store = SqliteStore(tmp_path / "s.db")
    desk = Desk(store, now_s=lambda: 0.0)
    desk.register(device.record_id, device.registration())
    known = store.consent(device.record_id)
    store.end(known, "n1", 0)
    with pytest.raises(Exception, match="UNIQUE"):
        store.end(replace(known, status="withdrawn"), "n1", 1)
    assert store.consent(device.record_id) == known
    store.close()


@pytest.mark.parametrize("url", ["postgres://x", "sqlite:", "sqlite://host/x", "sqlite:////"])
def test_a_database_of_another_kind_is_refused(url):
    with pytest.raises((ValueError, OSError)):
        open_store(url)


def test_a_database_of_a_newer_version_is_left_alone(tmp_path):
    path = tmp_path / "s.db"
    store = SqliteStore(path)
    store._db.execute("PRAGMA user_version = 4")
    store.close()
    with pytest.raises(OSError, match="newer"):
        SqliteStore(path)
    assert isinstance(open_store(None), MemoryStore)


def guarded(device, evidence="form 7"):
    """A status as a device writes it when the app refers to evidence of a guardian's consent."""
    given = dict(device.record(1)["dpv:hasConsentStatus"][0])
    return {"dpv:hasConsentStatus": [{**given, "kc:guardianEvidence": evidence}]}


def test_r17_a_record_marked_as_a_minors_needs_evidence_of_a_guardian(new_device):
    with ServiceEmulator() as emulator:
        device, other = new_device(emulator.url), new_device(emulator.url)
        device.register()
        other.register()
        assert device.send().status == 202
        emulator.mark_minor(device.record_id)
        assert device.send(key="k2").problem == "guardian-required"
        assert device.register(2).problem == "guardian-required"
        assert device.register(2, **guarded(device, " ")).problem == "guardian-required"
        assert other.send().status == 202, "another device is nobody's business"
        assert device.register(2, **guarded(device)).status == 200
        assert device.send(device.batch(2), key="k3").status == 202


def test_r17_another_record_of_a_minors_key_is_a_minors(new_device):
    with ServiceEmulator() as emulator:
        device = new_device(emulator.url)
        device.register()
        emulator.mark_minor()
        device.record_id = "c" * 32
        assert device.register().problem == "guardian-required"
        assert device.register(**guarded(device)).status == 201


def test_r17_the_mark_is_kept_by_the_database(tmp_path, new_device):
    with ServiceEmulator() as emulator:
        device = new_device(emulator.url)
        store = SqliteStore(tmp_path / "s.db")
        desk = Desk(store, now_s=lambda: 0.0)
        desk.register(device.record_id, device.registration())
        desk.mark_minor(device.record_id)
        with pytest.raises(Refusal):
            desk.mark_minor("d" * 32)
        store.close()
        again = Desk(SqliteStore(tmp_path / "s.db"), now_s=lambda: 0.0)
        with pytest.raises(Refusal) as refused:
            again.register(device.record_id, device.registration(2))
        assert (refused.value.status, refused.value.name) == (403, "guardian-required")


class Engine:
    """An engine that fails as it is told."""

    def __init__(self, error):
        self.error = error

    def route(self, origin, destination, locale):
        raise self.error


@pytest.mark.parametrize(
    ("engine", "status", "name"),
    [
        (Engine(NoRoute("x")), 422, "no-route"),
        (Engine(EngineUnavailable("x")), 503, "routing-unavailable"),
        (None, 503, "routing-unavailable"),
    ],
)
def test_an_engine_that_fails_is_a_problem_by_name(device, engine, status, name):
    front = Front(Desk(MemoryStore(), now_s=lambda: 0.0), engine)
    point = {"type": "Point", "coordinates": [24.9, 60.1]}
    answer = front_call(front, device, "POST", "/v1/routes", {"origin": point, "destination": point})
    assert answer[0] == status and answer[1]["type"].endswith("/" + name)


def test_r10_nothing_of_the_front_or_the_store_shows_a_place(device):
    store = MemoryStore()
    desk = Desk(store, now_s=lambda: 0.0)
    _, body = desk.register(device.record_id, device.registration())
    receipt = desk.positions(
        json.dumps(device.batch()).encode(), authorization=f"Bearer {body['access_token']}", key='"k"'
    )
    request = Request("POST", "/v1/positions", "", {}, b"24.94")
    for value in (receipt, receipt.new[0], request, Front(desk).answer(request)):
        assert "24.94" not in repr(value) and "60.17" not in repr(value)
