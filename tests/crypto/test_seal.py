"""Sealed bytes open with their key, nonce and associated data, and with nothing else (R4, R9, R10)."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.crypto.seal import KEY_BYTES, NONCE_BYTES, OVERHEAD_BYTES, SealBroken, Sealer, new_key

KEY = bytes(range(32))
NONCE = bytes(12)
SEALER = Sealer(KEY)


def test_published_vector() -> None:
    """Test case 16 of the GCM specification (McGrew and Viega), AES-256 with associated data."""
    sealer = Sealer(bytes.fromhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"))
    plaintext = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    sealed = sealer.seal(
        bytes.fromhex("cafebabefacedbaddecaf888"), plaintext, bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    )
    assert sealed[-16:].hex() == "76fc6ece0f4e1768cddf8853bb2d551b"
    assert sealed[:8].hex() == "522dc1f099567d07"


@given(st.binary(max_size=200), st.binary(max_size=40), st.binary(min_size=12, max_size=12))
def test_round_trip(plaintext: bytes, aad: bytes, nonce: bytes) -> None:
    sealed = SEALER.seal(nonce, plaintext, aad)
    assert SEALER.open(nonce, sealed, aad) == plaintext
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES


@given(st.data())
def test_r4_a_changed_bit_does_not_open(data: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal(NONCE, b"forty-six bytes of position, give or take one", b"header"))
    at = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[at // 8] ^= 1 << at % 8
    with pytest.raises(SealBroken):
        SEALER.open(NONCE, bytes(sealed), b"header")


@pytest.mark.parametrize(
    "attempt",
    [
        lambda sealed: Sealer(bytes(32)).open(NONCE, sealed, b"header"),
        lambda sealed: SEALER.open(b"\x01" + NONCE[1:], sealed, b"header"),
        lambda sealed: SEALER.open(NONCE, sealed, b"Header"),
        lambda sealed: SEALER.open(NONCE, sealed[:-1], b"header"),
        lambda sealed: SEALER.open(NONCE, sealed + b"\x00", b"header"),
        lambda sealed: SEALER.open(NONCE, b"", b"header"),
        lambda sealed: SEALER.open(NONCE[:5], sealed, b"header"),
        lambda sealed: SEALER.open(b"", sealed, b"header"),
    ],
    ids=["key", "nonce", "aad", "cut", "longer", "empty", "short nonce", "no nonce"],
)
def test_r4_moved_or_cut_bytes_do_not_open(attempt: Callable[[bytes], bytes]) -> None:
    with pytest.raises(SealBroken) as caught:
        attempt(SEALER.seal(NONCE, b"60.1699", b"header"))
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert caught.value.args == ("sealed bytes do not open",)


@pytest.mark.parametrize("key", [b"", b"k" * 16, b"k" * 24, b"k" * 31, b"k" * 33, "k" * 32, None])
def test_r10_only_a_256_bit_key_and_never_shown(key: object) -> None:
    with pytest.raises(ValueError, match=r"^a data key has 32 bytes$"):
        Sealer(key)  # type: ignore[arg-type]


def test_r10_a_sealer_shows_no_key_and_does_not_travel() -> None:
    for shown in (repr(SEALER), str(SEALER), f"{SEALER}", f"{SEALER!r:>40}"):
        assert KEY.hex() not in shown
        assert repr(KEY)[2:-1] not in shown
    assert not hasattr(SEALER, "__dict__")
    for travel in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            travel(SEALER)


def test_new_keys_differ() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(key) for key in keys} == {KEY_BYTES}
    assert len(NONCE) == NONCE_BYTES
