"""The gate: the one rule that says whether a precise position may leave, and the only maker of ``Clearance``.

Rules kept here:

- R1 unknown means no. The facts default to what refuses, and every check names what it accepts: a value that is
  missing, new or of a wrong type refuses.
- R2 a ``Clearance`` can only be made in this module, cannot be copied, stored or subclassed, and one for a typed
  place never passes for a position.
- R15 a grant never yields more precision than it gave; the coarser of wish and grant is the answer.

Pure and total: every combination of facts has an answer, and exactly the all-good ones are a yes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NoReturn, TypeGuard

from ..model.consent import Precision, Purpose, RecordState, Status
from ..model.decision import Reason
from ..model.vehicle import OsAnswer
from .lifetime import Verdict

__all__ = ["Border", "Clearance", "Decision", "Facts", "clear_place", "decide", "require_place", "require_position"]

_TOKEN: Final = object()


class Border(Enum):
    """Where the position and the service stand towards mainland China's border (R16)."""

    HOME = "home"
    """No border is crossed."""
    ABROAD_ALLOWED = "abroad-allowed"
    """It is, with a separate cross-border grant."""
    ABROAD_DENIED = "abroad-denied"


class Clearance:
    """The token that only a yes produces; the door takes nothing else (R2). Made by this module alone."""

    __slots__ = ("_token", "epoch", "kind", "precision", "purpose")

    kind: str
    """``position``: from a source; ``place``: typed by a person."""
    purpose: Purpose | None
    epoch: int
    precision: Precision | None

    def __init__(
        self,
        token: object,
        kind: str,
        purpose: Purpose | None = None,
        epoch: int = 0,
        precision: Precision | None = None,
    ) -> None:
        if token is not _TOKEN:
            raise TypeError("only the gate makes a Clearance")
        for name, value in (("kind", kind), ("purpose", purpose), ("epoch", epoch), ("precision", precision)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_token", token)

    def __init_subclass__(cls, **kwargs: Any) -> NoReturn:
        raise TypeError("Clearance cannot be subclassed")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Clearance cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Clearance cannot be changed")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Clearance cannot be copied or stored")

    def __repr__(self) -> str:
        purpose = f" {self.purpose.value} epoch {self.epoch}" if self.purpose else ""
        return f"<Clearance {self.kind}{purpose}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All the gate wants to know. Whatever is left out refuses (R1)."""

    purpose: Purpose
    state: RecordState
    wanted: Precision = Precision.PRECISE
    unreadable: Reason | None = None
    """``STATE_UNREADABLE``, ``STATE_ROLLED_BACK`` or ``VAULT_UNAVAILABLE``; None when state and vault were read."""
    ended: bool = True
    """A tombstone, the RAM counter or the vault's counter stands at or above the epoch."""
    authentic: bool = False
    """The vault's key vouches for the latest grant (R8)."""
    lifetime: Verdict = Verdict.UNTRUSTED
    notice_changed: bool = True
    controller_changed: bool = True
    origin_changed: bool = True
    os: OsAnswer = OsAnswer.UNKNOWN
    vehicle_privacy: bool = True
    profile_matches: bool = False
    guardian_missing: bool = True
    border: Border = Border.ABROAD_DENIED
    """For navigation; the cross-border purpose is itself the answer to that question."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The gate's answer. True as a condition exactly when allowed, so that a no is never mistaken for a yes."""

    allowed: bool
    reason: Reason
    precision: Precision | None = None
    clearance: Clearance | None = None

    def __post_init__(self) -> None:
        yes = self.reason is Reason.ALLOWED
        if self.allowed is not yes or isinstance(self.clearance, Clearance) is not yes:
            raise ValueError("a decision is a yes with a clearance, or a no with a reason")

    def __bool__(self) -> bool:
        return self.allowed


def decide(facts: Facts) -> Decision:
    """May a position be used for ``facts.purpose``? Never raises; a no has the first reason that applies."""
    reason = _forbidden_from_outside(facts) or _not_given(facts) or _no_longer_agreed(facts)
    terms = facts.state.terms
    if reason is not None or terms is None:
        return Decision(False, reason or Reason.STATE_UNREADABLE)
    exact = facts.wanted is Precision.PRECISE and terms.precision is Precision.PRECISE
    precision = Precision.PRECISE if exact else Precision.APPROXIMATE  # R15
    clearance = Clearance(_TOKEN, "position", facts.purpose, facts.state.epoch, precision)
    return Decision(True, Reason.ALLOWED, precision, clearance)


