"""A record verifies offline, by someone who has only the record and the public key (R20)."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kalos_connect_sdk.core.notices.default import DEFAULT_NOTICE
from kalos_connect_sdk.core.notices.hashing import fields_sha256, shown_sha256
from kalos_connect_sdk.core.record import (
    MalformedRecord,
    Receipt,
    Verified,
    attach_signature,
    check_shape,
    notice_message,
    registration_message,
    render,
    signing_bytes,
    verify_record,
)
from kalos_connect_sdk.crypto.sign import SigningKey, verify
from kalos_connect_sdk.model.consent import Purpose

KEY = SigningKey.from_bytes(bytes(range(32)))
RECORD_ID = "0123456789abcdef0123456789abcdef"
AT = "2026-11-20T08:0%d:00.000Z"


def event(kind: str, minute: int, **more: Any) -> dict[str, Any]:
    return {"v": 1, "kind": kind, "purpose": "navigation", "epoch": 1, "at": AT % minute, "cause": "subject", **more}


def unsigned(*after: dict[str, Any], **terms: Any) -> dict[str, Any]:
    agreed = {
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
        "expires_at": None,
        **terms,
    }
    return render(
        record_id=RECORD_ID,
        purpose=Purpose.NAVIGATION,
        events=[event("allow", 0, terms=agreed), *after],
        notice=DEFAULT_NOTICE,
        public_key=KEY.public,
        service_region="FI",
    )


def signed(record: dict[str, Any]) -> Receipt:
    return Receipt(attach_signature(record, KEY.sign(signing_bytes(record))))


ENDED = (event("withdraw", 1), event("erased", 2))
RECEIPT = signed(unsigned(*ENDED, asserted_parked="a laptop on a desk"))


def checked(record: Any, public_key: bytes | None = None) -> Verified:
    return verify_record(record, verify=verify, public_key=public_key)


# -- what it proves ------------------------------------------------------------------------------


def test_r20_a_receipt_verifies_from_its_file_alone() -> None:
    result = checked(json.loads(RECEIPT.to_json()))
    assert (result.valid, result.public_key, result.problems) == (True, KEY.public, ())


def test_r20_it_says_in_plain_words_what_it_proves() -> None:
    assert checked(RECEIPT).statements == (
        "Nothing in it was changed since the device with this key signed it.",
        f"Consent number 1 of record {RECORD_ID} was given at 2026-11-20T08:00:00.000Z, by the person concerned:"
        " navigation, precise location, until the end of this drive, at most 12 hours.",
        f"The notice shown was kalos-connect-navigation, version {DEFAULT_NOTICE.version}, in en; the text has the"
        f" SHA-256 {shown_sha256(DEFAULT_NOTICE.texts[0], DEFAULT_NOTICE)}.",
        "The controller was beijing-zhijian-software; the recipient was https://connect.example:443.",
        "The app said the device was parked: a laptop on a desk.",
        "It was withdrawn at 2026-11-20T08:01:00.000Z, by the person concerned.",
        "What was buffered under it was erased on the device at 2026-11-20T08:02:00.000Z.",
        "It does not prove who the person was, nor that the device's clock was right.",
        "The key came with the record: compare its fingerprint with one from the device before you rely on it.",
    )


def test_r20_it_claims_no_end_that_is_not_recorded() -> None:
    statements = checked(signed(unsigned(service_origin=""))).statements
    assert "When the record was signed it had not ended." in statements
    assert "The controller was beijing-zhijian-software; no service was set up to receive it." in statements
    assert not any("erased" in statement or "withdrawn" in statement for statement in statements)


def test_r20_a_replaced_grant_is_told_as_one() -> None:
    record = unsigned()
    record["dct:isReplacedBy"] = "https://kalos-connect.invalid/records/x/2"
    record["kc:replacedAt"] = AT % 5
    statements = checked(signed(record)).statements
    assert f"A later grant replaced it at {AT % 5}." in statements
    assert not any("not ended" in statement for statement in statements)


def test_r20_a_simulation_is_told_as_one() -> None:
    statements = checked(signed(unsigned(simulated=True))).statements
    assert any("by a simulated answer, not by a person" in statement for statement in statements)


def test_r20_a_pinned_key_needs_no_comparing() -> None:
    result = checked(RECEIPT, KEY.public)
    assert result.valid
    assert not any("fingerprint" in statement for statement in result.statements)


# -- what proves nothing -------------------------------------------------------------------------


def refused(record: Any, problem: str, public_key: bytes | None = None) -> None:
    result = checked(record, public_key)
    assert not result.valid
    assert result.statements == ()
    assert problem in result.problems


def test_r20_another_key_than_the_pinned_one() -> None:
    refused(RECEIPT, "it was signed with another key than the one expected", SigningKey.generate().public)


def test_r20_no_signature() -> None:
    assert check_shape(unsigned()) == []
    refused(unsigned(), "it is not signed")


def test_r20_a_signature_by_another_key_than_the_one_inside() -> None:
    record = unsigned()
    forged = attach_signature(record, SigningKey.generate().sign(signing_bytes(record)))
    refused(forged, "the signature does not match: the record was changed")


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, item in items for leaf in leaves(item, (*path, key))]
    return [path]


LEAVES = [path for path in leaves(RECEIPT) if path[0] != "@context"]


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: "/".join(map(str, path)))
def test_r20_any_changed_or_missing_value_is_seen(path: tuple[Any, ...]) -> None:
    for edit in ("change", "remove"):
        record = copy.deepcopy(dict(RECEIPT))
        parent: Any = record
        for key in path[:-1]:
            parent = parent[key]
        old = parent[path[-1]]
        if edit == "remove":
            del parent[path[-1]]
        else:
            parent[path[-1]] = (
                (not old) if isinstance(old, bool) else old + 1 if isinstance(old, int) else old[::-1] + "A"
            )
        assert not checked(record).valid, edit


def test_r20_an_added_member_is_seen() -> None:
    refused({**RECEIPT, "kc:note": "x"}, "the signature does not match: the record was changed")
    assert checked(signed({**unsigned(), "kc:note": "x"})).valid


@pytest.mark.parametrize(
    "context",
    [None, {}, "https://evil.example/context", {**RECEIPT["@context"], "dpv:ConsentGiven": "dpv:ConsentRefused"}],
    ids=repr,
)
def test_r20_another_context_would_give_the_signed_terms_another_meaning(context: Any) -> None:
    refused({**RECEIPT, "@context": context}, "@context is not the one whose terms this SDK knows")


# -- shape: each rule, on a record that is signed and otherwise right ----------------------------


def put(*path: Any) -> Callable[[dict[str, Any]], None]:
    *way, last, value = path

    def edit(record: dict[str, Any]) -> None:
        parent: Any = record
        for key in way:
            parent = parent[key]
        parent[last] = value

    return edit


STATUS, PROCESS = "dpv:hasConsentStatus", "dpv:hasProcess"
GIVEN, END = (unsigned(*ENDED)[STATUS][index] for index in (0, 1))
BROKEN = {
    "@type is malformed": put("@type", "dpv:Record"),
    "dct:conformsTo is malformed": put("dct:conformsTo", "https://example.com/schema"),
    "dct:identifier is malformed": put("dct:identifier", ""),
    "dct:created is malformed": put("dct:created", "yesterday"),
    "kc:registeredAt is malformed": put("kc:registeredAt", "2026-02-31T00:00:00.000Z"),
    "kc:erasedAt is malformed": put("kc:erasedAt", 7),
    "kc:record is malformed": put("kc:record", "../../etc"),
    "kc:epoch is malformed": put("kc:epoch", 2**63),
    "kc:precision is malformed": put("kc:precision", ["precise"]),
    "dpv:hasDataController is missing or no object": put("dpv:hasDataController", "x"),
    "dpv:hasNotice.kc:textSha256 is malformed": put("dpv:hasNotice", "kc:textSha256", "A" * 64),
    "dpv:hasNotice.dct:language is malformed": put("dpv:hasNotice", "dct:language", None),
    "dpv:hasProcess is not a list of one object": put(PROCESS, []),
    "dpv:hasProcess.dpv:hasRecipient does not name one service": put(PROCESS, 0, "dpv:hasRecipient", ["x"]),
    "dpv:hasConsentStatus is not a list of a grant and at most one end": put(STATUS, [GIVEN, END, END]),
    "dpv:hasConsentStatus[0].@type is malformed": put(STATUS, 0, "@type", "dpv:ConsentRefused"),
    "dpv:hasConsentStatus[1].@type is malformed": put(STATUS, [GIVEN, GIVEN]),
    "dpv:hasConsentStatus[1] is missing or no object": put(STATUS, [GIVEN, None]),
    "dpv:hasConsentStatus[0].kc:simulated is malformed": put(STATUS, 0, "kc:simulated", 0),
    "dpv:hasConsentStatus[0].dpv:isIndicatedBy is malformed": put(STATUS, 0, "dpv:isIndicatedBy", "the pope"),
    "dpv:hasConsentStatus[0].dpv:hasDuration is malformed": put(STATUS, 0, "dpv:hasDuration", "P6M"),
    "proof is missing or no object": put("proof", []),
    "proof.algorithm is malformed": put("proof", "algorithm", "none"),
    "proof.canonicalization is malformed": put("proof", "canonicalization", "none"),
    "proof.public_key is malformed": put("proof", "public_key", "AAAA"),
    "proof.value is malformed": put("proof", "value", "A" * 85),
}


@pytest.mark.parametrize(("problem", "edit"), BROKEN.items(), ids=BROKEN)
def test_r20_a_malformed_record_is_refused_by_name(problem: str, edit: Callable[[dict[str, Any]], None]) -> None:
    record = unsigned(*ENDED)
    edit(record)
    assert check_shape(record) == [problem]
    refused(record, problem)


@pytest.mark.parametrize("epoch", [0, -1, True, "1", 2**63, None])
def test_r6_an_epoch_is_a_whole_number_from_1(epoch: Any) -> None:
    assert check_shape({**unsigned(), "kc:epoch": epoch}) == ["kc:epoch is malformed"]


def test_r6_the_last_epoch_is_one() -> None:
    assert check_shape({**unsigned(), "kc:epoch": 2**63 - 1}) == []


REQUIRED = {
    (): "@id @type dct:conformsTo dct:identifier dct:created kc:record kc:epoch kc:purpose kc:precision",
    ("dpv:hasDataController",): "dct:identifier",
    ("dpv:hasNotice",): "dct:identifier kc:version dct:language kc:textSha256 kc:fieldsSha256",
    ("proof",): "algorithm canonicalization public_key",
    (STATUS, 0): "@type dpv:isIndicatedAtTime dpv:isIndicatedBy dpv:hasDuration kc:simulated",
    (STATUS, 1): "@type dpv:isIndicatedAtTime dpv:isIndicatedBy",
}


@pytest.mark.parametrize(
    ("path", "member"), [(path, member) for path, members in REQUIRED.items() for member in members.split()]
)
def test_r20_every_member_that_is_relied_on_is_asked_for(path: tuple[Any, ...], member: str) -> None:
    record = unsigned(*ENDED)
    place: Any = record
    for step in path:
        place = place[step]
    del place[member]
    (problem,) = check_shape(record)
    assert problem.endswith(f"{member} is missing")


@pytest.mark.parametrize("member", ["kc:record", "kc:epoch", "dpv:hasNotice", PROCESS, STATUS, "proof", "@context"])
def test_r20_what_is_relied_on_must_be_there(member: str) -> None:
    record = unsigned()
    del record[member]
    assert len(check_shape(record)) == 1


@pytest.mark.parametrize(
    "extra",
    [
        {"kc:accuracy": 12.5},
        {"latitude": "60"},
        {"kc:Longitude": 24},
        {"kc:deep": [{"kc:list": [{"geo:lat": None}]}]},
        {"kc:deep": [[[60.17]]]},
    ],
    ids=repr,
)
def test_r20_a_record_with_a_coordinate_is_refused(extra: dict[str, Any]) -> None:
    assert check_shape({**unsigned(), **extra}) == ["it holds something like a coordinate"]


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "\u202eevil", "\ud800", "\x00", "\u2028"], ids=ascii)
def test_r10_what_cannot_be_shown_is_refused(text: str) -> None:
    assert check_shape({**unsigned(), "kc:note": text}) == ["it holds characters that cannot be shown"]
    assert check_shape({**unsigned(), text: "x"}) == ["it holds characters that cannot be shown"]


def test_spaces_of_every_script_can_be_shown() -> None:
    assert check_shape({**unsigned(), "kc:note": "Oy\u00a0Ab\u3000株式会社"}) == []


def test_r20_a_huge_or_endless_record_is_refused_soon() -> None:
    endless: list[Any] = []
    endless.append(endless)
    deep: Any = "x"
    for _ in range(50):
        deep = {"kc:deep": deep}
    for extra in (endless, deep, ["x"] * 100_000, "x" * 10_000):
        assert check_shape({**unsigned(), "kc:extra": extra}) == ["it is too large or too deeply nested"]


def test_twelve_levels_below_the_record_are_the_deepest() -> None:
    nested: list[Any] = []
    for _ in range(11):
        nested = [nested]
    assert check_shape({**unsigned(), "kc:extra": nested}) == []
    assert check_shape({**unsigned(), "kc:extra": [nested]}) == ["it is too large or too deeply nested"]


def test_what_is_not_json_is_refused() -> None:
    assert check_shape({**unsigned(), "kc:extra": b"x"}) == ["it holds something that is not JSON"]
    assert check_shape({**unsigned(), 7: "x"}) == ["it holds characters that cannot be shown"]
    for document in (None, [], "x", 7):
        assert check_shape(document) == ["it is not a JSON object"]


def test_a_number_that_no_writer_can_write_does_not_verify() -> None:
    refused({**RECEIPT, "kc:extra": 10**5000}, "the signature does not match: the record was changed")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.sampled_from(LEAVES), st.integers(0, 6))
@example({"@type": []}, ("proof",), 0)
def test_r20_verification_is_total(value: Any, path: tuple[Any, ...], depth: int) -> None:
    """Anything may stand anywhere in a record; the answer is a Verified, and no error."""
    assert not checked(value).valid
    record = copy.deepcopy(dict(RECEIPT))
    way = path[: 1 + depth % len(path)]
    parent: Any = record
    for key in way[:-1]:
        parent = parent[key]
    unchanged = type(parent[way[-1]]) is type(value) and parent[way[-1]] == value
    parent[way[-1]] = value
    assert checked(record).valid is unchanged


# -- signed messages -----------------------------------------------------------------------------


def test_the_signed_forms_never_change() -> None:
    """Signatures made ahead must verify in every later version."""
    assert notice_message("r", "n", 2**63 - 1) == (
        b'{"epoch":9223372036854775807,"notice_id":"n","record_id":"r","type":"kalos-connect/withdrawal/1"}'
    )
    assert (
        registration_message("r", 1, "k", {"b": 1, "a": "ä"})
        == (
            '{"epoch":1,"public_key":"k","record":{"a":"ä","b":1},"record_id":"r","type":"kalos-connect/registration/1"}'
        ).encode()
    )
    assert signing_bytes({"@context": {"x": 1}, "b": 1, "proof": {"value": "s", "public_key": "k"}}) == (
        b'{"b":1,"proof":{"public_key":"k"}}'
    )


def test_r5_a_signature_of_one_kind_is_never_one_of_another() -> None:
    with pytest.raises(MalformedRecord):
        signing_bytes(json.loads(notice_message("r", "n", 1)))
    with pytest.raises(MalformedRecord):
        signing_bytes(json.loads(registration_message("r", 1, "k", {})))
    assert "type" in json.loads(notice_message("r", "n", 1))
    assert "type" not in json.loads(signing_bytes(RECEIPT))


def test_signing_covers_everything_but_context_and_value() -> None:
    assert signing_bytes(unsigned(*ENDED, asserted_parked="a laptop on a desk")) == signing_bytes(RECEIPT)
    document = json.loads(signing_bytes(RECEIPT))
    assert set(RECEIPT) - set(document) == {"@context"}
    assert set(RECEIPT["proof"]) - set(document["proof"]) == {"value"}
    assert all(document[name] == RECEIPT[name] for name in document if name != "proof")


def test_attaching_changes_nothing_else() -> None:
    record = unsigned()
    before = copy.deepcopy(record)
    receipt = attach_signature(record, bytes(64))
    assert record == before
    receipt["proof"].pop("value")
    assert receipt == before
    with pytest.raises(MalformedRecord):
        attach_signature({"proof": None}, bytes(64))


@pytest.mark.parametrize(
    "record",
    [
        {"a": 1.5},
        {"a": float("nan")},
        {"a": [{"b": 60.1699}]},
        {"a": "\ud800-canary"},
        {1: "x"},
        {"a": b"x"},
        {"a": {1}},
    ],
    ids=ascii,
)
def test_r10_what_has_no_canonical_form_is_refused_without_its_content(record: Any) -> None:
    for make in (signing_bytes, lambda document: registration_message("r", 1, "k", document)):
        with pytest.raises(MalformedRecord, match=r"^the document has no canonical form$") as caught:
            make(record)
        assert caught.value.__context__ is None
        assert caught.value.__cause__ is None


def test_endless_nesting_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    with pytest.raises(MalformedRecord):
        signing_bytes(endless)
