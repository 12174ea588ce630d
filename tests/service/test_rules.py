"""The service's rules of consent, over every order of events (R5, R6, R7)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.service import rules
from kalos_connect_sdk.service.refusal import Refusal
from kalos_connect_sdk.service.terms import Terms

TERMS = Terms("navigation", "precise", "a" * 64, "b" * 64, None)
KEY = "key"
epochs = st.integers(min_value=1, max_value=6)
events = st.lists(
    st.one_of(
        st.tuples(st.just("register"), epochs),
        st.tuples(st.just("withdraw"), epochs),
        st.tuples(st.just("revoke"), st.just(0)),
    ),
    max_size=14,
)


def registration(epoch: int, terms: Terms = TERMS) -> rules.Registration:
    return rules.Registration("r", epoch, KEY, {}, terms)


def notice(epoch: int) -> rules.WithdrawalNotice:
    return rules.WithdrawalNotice("r", f"n{epoch}", epoch, KEY, None)


def member(epoch: int) -> dict:
    return {
        "record_id": "r",
        "epoch": epoch,
        "purpose": "navigation",
        "precision": "precise",
        "notice_sha256": "a" * 64,
    }


def admitted(consent: rules.Consent | None, epoch: int) -> bool:
    if consent is None:
        return False
    try:
        rules.admit(consent, member(epoch), now_s=0)
    except Refusal:
        return False
    return True


def step(consent: rules.Consent | None, kind: str, epoch: int) -> rules.Consent | None:
    try:
        if kind == "register":
            return rules.register(consent, registration(epoch))
        if kind == "withdraw":
            return rules.withdraw(consent, notice(epoch))
        return consent and rules.revoke(consent)
    except Refusal as refusal:
        assert (refusal.status, refusal.name) == (410, "consent-withdrawn")
        return consent


@given(events)
def test_r6_in_every_order_the_fence_only_rises_and_what_is_behind_it_stays_out(history):
    consent, ended = None, set()
    for kind, epoch in history:
        before = consent
        consent = step(consent, kind, epoch)
        if kind == "withdraw":
            ended |= set(range(1, epoch + 1))
        if consent is not None:
            assert consent.fence >= (before.fence if before else 0)
            assert consent.epoch >= (before.epoch if before else 0)
            assert consent.fence <= consent.epoch
            if kind == "revoke" and before is not None:
                ended |= set(range(1, before.epoch + 1))
        open_epochs = {number for number in range(1, 8) if admitted(consent, number)}
        assert open_epochs <= {consent.epoch if consent else 0}
        assert not open_epochs & ended


@given(events, epochs)
def test_r5_a_notice_that_arrives_twice_changes_nothing_the_second_time(history, epoch):
    consent = None
    for kind, number in history:
        consent = step(consent, kind, number)
    once = rules.withdraw(consent, notice(epoch))
    assert rules.withdraw(once, notice(epoch)) == once


@given(events)
def test_the_revision_rises_with_every_change_and_only_then(history):
    consent = None
    for kind, epoch in history:
        before, consent = consent, step(consent, kind, epoch)
        if before is not None and consent is not None:
            assert (consent.revision > before.revision) == (consent is not before)


def test_a_withdrawal_after_a_revocation_is_the_persons_word():
    revoked = rules.revoke(rules.register(None, registration(1)))
    assert revoked.status == "revoked"
    assert rules.withdraw(revoked, notice(1)).status == "withdrawn"
    assert rules.revoke(rules.withdraw(revoked, notice(1))).status == "withdrawn"


def test_r14_a_service_that_insists_on_a_notice_refuses_grants_to_another():
    asked = {"navigation": "c" * 64, "cross-border-transfer": "d" * 64}
    with pytest.raises(Refusal, match="notice-changed"):
        rules.register(None, registration(1), fields_in_force=asked)
    held = rules.register(None, registration(1))
    with pytest.raises(Refusal, match="notice-changed"):
        rules.admit(held, member(1), now_s=0, fields_in_force=asked)
    rules.admit(held, member(1), now_s=0, fields_in_force={"navigation": "b" * 64})
    rules.admit(held, member(1), now_s=0, fields_in_force={"cross-border-transfer": "d" * 64})


def test_a_consent_without_terms_admits_nothing():
    held = replace(rules.register(None, registration(1)), terms=None)
    assert not admitted(held, 1)


def test_r10_nothing_shows_what_it_holds():
    held = rules.register(None, replace(registration(1), record={"secret": "s3cr3t"}))
    for value in (held, registration(1), notice(1)):
        assert "s3cr3t" not in repr(value) and KEY not in repr(value)