def _forbidden_from_outside(facts: Facts) -> Reason | None:
    """What no consent can overcome."""
    if facts.unreadable is not None:  # R1, R7, R8
        return facts.unreadable if facts.unreadable in _UNREADABLE else Reason.STATE_UNREADABLE
    if facts.profile_matches is not True:  # R18
        return Reason.PROFILE_MISMATCH
    if facts.os is OsAnswer.DENIED:
        return Reason.OS_DENIED
    if facts.os is not OsAnswer.GRANTED and facts.os is not OsAnswer.NOT_CONFIGURED:  # R1
        return Reason.OS_UNKNOWN
    if facts.vehicle_privacy is not False:
        return Reason.VEHICLE_PRIVACY
    if facts.guardian_missing is not False:  # R17
        return Reason.GUARDIAN_REQUIRED
    return None


def _not_given(facts: Facts) -> Reason | None:
    """Is there an active, authentic grant of this purpose, with no trace of its end?"""
    state = facts.state
    if state.purpose is not facts.purpose:
        return Reason.STATE_UNREADABLE
    if state.status is not Status.GIVEN and state.status is not Status.RENEWED:
        if state.status is Status.INVALIDATED and state.ended_reason in _CHANGED:
            return state.ended_reason
        return _INACTIVE.get(state.status, Reason.STATE_UNREADABLE)
    if facts.ended is not False:  # R3, R6: its end is on the way to the ledger
        return Reason.WITHDRAWN
    if facts.authentic is not True or state.terms is None or state.epoch < 1:  # R8
        return Reason.STATE_UNREADABLE
    return None


def _no_longer_agreed(facts: Facts) -> Reason | None:
    """Is what was agreed to still what would happen now?"""
    if facts.controller_changed is not False:  # R14
        return Reason.CONTROLLER_CHANGED
    if facts.origin_changed is not False:  # R14
        return Reason.ORIGIN_CHANGED
    if facts.notice_changed is not False:  # R14
        return Reason.NOTICE_CHANGED
    if facts.lifetime is Verdict.EXPIRED or facts.lifetime is Verdict.EXPIRED_UNCONFIRMED:  # R13
        return Reason.EXPIRED
    if facts.lifetime is not Verdict.ACTIVE:  # R13
        return Reason.CLOCK_UNTRUSTED
    if facts.purpose is not Purpose.CROSS_BORDER_TRANSFER and facts.border not in (  # R16
        Border.HOME,
        Border.ABROAD_ALLOWED,
    ):
        return Reason.CROSS_BORDER
    return None


_UNREADABLE: Final = (Reason.STATE_UNREADABLE, Reason.STATE_ROLLED_BACK, Reason.VAULT_UNAVAILABLE)
_CHANGED: Final = (Reason.NOTICE_CHANGED, Reason.CONTROLLER_CHANGED, Reason.ORIGIN_CHANGED)
_INACTIVE: Final = {
    Status.UNKNOWN: Reason.NOT_ASKED,
    Status.REFUSED: Reason.REFUSED,
    Status.WITHDRAWN: Reason.WITHDRAWN,
    Status.REVOKED: Reason.REVOKED,
    Status.EXPIRED: Reason.EXPIRED,
    Status.INVALIDATED: Reason.NOTICE_CHANGED,
}


def clear_place() -> Clearance:
    """A clearance for places a person typed: needs no consent (R19) and never carries a position (R2)."""
    return Clearance(_TOKEN, "place")


def require_position(clearance: object) -> Clearance:
    """``clearance`` itself, when it clears positions for navigation. Raises ``TypeError`` for anything else (R2)."""
    if not _real(clearance, "position") or clearance.purpose is not Purpose.NAVIGATION:
        raise TypeError("a position leaves only with a clearance the gate made for positions")
    return clearance


def require_place(clearance: object) -> Clearance:
    """``clearance`` itself, when it clears typed places. Raises ``TypeError`` for anything else (R2)."""
    if not _real(clearance, "place"):
        raise TypeError("a place leaves only with a clearance the gate made for places")
    return clearance


def _real(clearance: object, kind: str) -> TypeGuard[Clearance]:
    # object.__new__ can make an empty one: without the token it is nothing
    return type(clearance) is Clearance and getattr(clearance, "_token", None) is _TOKEN and clearance.kind == kind
