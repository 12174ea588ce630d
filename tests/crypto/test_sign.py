"""Ed25519 keys of a device (R8, R10, R20)."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.crypto.sign import SigningKey, fingerprint, verify

# RFC 8032, section 7.1, test 3
SECRET = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
PUBLIC = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
MESSAGE = bytes.fromhex("af82")
SIGNATURE = bytes.fromhex(
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
)
KEY = SigningKey.from_bytes(SECRET)


def test_published_vector() -> None:
    assert KEY.public == PUBLIC
    assert KEY.sign(MESSAGE) == SIGNATURE
    assert verify(PUBLIC, SIGNATURE, MESSAGE)


def test_a_key_goes_to_the_vault_and_back() -> None:
    key = SigningKey.generate()
    again = SigningKey.from_bytes(key.to_bytes())
    assert again.public == key.public != SigningKey.generate().public
    assert verify(key.public, again.sign(b"m"), b"m")


@given(st.integers(0, 511), st.binary(max_size=50))
def test_a_changed_signature_or_message_is_not_valid(bit: int, message: bytes) -> None:
    signature = bytearray(KEY.sign(message))
    signature[bit // 8] ^= 1 << bit % 8
    assert not verify(PUBLIC, bytes(signature), message)
    assert not verify(PUBLIC, KEY.sign(message), message + b"\x00")


@given(st.binary(max_size=70), st.binary(max_size=70))
def test_verify_raises_for_nothing_a_peer_may_send(public: bytes, signature: bytes) -> None:
    assert not verify(public, signature, MESSAGE)
    assert not verify(public, SIGNATURE, MESSAGE)
    assert not verify(PUBLIC, signature, MESSAGE)


def test_thirty_two_bytes_that_are_no_point_are_not_valid() -> None:
    assert not verify(b"\x02" + bytes(31), SIGNATURE, MESSAGE)
    assert not verify(b"\xff" * 32, SIGNATURE, MESSAGE)


@pytest.mark.parametrize("raw", [b"", SECRET[:-1], SECRET + b"\x00", SECRET.hex(), None])
def test_r10_a_malformed_key_is_refused_without_being_shown(raw: object) -> None:
    with pytest.raises(ValueError, match=r"^a signing key has 32 bytes$") as caught:
        SigningKey.from_bytes(raw)  # type: ignore[arg-type]
    assert caught.value.__context__ is None


def test_r10_a_key_shows_nothing_and_does_not_travel() -> None:
    assert repr(KEY) == str(KEY) == f"{KEY}" == "<SigningKey>"
    assert not hasattr(KEY, "__dict__")
    for travel in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            travel(KEY)


def test_a_fingerprint_never_changes() -> None:
    """People write it down; ``openssl dgst -sha256`` over the 32 bytes gives the same digest."""
    assert fingerprint(PUBLIC) == "SHA256:2sBz4BI73qWd2bO9qc9gN_Y6yoJifXq81cSsKd10AD4"
    assert fingerprint(PUBLIC) != fingerprint(SigningKey.generate().public)


def test_importing_crypto_does_not_load_the_library() -> None:
    """``permission()`` imports these modules; only a key needs the library (section 11)."""
    modules = ", ".join(f"kalos_connect_sdk.crypto.{name}" for name in ("encoding", "mac", "seal", "sign"))
    code = f"import sys, {modules}; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
