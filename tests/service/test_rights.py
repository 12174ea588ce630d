"""Rights requests at the service: who may ask, what is done, once; and that late positions stay out."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from kalos_connect_sdk.model.rights import RequestStatus
from kalos_connect_sdk.service.sqlite import SqliteStore
from kalos_connect_sdk.testing import ServiceEmulator


def test_a_deletion_drops_everything_of_the_key_and_keeps_the_fence(service_url, new_device):
    device = new_device(service_url)
    device.register()
    assert device.send().status == 202
    answer = device.ask("deletion", "no-longer-used")
    assert answer.status == 201
    assert answer.document["status"] == "completed"
    assert answer.document["outcome"] == {"records": 1, "positions": 2}
    assert device.send(key="k2").problem == "consent-withdrawn"
    assert device.status().document["status"] == "revoked"
    assert device.register().problem == "consent-withdrawn", "R6: the same epoch never comes back"
    assert device.register(2).status == 200


def test_asked_twice_is_done_once_and_told_again(service_url, new_device):
    device = new_device(service_url)
    device.register()
    first = device.ask("deletion", "no-consent")
    device.register(2)
    device.send(device.batch(2))
    again = device.ask("deletion", "no-consent")
    assert (first.status, again.status) == (201, 200)
    assert again.document == first.document
    assert device.send(device.batch(2), key="k2").status == 202, "the new grant is none of the old request's business"


def test_access_and_explanation_delete_nothing(service_url, new_device):
    device = new_device(service_url)
    device.register()
    device.send()
    access = device.ask("access", name="a").document
    assert access["outcome"] == {"records": 1, "positions": 2, "statuses": "given"}
    explained = device.ask("explanation", name="e").document
    assert "nothing about you is decided" in explained["outcome"]["text"].lower()
    assert device.send(key="k2").status == 202


def test_due_by_the_earliest_of_policy_and_law(service_url, new_device):
    case = new_device(service_url).ask("access").document
    assert case["received_at"].startswith("2027-01-15T08:0")  # a Friday
    assert case["due_at"].startswith("2027-01-29T08:0"), "ten working days"


def test_only_the_key_that_asked_may_look(service_url, new_device):
    device, other = new_device(service_url), new_device(service_url)
    device.register()
    other.register()
    mine = device.ask("access").document["request_id"]
    assert device.call("GET", f"/v1/requests/{mine}").document["status"] == "completed"
    assert other.call("GET", f"/v1/requests/{mine}").problem == "not-found"
    assert device.call("GET", "/v1/requests/none").problem == "not-found"
    device.token = None
    assert device.call("GET", f"/v1/requests/{mine}").problem == "token-required"
    other.record_id = device.record_id
    assert other.ask("access").problem == "key-mismatch"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"signature": "A" * 86}, "invalid-signature"),
        ({"made_at": "2026-01-02T00:00:00Z"}, "invalid-signature"),
        ({"kind": "correction"}, "malformed-document"),
        ({"kind": "access"}, "malformed-document"),
        ({"reason": None}, "malformed-document"),
        ({"reason": "spite"}, "malformed-document"),
        ({"request_id": "a b"}, "malformed-document"),
        ({"public_key": 1}, "malformed-document"),
    ],
)
def test_what_is_not_signed_or_not_shaped_asks_for_nothing(service_url, new_device, changes, problem):
    device = new_device(service_url)
    device.register()
    device.send()
    assert device.ask("deletion", "breach", changes=changes).problem == problem
    assert device.send(key="k2").status == 202


def test_who_runs_the_service_may_decide(new_device):
    with ServiceEmulator() as service:
        device = new_device(service.url)
        device.register()
        device.send()
        service.review(lambda case: replace(case, status=RequestStatus.IDENTITY_PENDING))
        assert device.ask("deletion", "unlawful").document["status"] == "identity-pending"
        assert service.consents[device.record_id]["kept"] == 2
        service.review(
            lambda case: replace(
                case, status=RequestStatus.REFUSED, refusal_code="legal-hold", refusal_reason="A court."
            )
        )
        refused = device.ask("deletion", "unlawful").document
        assert refused["refusal"] == {"code": "legal-hold", "reason": "A court."}
        service.review(lambda case: None)
        assert device.ask("deletion", "unlawful").document["status"] == "refused", "decided is decided"


def test_a_database_of_before_is_brought_up_to_date(tmp_path):
    path = tmp_path / "service.db"
    SqliteStore(path).close()
    database = sqlite3.connect(path)
    database.executescript("ALTER TABLE consent DROP COLUMN minor; DROP TABLE rights_request; PRAGMA user_version = 1;")
    database.close()
    store = SqliteStore(path)
    assert store.case("r1") is None
    store.close()
    assert SqliteStore(path).case("r1") is None
