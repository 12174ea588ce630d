"""HMAC-SHA256 (R8)."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from kalos_connect_sdk.crypto.mac import mac, same


def test_published_vector() -> None:
    """RFC 4231, test case 6: a key longer than the block."""
    message = b"Test Using Larger Than Block-Size Key - Hash Key First"
    assert mac(b"\xaa" * 131, message).hex() == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"


def test_another_key_or_message_gives_another_code() -> None:
    code = mac(b"k" * 32, b"m")
    assert code == hmac.new(b"k" * 32, b"m", hashlib.sha256).digest()
    assert not same(code, mac(b"l" * 32, b"m"))
    assert not same(code, mac(b"k" * 32, b"n"))
    assert not same(code, code[:-1])
    assert same(code, bytes(code))


def test_r10_a_short_key_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes") as caught:
        mac(b"hunter2", b"m")
    assert "hunter2" not in str(caught.value)
