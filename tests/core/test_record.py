"""Records: what the ledger says, in DPV terms, and nothing else (R14, R20)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from kalos_connect_sdk.core.canonical import canonical
from kalos_connect_sdk.core.history import make_event
from kalos_connect_sdk.core.notices.default import CROSS_BORDER_NOTICE, DEFAULT_NOTICE
from kalos_connect_sdk.core.notices.hashing import fields_sha256, shown_sha256
from kalos_connect_sdk.core.record import MalformedRecord, Receipt, check_shape, render, split_grants
from kalos_connect_sdk.model.consent import Duration, GrantTerms, Precision, Purpose
from kalos_connect_sdk.model.decision import Reason
from kalos_connect_sdk.model.notice import Notice

RECORD_ID = "0123456789abcdef0123456789abcdef"
PUBLIC = bytes(range(32))

TERMS: dict[str, Any] = {
    "receipt_id": "fedcba9876543210fedcba9876543210",
    "precision": "precise",
    "duration": "this-drive",
    "notice_id": DEFAULT_NOTICE.id,
    "notice_version": DEFAULT_NOTICE.version,
    "notice_locale": "en",
    "notice_sha256": shown_sha256(DEFAULT_NOTICE.texts[0], DEFAULT_NOTICE),
    "notice_fields_sha256": fields_sha256(DEFAULT_NOTICE),
    "controller_id": DEFAULT_NOTICE.controller.id,
    "service_origin": "https://connect.example:443",
    "granted_at": "2026-11-20T08:00:00.000Z",
    "expires_at": None,
    "granted_boot_id": "boot-canary",
    "granted_boottime_ms": 123456,
    "granted_suspended_ms": 0,
    "drive_id": "drive-canary",
    "asserted_parked": None,
    "simulated": False,
    "guardian": None,
    "run_id": None,
}


def event(kind: str, epoch: int = 1, minute: int = 0, **more: Any) -> dict[str, Any]:
    at = f"2026-11-20T08:{minute:02}:00.000Z"
    body = {"v": 1, "kind": kind, "purpose": "navigation", "epoch": epoch, "at": at, "cause": None, "reason": None}
    return {**body, **more}


def grant(kind: str = "allow", epoch: int = 1, minute: int = 0, **terms: Any) -> dict[str, Any]:
    agreed = {**TERMS, **terms}
    return event(kind, epoch, minute, cause="subject", precision=agreed["precision"], terms=agreed)


def rendered(events: list[Any], notice: Notice = DEFAULT_NOTICE, region: str | None = "FI") -> dict[str, Any]:
    record = render(
        record_id=RECORD_ID,
        purpose=Purpose.NAVIGATION,
        events=events,
        notice=notice,
        public_key=PUBLIC,
        service_region=region,
    )
    assert check_shape(record) == []
    return record


# -- grants of a history -------------------------------------------------------------------------


def kinds(grants: list[list[Any]]) -> list[list[tuple[str, int]]]:
    return [[(body["kind"], body["epoch"]) for body in events] for events in grants]


def test_one_list_per_grant_oldest_first() -> None:
    history = [
        event("dismiss", 0),
        grant(epoch=1),
        event("registered", 1),
        event("withdraw", 1),
        event("erased", 1),
        event("withdraw-again", 1),
        event("deny", 1),
        grant(epoch=2),
        event("expire", 2),
        event("registered", 1),
    ]
    assert kinds(split_grants(history)) == [
        [("allow", 1), ("registered", 1), ("withdraw", 1), ("erased", 1)],
        [("allow", 2), ("expire", 2)],
    ]


def test_a_grant_replaced_while_active_ends_with_what_replaced_it() -> None:
    history = [grant(epoch=1), grant("amend", 2), event("withdraw", 2), grant("allow", 3)]
    assert kinds(split_grants(history)) == [
        [("allow", 1), ("amend", 2)],
        [("amend", 2), ("withdraw", 2)],
        [("allow", 3)],
    ]


def test_purposes_do_not_mix() -> None:
    abroad = {**grant(epoch=1), "purpose": "cross-border-transfer"}
    end_abroad = {**event("withdraw", 1), "purpose": "cross-border-transfer"}
    assert split_grants([grant(), abroad, end_abroad]) == [[grant()], [abroad, end_abroad]]


def test_a_reset_ends_what_was_given() -> None:
    (events,) = split_grants([grant(), event("reset", 4, 9)])
    assert [status["@type"] for status in rendered(events)["dpv:hasConsentStatus"]] == [
        "dpv:ConsentGiven",
        "dpv:ConsentWithdrawn",
    ]


def test_what_follows_a_reset_is_still_told_of_the_grant_before_it() -> None:
    history = [grant(), event("reset", 4), event("erased", 1), event("erased", 4), event("registered", 4)]
    assert kinds(split_grants(history)) == [[("allow", 1), ("reset", 4), ("erased", 1)]]


def test_a_history_without_a_grant_has_no_record() -> None:
    assert split_grants([event("deny", 0), event("registered", 1), event("reset", 2)]) == []
    for events in ([], [event("deny", 0)]):
        with pytest.raises(MalformedRecord, match="begins with a grant"):
            rendered(events)


# -- what a record says --------------------------------------------------------------------------


def test_r14_what_was_agreed_to_is_pinned() -> None:
    record = rendered([grant()])
    assert record["dct:identifier"] == TERMS["receipt_id"]
    assert (record["kc:record"], record["kc:epoch"]) == (RECORD_ID, 1)
    assert (record["kc:purpose"], record["kc:precision"]) == ("navigation", "precise")
    assert record["dpv:hasNotice"] == {
        "@type": "dpv:ConsentNotice",
        "dct:identifier": DEFAULT_NOTICE.id,
        "kc:version": DEFAULT_NOTICE.version,
        "dct:language": "en",
        "kc:textSha256": TERMS["notice_sha256"],
        "kc:fieldsSha256": TERMS["notice_fields_sha256"],
        "dct:date": "2024-03-18",
        "kc:policy": {
            "@type": "dpv:PrivacyNotice",
            "dct:identifier": "kalos-privacy-policy",
            "dct:modified": "2024-02-01",
        },
    }
    assert record["dpv:hasDataController"]["dpv:hasContact"] == DEFAULT_NOTICE.controller.contact
    assert record["dpv:hasProcess"][0]["dpv:hasRecipient"][-1]["kc:serviceOrigin"] == TERMS["service_origin"]


@pytest.mark.parametrize(
    ("kind", "cause", "status", "who"),
    [
        ("withdraw", "subject", "dpv:ConsentWithdrawn", "dpv:DataSubject"),
        ("withdraw", "guardian", "dpv:ConsentWithdrawn", "dpv:GuardianOfDataSubject"),
        ("revoke", "service", "dpv:ConsentRevoked", "dpv:DataController"),
        ("revoke", "controller", "dpv:ConsentRevoked", "dpv:DataController"),
        ("revoke", "os", "dpv:ConsentRevoked", "kc:Device"),
        ("expire", "time", "dpv:ConsentExpired", "kc:Device"),
        ("invalidate", "notice", "dpv:ConsentInvalidated", "kc:Device"),
        ("withdraw", None, "dpv:ConsentWithdrawn", "kc:Device"),
    ],
)
def test_r20_every_way_out_has_its_dpv_status(kind: str, cause: str | None, status: str, who: str) -> None:
    events = [grant(), event(kind, 1, 5, cause=cause, reason="expired" if kind == "expire" else None)]
    ended = rendered(events)["dpv:hasConsentStatus"][1]
    assert (ended["@type"], ended["dpv:isIndicatedBy"]) == (status, who)
    assert ended["dpv:isIndicatedAtTime"] == "2026-11-20T08:05:00.000Z"
    assert ended.get("kc:cause") == cause
    assert ended.get("kc:reason") == ("expired" if kind == "expire" else None)


@pytest.mark.parametrize(
    ("kind", "status", "method"),
    [
        ("allow", "dpv:ConsentGiven", "an explicit choice in a prompt that showed the notice"),
        ("allow-new-notice", "dpv:RenewedConsentGiven", "an explicit choice in a prompt that showed the notice"),
        ("amend", "dpv:ConsentGiven", "a change of the grant before it"),
    ],
)
def test_r20_every_way_in_has_its_dpv_status(kind: str, status: str, method: str) -> None:
    given = rendered([grant(kind)])["dpv:hasConsentStatus"][0]
    assert (given["@type"], given["dpv:hasIndicationMethod"]) == (status, method)


def test_history_is_told_once_and_never_rewritten() -> None:
    """What comes after the end had no effect; the first time counts."""
    events = [
        grant(),
        event("registered", 1, 1),
        event("registered", 1, 2),
        event("withdraw", 1, 3, cause="subject"),
        event("withdraw", 1, 4, cause="subject"),
        event("erased", 1, 5),
        event("erased", 1, 6),
    ]
    record = rendered(events)
    assert len(record["dpv:hasConsentStatus"]) == 2
    assert record["dpv:hasConsentStatus"][1]["dpv:isIndicatedAtTime"] == "2026-11-20T08:03:00.000Z"
    assert record["kc:registeredAt"] == "2026-11-20T08:01:00.000Z"
    assert record["kc:erasedAt"] == "2026-11-20T08:05:00.000Z"


def test_a_replaced_grant_names_what_replaced_it() -> None:
    old, new = split_grants([grant(epoch=1), grant("amend", 2, 7)])
    record = rendered(old)
    assert record["dct:isReplacedBy"] == rendered(new)["@id"]
    assert record["kc:replacedAt"] == "2026-11-20T08:07:00.000Z"
    assert len(record["dpv:hasConsentStatus"]) == 1


@pytest.mark.parametrize(
    ("terms", "kind", "value"),
    [
        ({}, "dpv:UntilEventDuration", "the end of this drive, at most 12 hours"),
        (
            {"duration": "7-days", "expires_at": "2026-11-27T08:00:00.000Z"},
            "dpv:UntilTimeDuration",
            "2026-11-27T08:00:00.000Z",
        ),
        ({"duration": "until-withdrawn"}, "dpv:UntilEventDuration", "withdrawal"),
        (
            {"duration": "until-withdrawn", "run_id": "00aa"},
            "dpv:UntilEventDuration",
            "withdrawal, or the end of the program's run",
        ),
    ],
)
def test_r20_every_duration_is_told(terms: dict[str, Any], kind: str, value: str) -> None:
    record = rendered([grant(**terms)])
    told = record["dpv:hasConsentStatus"][0]["dpv:hasDuration"]
    assert told == {"@type": kind, "rdf:value": value, "kc:duration": terms.get("duration", "this-drive")}


def test_a_simulated_answer_is_never_shown_as_a_persons() -> None:
    given = rendered([grant(simulated=True, asserted_parked="a demonstration")])["dpv:hasConsentStatus"][0]
    assert given["dpv:isIndicatedBy"] == "kc:Simulation"
    assert given["kc:simulated"] is True
    assert given["kc:assertedParked"] == "a demonstration"
    assert "simulated" in given["dpv:hasIndicationMethod"]


def test_r17_guardian_evidence_is_kept() -> None:
    events = [grant(guardian="case 12")]
    events[0]["cause"] = "guardian"
    given = rendered(events)["dpv:hasConsentStatus"][0]
    assert (given["dpv:isIndicatedBy"], given["kc:guardianEvidence"]) == ("dpv:GuardianOfDataSubject", "case 12")


def test_r15_approximate_names_no_data_it_does_not_have() -> None:
    def told(precision: str) -> dict[str, str]:
        data = rendered([grant(precision=precision)])["dpv:hasProcess"][0]["dpv:hasPersonalData"]
        return {item["dct:title"]: item["@type"] for item in data}

    assert told("precise")["coordinates"] == "pd:GPSCoordinate"
    assert told("approximate") == {
        "accuracy": "dpv:PersonalData",
        "coordinates": "pd:CurrentLocation",
        "time": "dpv:PersonalData",
    }


def test_r16_a_transfer_abroad_is_told_as_one() -> None:
    terms = {
        "notice_id": CROSS_BORDER_NOTICE.id,
        "notice_version": CROSS_BORDER_NOTICE.version,
        "notice_fields_sha256": fields_sha256(CROSS_BORDER_NOTICE),
    }
    record = rendered([grant(**terms)], CROSS_BORDER_NOTICE)
    assert "dpv:CrossBorderTransfer" in record["dpv:hasProcess"][0]["dpv:hasProcessing"]


def test_the_region_is_told_where_it_is_known() -> None:
    def storage(region: str | None) -> list[str]:
        record = rendered([grant()], region=region)
        return [record["dpv:hasJurisdiction"]] + [
            item["dpv:hasLocation"]
            for item in record["dpv:hasProcess"][0]["dpv:hasStorageCondition"]
            if "dpv:hasLocation" in item
        ]

    assert storage("fi") == ["loc:FI", "loc:FI"]
    assert storage(None) == ["loc:CN"]


def test_r14_a_notice_that_is_no_longer_the_one_agreed_to_adds_nothing() -> None:
    later = replace(
        DEFAULT_NOTICE,
        id="another-notice",
        version="2030-01-01.1",
        controller=replace(DEFAULT_NOTICE.controller, id="new-owner", name="New Owner"),
        purpose="advertising",
        recipients=("A partner",),
    )
    record = rendered([grant()], later)
    text = json.dumps(record)
    for foreign in ("New Owner", "advertising", "A partner", "another-notice", "2030", later.controller.contact):
        assert foreign not in text
    assert record["dpv:hasDataController"] == {"@type": "dpv:DataController", "dct:identifier": TERMS["controller_id"]}
    assert record["dpv:hasProcess"][0]["dpv:hasProcessing"] == ["dpv:Processing"]
    assert "dpv:hasRight" not in record


@pytest.mark.parametrize(
    "told",
    [
        {"rights": ("to be told within a week",)},
        {"controller": replace(DEFAULT_NOTICE.controller, contact="new@example.com", department="Privacy")},
        {"assessment": "PIA 2030-2"},
        {},
    ],
    ids=["rights", "contact", "assessment", "wording"],
)
def test_r14_a_change_that_people_are_only_told_of_is_noted_in_the_receipt(told: dict[str, Any]) -> None:
    later = replace(DEFAULT_NOTICE, version="2030-01-01.1", effective=date(2030, 1, 1), **told)
    notice = rendered([grant()], notice=later)["dpv:hasNotice"]
    assert notice["kc:version"] == DEFAULT_NOTICE.version  # what was agreed to stays pinned
    assert notice["kc:changedSince"] == {"kc:version": "2030-01-01.1", "dct:date": "2030-01-01"}
    assert "kc:changedSince" not in rendered([grant()])["dpv:hasNotice"]
    asked = replace(later, recipients=("Somebody else",))
    assert "kc:changedSince" not in rendered([grant()], notice=asked)["dpv:hasNotice"]  # that one is asked about


def test_r20_rights_and_assessment_of_the_notice_are_in_the_receipt() -> None:
    own = replace(DEFAULT_NOTICE, rights=("to be told within a week",), assessment="PIA 2024-1")
    record = rendered([grant()], notice=own)
    assert [right["dct:title"] for right in record["dpv:hasRight"]] == ["to be told within a week"]
    assert record["dpv:hasNotice"]["kc:assessment"] == "PIA 2024-1"


def test_a_notice_of_the_app_is_told_by_its_own_words() -> None:
    own = replace(
        DEFAULT_NOTICE,
        controller=replace(DEFAULT_NOTICE.controller, address="Street 1"),
        data=("coordinates", "heading"),
        method=("collect", "profile"),
        policy_id="",
    )
    record = rendered([grant(notice_fields_sha256=fields_sha256(own))], own)
    process = record["dpv:hasProcess"][0]
    assert [item["dct:title"] for item in process["dpv:hasPersonalData"]] == ["coordinates", "heading"]
    assert process["dpv:hasProcessing"] == ["dpv:Collect", "dpv:Processing"]
    assert record["dpv:hasDataController"]["dpv:hasAddress"] == "Street 1"
    assert "kc:policy" not in record["dpv:hasNotice"]
    undated = rendered([grant()], replace(DEFAULT_NOTICE, policy_updated=None))
    assert "dct:modified" not in undated["dpv:hasNotice"]["kc:policy"]


def test_bodies_as_the_ledger_writes_them() -> None:
    terms = GrantTerms(
        receipt_id="r" * 32,
        precision=Precision.APPROXIMATE,
        duration=Duration.days(7),
        notice_id=DEFAULT_NOTICE.id,
        notice_version=DEFAULT_NOTICE.version,
        notice_locale="zh-CN",
        notice_sha256="0" * 64,
        notice_fields_sha256=fields_sha256(DEFAULT_NOTICE),
        controller_id=DEFAULT_NOTICE.controller.id,
        service_origin="",
        granted_at=datetime(2026, 11, 20, 8, tzinfo=UTC),
        expires_at=datetime(2026, 11, 27, 8, tzinfo=UTC),
        granted_boot_id="b",
        granted_boottime_s=1.5,
        granted_suspended_s=0.0,
        asserted_parked="a laptop on a desk",
    )
    bodies = [
        make_event("allow", Purpose.NAVIGATION, 3, 1795161600.0, cause="subject", terms=terms),
        make_event("withdraw", Purpose.NAVIGATION, 3, 1795161660.0, cause="subject", reason=Reason.WITHDRAWN),
        make_event("erased", Purpose.NAVIGATION, 3, 1795161661.0),
    ]
    (events,) = split_grants(json.loads(canonical(bodies)))
    record = rendered(events)
    given, ended = record["dpv:hasConsentStatus"]
    assert record["kc:epoch"] == 3
    assert given["dpv:hasDuration"]["rdf:value"] == "2026-11-27T08:00:00.000Z"
    assert given["kc:assertedParked"] == "a laptop on a desk"
    assert ended["kc:reason"] == "withdrawn"
    assert "kc:erasedAt" in record


def test_r20_words_from_the_app_cannot_make_a_record_unreadable() -> None:
    own = replace(DEFAULT_NOTICE, controller=replace(DEFAULT_NOTICE.controller, name="Evil\u202e Inc.\n"))
    record = rendered([grant(asserted_parked="a desk\x1b[31m\ud800")], own)
    assert record["dpv:hasDataController"]["dpv:hasName"] == "Evil\\u202e Inc.\\u000a"
    assert record["dpv:hasConsentStatus"][0]["kc:assertedParked"] == "a desk\\u001b[31m\\ud800"


# -- valid JSON-LD in DPV terms, no coordinate ---------------------------------------------------

FULL = [
    grant(asserted_parked="a laptop on a desk"),
    event("registered", 1, 1),
    event("withdraw", 1, 2, cause="subject", reason="withdrawn"),
    event("erased", 1, 3),
]
WORDS = """
    Collect ConsentExpired ConsentGiven ConsentInvalidated ConsentNotice ConsentRecord ConsentRevoked ConsentWithdrawn
    CrossBorderTransfer DataController DataSubject DataSubjectRight ExplicitlyExpressedConsent GuardianOfDataSubject
    PersonalData PrivacyNotice Process Processing Recipient RenewedConsentGiven RequestedServiceProvision
    StorageDuration StorageLocation Transmit UntilEventDuration UntilTimeDuration Use WithdrawConsent hasAddress
    hasConsentControl hasConsentStatus hasContact hasDataController hasDataSubject hasDuration hasIndicationMethod
    hasJurisdiction hasLegalBasis hasLocation hasName hasNotice hasPersonalData hasProcess hasProcessing hasPurpose
    hasRecipient hasRight hasStorageCondition isExercisedAt isIndicatedAtTime isIndicatedBy
    """
DPV_2_3 = set(WORDS.split())
"""Terms of the vocabulary that records may use, checked once against its published list."""


def pairs(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield name, item
            yield from pairs(item)
    elif isinstance(value, list):
        for item in value:
            yield from pairs(item)


def test_r20_every_member_is_json_ld_and_every_term_is_dpvs() -> None:
    """A member that the context does not define would silently vanish for a JSON-LD reader."""
    record = rendered([*FULL, grant("amend", 2, 9)])
    context = record.pop("@context")
    prefixes = {name for name, value in context.items() if isinstance(value, str) and value[-1] in "#/"}
    iri_members = {name for name, value in context.items() if isinstance(value, dict) and value["@type"] == "@id"}
    for name, value in pairs(record):
        prefix, colon, term = name.partition(":")
        assert name in ("@id", "@type") or name in context or (colon and prefix in prefixes), name
        if prefix == "dpv":
            assert term in DPV_2_3
        if name in iri_members or name == "@type":
            for iri in value if isinstance(value, list) else [value]:
                prefix, _, term = iri.partition(":")
                assert prefix in prefixes | {"https"}, iri
                assert prefix != "dpv" or term in DPV_2_3, iri
    for alias in ("proof", "algorithm", "canonicalization", "public_key", "value"):
        assert context[alias].startswith("kc:")


def test_r20_the_context_is_inlined_and_loads_nothing() -> None:
    context = rendered(FULL)["@context"]
    assert isinstance(context, dict)
    assert "@import" not in json.dumps(context)
    assert rendered(FULL)["@context"] is not context


def test_r20_no_coordinate_and_nothing_of_the_device() -> None:
    record = rendered(FULL)
    for name, value in pairs(record):
        assert not isinstance(value, float), name
        assert name.lower().rsplit(":")[-1] not in ("latitude", "longitude", "coordinates", "lat", "lon")
    text = json.dumps(record)
    for canary in ("boot-canary", "drive-canary", "123456,"):
        assert canary not in text


def test_a_receipt_is_a_dict_that_writes_itself() -> None:
    receipt = Receipt(rendered([grant(asserted_parked="桌上的笔记本")]))
    assert json.loads(receipt.to_json()) == receipt == dict(receipt)
    assert "桌上的笔记本" in receipt.to_json()
    with pytest.raises(ValueError):
        Receipt(receipt, epoch=float("nan")).to_json()


def test_records_of_one_history_are_equal_bytes() -> None:
    assert canonical(rendered(FULL)) == canonical(rendered(json.loads(json.dumps(FULL))))
    assert rendered(FULL, replace(DEFAULT_NOTICE, effective=date(2031, 1, 1))) != rendered(FULL)
