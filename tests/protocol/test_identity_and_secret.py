"""What the vault holds, and what happens without it (R7, R8, R9, R10)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk import Purpose, VaultUnavailable
from kalos_connect_sdk.crypto.sign import verify
from kalos_connect_sdk.protocol.identity import Identity
from kalos_connect_sdk.protocol.secret import Secret
from kalos_connect_sdk.testing import MemoryVault

NAVIGATION, BORDER = Purpose.NAVIGATION, Purpose.CROSS_BORDER_TRANSFER


def identity(vault: MemoryVault, *, slot: str = "slot", parked: bool = True) -> Identity:
    return Identity(slot, lambda: vault, lambda: parked)


@pytest.fixture(autouse=True)
def nothing_left_in_memory():
    yield
    from kalos_connect_sdk.protocol import identity as module

    module._this_run.clear()


# -- the secret ----------------------------------------------------------------------------------


def test_a_secret_comes_back_from_the_vault_as_it_went_in():
    secret = Secret.new().with_token("record", "token").raised({NAVIGATION: 3})
    back = Secret.from_bytes(secret.to_bytes())
    assert back.to_bytes() == secret.to_bytes()
    assert back.key_id == secret.key_id and back.signing.public == secret.signing.public
    assert back.tokens == {"record": "token"} and back.counter(NAVIGATION) == 3 and back.counter(BORDER) == 0
    message = b"message"
    assert verify(secret.signing.public, back.signing.sign(message), message)


def test_r10_a_secret_shows_nothing():
    secret = Secret.new().with_token("record", "a-token")
    for shown in (repr(secret), str(secret), f"{secret}"):
        assert shown == "<Secret>"


def test_two_secrets_are_two_identities():
    one, other = Secret.new(), Secret.new()
    assert one.key_id != other.key_id and one.signing.public != other.signing.public


def test_r8_only_the_same_key_authenticates():
    one, other = Secret.new(), Secret.new()
    code = one.authenticate(b"digest")
    assert one.authentic(b"digest", code)
    assert not one.authentic(b"another", code) and not other.authentic(b"digest", code)
    assert not one.authentic(b"digest", None) and not one.authentic(b"digest", b"")


@given(st.lists(st.dictionaries(st.sampled_from(list(Purpose)), st.integers(0, 100)), max_size=6))
def test_r7_counters_only_rise(raises):
    secret = Secret.new()
    for ended in raises:
        before = dict(secret.counters)
        secret = secret.raised(ended)
        for purpose in Purpose:
            assert secret.counter(purpose) == max(before.get(purpose, 0), ended.get(purpose, 0))
    assert secret.raised({purpose: secret.counter(purpose) for purpose in Purpose}) is secret


def test_raising_nothing_changes_nothing():
    secret = Secret.new().raised({NAVIGATION: 2})
    assert secret.raised({NAVIGATION: 1}) is secret


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(v=2),
        lambda d: d.pop("v"),
        lambda d: d.pop("signing"),
        lambda d: d.update(signing="!"),
        lambda d: d.update(signing="AAAA"),
        lambda d: d.update(signing=7),
        lambda d: d.update(authentication=None),
        lambda d: d.update(tokens=[]),
        lambda d: d.update(counters={"another-purpose": 1}),
        lambda d: d.update(counters={"navigation": "many"}),
        lambda d: d.update(counters={"navigation": None}),
    ],
)
def test_r10_an_entry_of_something_else_is_refused_without_a_word_of_it(change):
    document = json.loads(Secret.new().with_token("record", "a-token").to_bytes())
    change(document)
    with pytest.raises(VaultUnavailable) as caught:
        Secret.from_bytes(json.dumps(document).encode())
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    assert "a-token" not in str(caught.value)


@pytest.mark.parametrize("stored", [b"", b"\xff\xfe", b"[]", b"null", b"7", b'"text"', b"{", b"[" * 100_000])
def test_an_entry_that_is_no_document_is_refused(stored):
    with pytest.raises(VaultUnavailable) as caught:
        Secret.from_bytes(stored)
    assert caught.value.__context__ is None


@given(st.binary(max_size=200))
def test_whatever_the_vault_says_it_is_a_secret_or_a_refusal(stored):
    with pytest.raises(VaultUnavailable):
        Secret.from_bytes(stored)


# -- the identity --------------------------------------------------------------------------------


def test_a_secret_in_a_persistent_vault_is_found_by_the_next():
    vault = MemoryVault(persistent=True)
    one = identity(vault)
    assert one.load() is None
    secret = one.create()
    assert one.persistent and one.problem is None
    again = identity(vault)
    found = again.load()
    assert found is not None and found.key_id == secret.key_id and again.persistent
    again.probe()


def test_a_changed_secret_is_saved_where_it_belongs():
    vault = MemoryVault(persistent=True)
    one = identity(vault)
    assert one.save(one.create().with_token("r", "t"))
    found = identity(vault).load()
    assert found is not None and found.tokens == {"r": "t"}
    vault.available = False
    assert not one.save(found.with_token("r", "u"))
    assert one.problem is not None


def test_r9_without_a_usable_vault_it_lives_for_this_run_and_says_so():
    vault = MemoryVault(persistent=True)
    vault.available = False
    one = identity(vault)
    with pytest.raises(VaultUnavailable):
        one.load()
    secret = one.create()
    assert not one.persistent and one.problem
    other = identity(vault)
    assert other.load() is secret and not other.persistent, "the same run shares it"
    assert one.save(secret.with_token("r", "t"))
    kept = other.load()
    assert kept is not None and kept.tokens == {"r": "t"}


def test_r9_a_vault_that_is_set_to_memory_is_no_failure_to_load_and_no_place_to_last():
    vault = MemoryVault()
    one = identity(vault)
    assert one.load() is None
    one.create()
    assert not one.persistent and one.problem == "the vault is set to memory"
    with pytest.raises(VaultUnavailable, match="memory"):
        one.probe()


def test_a_vault_that_came_back_is_believed_before_memory():
    vault = MemoryVault(persistent=True)
    kept = identity(vault).create()
    vault.available = False
    one = identity(vault)
    temporary = one.create()
    vault.available = True
    found = one.load()
    assert found is not None and found.key_id == kept.key_id != temporary.key_id and one.persistent


def test_r12_a_vault_that_could_ask_is_left_alone_while_not_parked():
    vault = MemoryVault(persistent=True, may_prompt=True)
    with pytest.raises(VaultUnavailable, match="parked"):
        identity(vault, parked=False).load()
    assert identity(vault, parked=True).load() is None
    with pytest.raises(VaultUnavailable, match="parked"):
        identity(vault, parked=False).probe()


def test_forgetting_removes_it_everywhere():
    vault = MemoryVault(persistent=True)
    one = identity(vault)
    one.create()
    one.forget()
    assert one.load() is None
    passing = identity(MemoryVault())
    passing.create()
    passing.forget()
    assert passing.load() is None
    vault.available = False
    one.forget()
    assert one.problem


def test_saving_a_secret_nobody_made_here_is_no_new_one():
    one = identity(MemoryVault())
    assert one.save(Secret.new())
    assert one.load() is None


def test_slots_are_apart():
    vault = MemoryVault(persistent=True)
    identity(vault, slot="a").create()
    assert identity(vault, slot="b").load() is None


# -- in the whole --------------------------------------------------------------------------------


def test_r8_a_vault_with_a_damaged_entry_is_unavailable_and_kept(make, service):
    from kalos_connect_sdk import Duration, PermissionState, PromptAnswer, Reason

    vault = MemoryVault(persistent=True)
    connect = make(PromptAnswer.allow(Duration.days(7)), vault=vault)
    assert connect.request_permission(user_action=True).granted
    connect.close()
    (slot,) = vault._secrets
    vault.store(slot, b"not ours")
    again = make(vault=vault)
    permission = again.permission()
    assert permission.state is PermissionState.UNAVAILABLE and permission.reason is Reason.VAULT_UNAVAILABLE
    assert vault.load(slot) == b"not ours"
    assert again.withdraw().complete


def test_doctor_says_what_is_usable(make):
    vault = MemoryVault(persistent=True)
    connect = make(vault=vault)
    rows = {row["name"]: row for row in connect.doctor()}
    assert all(row["ok"] for row in rows.values()) and all(row["advice"] == "" for row in rows.values())
    vault.available = False
    rows = {row["name"]: row for row in connect.doctor()}
    assert not rows["vault"]["ok"] and rows["vault"]["advice"]


def test_doctor_without_anything(make):
    connect = make(vault=MemoryVault(), vehicle=None, settings={"service_url": None})
    rows = {row["name"]: row for row in connect.doctor()}
    assert [name for name, row in rows.items() if not row["ok"]] == ["vault", "vehicle", "service"]
    connect.request_permission(user_action=True)
    assert "60." not in json.dumps(connect.doctor())
