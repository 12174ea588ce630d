"""What the vault holds: identity, authentication key, access tokens, and the counter that never goes back (R7, R8)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.canonical import canonical
from ..crypto.encoding import b64, unb64
from ..crypto.mac import mac, same
from ..crypto.sign import SigningKey
from ..errors import VaultUnavailable
from ..model.consent import Purpose
from ..storage.forks import undivided

__all__ = ["Secret"]

_KEY_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """One state directory's secret. ``key_id`` names the authentication key without telling it."""

    signing: SigningKey
    authentication: bytes
    tokens: Mapping[str, str] = field(default_factory=dict)
    counters: Mapping[Purpose, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        return "<Secret>"

    @classmethod
    @undivided("loading what signs")
    def new(cls) -> Secret:
        """A fresh identity."""
        return cls(SigningKey.generate(), secrets.token_bytes(_KEY_BYTES))

    @property
    def key_id(self) -> str:
        """A public name of the authentication key."""
        return mac(self.authentication, b"kalos-connect key id")[:8].hex()

    def authenticate(self, digest: bytes) -> bytes:
        """The code that ties a chain link to this vault."""
        return mac(self.authentication, b"kalos-connect link" + digest)

    def authentic(self, digest: bytes, code: bytes | None) -> bool:
        """True when ``code`` was made by :meth:`authenticate` with this key."""
        return code is not None and same(code, self.authenticate(digest))

    def counter(self, purpose: Purpose) -> int:
        """The highest epoch of ``purpose`` known to have ended."""
        return self.counters.get(purpose, 0)

    def raised(self, ended: Mapping[Purpose, int]) -> Secret:
        """With counters at least as high as ``ended``; never lower."""
        higher = {purpose: epoch for purpose, epoch in ended.items() if epoch > self.counter(purpose)}
        return replace(self, counters={**self.counters, **higher}) if higher else self

    def with_token(self, record_id: str, token: str) -> Secret:
        """With the access token of one record."""
        return replace(self, tokens={**self.tokens, record_id: token})

    def to_bytes(self) -> bytes:
        """For the vault."""
        document: dict[str, Any] = {
            "v": 1,
            "signing": b64(self.signing.to_bytes()),
            "authentication": b64(self.authentication),
            "tokens": dict(self.tokens),
            "counters": {purpose.value: count for purpose, count in self.counters.items()},
        }
        return canonical({**document, "check": b64(self._check(document))})

    def _check(self, document: Mapping[str, Any]) -> bytes:
        """R8: a flipped bit in another key, a token or a counter is damage, not another identity."""
        return mac(self.authentication, b"kalos-connect secret" + canonical(document))

    @classmethod
    @undivided("loading what signs")
    def from_bytes(cls, stored: bytes) -> Secret:
        """From the vault. Raises :class:`VaultUnavailable` when it holds something else."""
        secret: Secret | None = None
        try:
            document = json.loads(stored)
            check = unb64(document.pop("check"))
            if document["v"] == 1:
                found = cls(
                    SigningKey.from_bytes(unb64(document["signing"])),
                    _of_length(unb64(document["authentication"])),
                    {str(key): str(value) for key, value in document["tokens"].items()},
                    {Purpose(key): _epoch(value) for key, value in document["counters"].items()},
                )
                secret = found if same(check, found._check(document)) else None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        if secret is None:
            raise VaultUnavailable("the vault's entry is damaged or not of this version; see kalos-connect doctor")
        return secret


def _of_length(key: bytes) -> bytes:
    """The authentication key: a short one would be guessed (R8)."""
    if len(key) != _KEY_BYTES:
        raise ValueError("an authentication key has 32 bytes")
    return key


def _epoch(value: object) -> int:
    """A counter; one that no grant could ever pass, or that is no number, is not ours (R7)."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("a counter is an epoch")
    return value
