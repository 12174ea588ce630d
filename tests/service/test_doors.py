"""The protocol of section 7, through every door of the service: the emulator's and the application's."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime

import pytest


def test_registering_answers_a_token_and_the_same_again_rotates_it(device):
    first = device.register()
    assert (first.status, first.document["encodings"]) == (201, ["gzip", "identity"])
    old = device.token
    second = device.register()
    assert second.status == 200 and device.token != old
    assert device.send().status == 202
    device.token = old
    assert (device.send().status, device.send().problem) == (401, "token-required")


def test_status_has_an_entity_tag_that_changes_with_it(device):
    device.register()
    known = device.status()
    assert known.document == {"record_id": device.record_id, "status": "given", "epoch": 1}
    tag = known.headers["etag"]
    assert device.status(**{"If-None-Match": f'"other", W/{tag}'}).status == 304
    device.withdraw()
    ended = device.status(**{"If-None-Match": tag})
    assert (ended.status, ended.document["status"]) == (200, "withdrawn")


def test_status_is_told_to_the_holder_of_its_token_alone(device, new_device, service_url):
    device.register()
    stranger = new_device(service_url)
    assert stranger.status().status == 401
    stranger.record_id = "f" * 32
    stranger.register()
    assert stranger.call("GET", f"/v1/consents/{device.record_id}").status == 401


def test_r6_an_epoch_that_ended_is_refused_for_ever(device):
    device.register(3)
    assert device.send(device.batch(3)).status == 202
    assert device.withdraw(3).document == {"epoch": 3, "dropped": 2}
    assert device.send(device.batch(3), key="k2").problem == "consent-withdrawn"
    assert [device.register(epoch).problem for epoch in (1, 2, 3)] == ["consent-withdrawn"] * 3
    assert device.register(4).status == 200
    assert device.send(device.batch(3), key="k3").status == 410
    assert device.send(device.batch(4), key="k4").status == 202


def test_r6_a_late_notice_of_an_older_epoch_ends_no_newer_grant(device):
    device.register(1)
    device.send(device.batch(1))
    device.register(2)
    device.send(device.batch(2), key="k2")
    assert device.withdraw(1).document == {"epoch": 1, "dropped": 2}
    assert device.status().document["status"] == "given"
    assert device.send(device.batch(2), key="k3").status == 202


def test_r5_a_notice_for_a_record_never_seen_sets_the_fence_and_binds_the_key(device, new_device, service_url):
    assert device.withdraw(2).document == {"epoch": 2, "dropped": 0}
    assert device.register(2).status == 410
    stranger = new_device(service_url)
    stranger.record_id = device.record_id
    assert stranger.register(3).problem == "key-mismatch"
    assert device.register(3).status == 200


def test_r5_a_repeated_notice_is_acknowledged_again_with_the_same_answer(device):
    device.register()
    device.send()
    first = device.withdraw()
    device.register(2)
    assert device.withdraw().document == first.document
    assert device.status().document["status"] == "given"


def test_r11_withdrawing_needs_neither_token_nor_time(device):
    device.register()
    device.token = None
    for said in (None, "not a time", 7, "x" * 100):
        assert device.withdraw(notice_id=f"n{said}"[:20].replace(" ", "-"), withdrawn_at=said).status == 200


@pytest.mark.parametrize(
    ("change", "status", "problem"),
    [
        ({"epoch": 0}, 422, "malformed-document"),
        ({"epoch": -1}, 422, "malformed-document"),
        ({"epoch": 2**63}, 422, "malformed-document"),
        ({"epoch": True}, 422, "malformed-document"),
        ({"epoch": 1.0}, 422, "malformed-document"),
        ({"epoch": 2}, 401, "invalid-signature"),
        ({"notice_id": "n 1"}, 422, "malformed-document"),
        ({"notice_id": ""}, 422, "malformed-document"),
        ({"notice_id": "n2"}, 401, "invalid-signature"),
        ({"public_key": "A" * 43}, 401, "invalid-signature"),
        ({"public_key": "not base64!"}, 401, "invalid-signature"),
        ({"signature": 5}, 422, "malformed-document"),
        ({"signature": "A" * 86}, 401, "invalid-signature"),
    ],
)
def test_a_notice_that_is_not_what_was_signed_does_nothing(device, change, status, problem):
    device.register()
    body = {**device.notice(), **change}
    answer = device.call("POST", f"/v1/consents/{device.record_id}/withdrawals", body)
    assert (answer.status, answer.problem) == (status, problem)
    assert device.status().document["status"] == "given"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"epoch": 2}, 401),
        ({"record": {"kc:epoch": 1}}, 401),
        ({"record": 5}, 422),
        ({"record": {"n": 0.5}}, 422),
        ({"public_key": None}, 422),
        ({"signature": "short"}, 401),
    ],
)
def test_a_registration_that_is_not_what_was_signed_is_refused(device, change, status):
    body = {**device.registration(), **change}
    assert device.call("PUT", f"/v1/consents/{device.record_id}", body).status == status


def test_a_signature_cannot_be_moved_to_another_record(device):
    other = "f" * 32
    assert device.call("PUT", f"/v1/consents/{other}", device.registration()).status == 401
    device.register()
    assert device.call("POST", f"/v1/consents/{other}/withdrawals", device.notice()).status == 401
    assert device.call("PUT", "/v1/consents/no%20id", device.registration()).status == 422


@pytest.mark.parametrize(
    "change",
    [
        {"kc:record": "f" * 32},
        {"kc:epoch": 2},
        {"kc:purpose": None},
        {"kc:precision": "exact"},
        {"dpv:hasNotice": None},
        {"dpv:hasNotice": {"kc:textSha256": "a" * 64}},
        {"dpv:hasConsentStatus": []},
        {"dpv:hasConsentStatus": [{"dpv:hasDuration": {"@type": "dpv:UntilTimeDuration", "rdf:value": "soon"}}]},
        {
            "dpv:hasConsentStatus": [
                {"dpv:hasDuration": {"@type": "dpv:UntilTimeDuration", "rdf:value": "2026-01-01T00:00:00"}}
            ]
        },
    ],
)
def test_r1_a_record_that_does_not_say_what_was_agreed_registers_nothing(device, change):
    assert device.register(**change).problem == "record-incomplete"


def test_the_same_epoch_with_other_terms_is_another_grant_and_refused(device):
    device.register()
    assert device.register(**{"kc:precision": "approximate"}).problem == "epoch-reused"
    assert device.register(2, **{"kc:precision": "approximate"}).status == 200


def test_a_grant_to_other_fields_while_one_holds_is_a_renewal(device):
    device.register(1)
    device.register(2, **{"dpv:hasNotice": {"kc:textSha256": "c" * 64, "kc:fieldsSha256": "d" * 64}})
    assert device.status().document == {"record_id": device.record_id, "status": "renewed", "epoch": 2}


def test_r13_a_grant_whose_time_is_over_is_expired(device, clock):
    end = datetime.fromtimestamp(clock.now_s + 10, UTC).isoformat()
    until = {"@type": "dpv:UntilTimeDuration", "rdf:value": end}
    device.register(**{"dpv:hasConsentStatus": [{"dpv:hasDuration": until}]})
    assert device.send().status == 202
    clock.now_s += 10
    assert (device.send(key="k2").status, device.send(key="k2").problem) == (403, "consent-expired")
    assert device.status().document["status"] == "expired"


@pytest.mark.parametrize(
    ("member", "status", "problem"),
    [
        ({"record_id": "f" * 32}, 403, "consent-required"),
        ({"purpose": "advertising"}, 403, "consent-required"),
        ({"precision": "exact"}, 403, "consent-required"),
        ({"notice_sha256": "c" * 64}, 409, "notice-changed"),
        ({"epoch": 2}, 401, "registration-required"),
        ({"epoch": 0}, 422, "malformed-document"),
        ({"epoch": 2**63}, 422, "malformed-document"),
    ],
)
def test_r14_r15_positions_come_under_the_very_grant_that_was_registered(device, member, status, problem):
    device.register()
    answer = device.send(device.batch(**member))
    assert (answer.status, answer.problem) == (status, problem)


def test_r15_precise_positions_under_an_approximate_grant_are_refused(device):
    device.register(**{"kc:precision": "approximate"})
    assert device.send().problem == "consent-required"
    assert device.send(device.batch(precision="approximate")).status == 202


def test_r1_a_batch_without_a_word_of_consent_is_refused(device):
    device.register()
    batch = device.batch()
    del batch["consent"]
    assert device.send(batch).problem == "consent-required"


def test_r14_a_cross_border_grant_alone_opens_nothing(device):
    device.register(**{"kc:purpose": "cross-border-transfer"})
    assert device.send().problem == "consent-required"


def test_r5_a_batch_sent_twice_is_kept_once_and_a_bad_feature_does_not_cost_it(device):
    device.register()
    batch = device.batch(count=3)
    batch["features"][1]["geometry"]["coordinates"] = [24.9, 91]
    batch["features"].append("nonsense")
    expected = {
        "accepted": 2,
        "rejected": [{"id": 1, "problem": "invalid-position"}, {"id": None, "problem": "invalid-feature"}],
    }
    assert device.send(batch).document == device.send(batch).document == expected
    assert device.send(batch, key="another").document == expected
    assert device.withdraw().document["dropped"] == 4


@pytest.mark.parametrize("key", ["", "k1", '"', '""', '"a"b"', '"\\"', '"ü"', '"' + "x" * 200 + '"'])
def test_an_idempotency_key_is_a_quoted_string(device, key):
    device.register()
    answer = device.send(Idempotency_Key=key.encode().decode("latin-1"))
    assert (answer.status, answer.problem) == (400, "idempotency-key-required")


def test_gzip_is_taken_and_bounded(device):
    device.register()
    assert device.send(Content_Encoding="gzip").status == 202
    plain = json.dumps(device.batch()).encode()
    squeezed = gzip.compress(plain)
    bomb = gzip.compress(b" " * (5 * 1024 * 1024))
    cases = [(squeezed[:-4], 422), (squeezed + b"x", 422), (plain, 422), (bomb, 413)]
    assert [device.send(body, Content_Encoding="gzip").status for body, _ in cases] == [want for _, want in cases]
    assert device.send(plain, Content_Encoding="br").problem == "unsupported-encoding"
    assert device.send(plain, Content_Encoding="identity").status == 202


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":1e400}',
        b'{"a":"\\u0000"}',
        b'{"a":"\\ud800"}',
        b"\xff",
        b"[" * 5000,
        b'{"type":"FeatureCollection"}',
    ],
)
def test_r10_malformed_documents_are_refused_by_name_and_never_quoted(device, text):
    device.register()
    answers = [
        device.send(text),
        device.call("PUT", f"/v1/consents/{device.record_id}", text, {"Content-Type": "application/json"}),
        device.call("POST", "/v1/routes", text, {"Content-Type": "application/json"}),
    ]
    for answer in answers:
        assert (answer.status, answer.problem) == (422, "malformed-document")
        assert set(answer.document) == {"type", "title", "status", "member"}


def test_the_media_type_says_what_a_body_is(device):
    device.register()
    assert device.send(Content_Type="application/json").status == 415
    assert device.send(Content_Type="Application/Geo+JSON; charset=utf-8").status == 202
    assert device.call("POST", "/v1/routes", b"{}", {"Content-Type": "text/plain"}).status == 415


def test_too_much_is_refused_by_count_and_by_size(device):
    device.register()
    batch = device.batch(count=1)
    batch["features"] *= 2001
    assert device.send(batch).problem == "batch-too-large"
    big = {"origin": "x" * 300_000}
    assert device.call("POST", "/v1/routes", big).problem == "body-too-large"


def test_paths_and_methods_that_do_not_exist_are_problems(device):
    assert device.call("GET", "/nothing").status == 404
    assert device.call("POST", "/v1/nothing", {}).status == 404
    refused = device.call("DELETE", f"/v1/consents/{device.record_id}")
    assert (refused.status, refused.headers["allow"]) == (405, "PUT, GET")
    assert device.call("GET", "/v1/positions").headers["allow"] == "POST"
    assert device.call("POST", "/v1/notice", {}).headers["allow"] == "GET"
    assert device.call("GET", f"/v1/consents/{device.record_id}/withdrawals").status == 405


def test_r19_a_route_between_typed_places_needs_nothing(device):
    answer = device.route()
    assert answer.status == 200 and answer.headers["content-type"] == "application/geo+json"
    assert answer.document["properties"]["manoeuvres"][0]["instruction"] == "Set off."
    assert device.route(locale="zh-CN").document["properties"]["manoeuvres"][-1]["instruction"] == "您已到达目的地。"
    assert device.route(locale="../..").status == 422
    assert device.route(origin={"type": "Point", "coordinates": [24, 91]}).status == 422


def test_r2_a_route_from_the_device_needs_a_precise_grant_and_its_token(device):
    assert device.route(consent=device.member()).status == 401
    device.register()
    assert device.route(consent=device.member()).status == 200
    assert device.route(consent=device.member(precision="approximate")).status == 403
    device.withdraw()
    assert device.route(consent=device.member()).problem == "consent-withdrawn"
    assert device.route().status == 200


def test_without_a_notice_there_is_none(device):
    assert (device.call("GET", "/v1/notice").status, device.call("GET", "/v1/notice").problem) == (404, "no-notice")


def test_refusals_of_a_token_say_how_to_show_one(device):
    for header in ("", "Bearer", "Bearer ", "Basic abc", "Bearer " + "x" * 600, "Bearer nobody"):
        answer = device.send(Authorization=header)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
