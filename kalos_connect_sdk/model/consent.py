"""The words of consent: purposes, precision, duration, status, terms of a grant, permission."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import ClassVar

from .decision import Reason

__all__ = [
    "Duration",
    "DurationKind",
    "GrantTerms",
    "Permission",
    "PermissionState",
    "Precision",
    "PromptAnswer",
    "PromptChoice",
    "Purpose",
    "RecordState",
    "Status",
]


class Purpose(Enum):
    """Why location is used. Each purpose has a record, an epoch counter and a tombstone of its own."""

    NAVIGATION = "navigation"
    CROSS_BORDER_TRANSFER = "cross-border-transfer"


class Precision(Enum):
    """How exact a position may leave the device (R15)."""

    PRECISE = "precise"
    APPROXIMATE = "approximate"


class Status(Enum):
    """The DPV lifecycle of a consent. Only ``GIVEN`` and ``RENEWED`` open the gate."""

    UNKNOWN = "unknown"
    REFUSED = "refused"
    GIVEN = "given"
    RENEWED = "renewed"
    WITHDRAWN = "withdrawn"
    REVOKED = "revoked"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"

    @property
    def active(self) -> bool:
        """True for the two statuses that can open the gate."""
        return self is Status.GIVEN or self is Status.RENEWED


class PermissionState(Enum):
    """What an app sees, after the W3C Permissions API, plus three states a car needs."""

    PROMPT = "prompt"
    GRANTED = "granted"
    DENIED = "denied"
    BLOCKED = "blocked"
    DEFERRED = "deferred"
    UNAVAILABLE = "unavailable"


class DurationKind(Enum):
    """The three ways a person may limit a grant in time."""

    THIS_DRIVE = "this-drive"
    DAYS = "days"
    UNTIL_WITHDRAWN = "until-withdrawn"


@dataclass(frozen=True, slots=True)
class Duration:
    """How long a grant lasts: ``Duration.THIS_DRIVE``, ``Duration.days(7)`` or ``Duration.UNTIL_WITHDRAWN``."""

    kind: DurationKind
    day_count: int | None = None

    THIS_DRIVE: ClassVar[Duration]
    UNTIL_WITHDRAWN: ClassVar[Duration]

    def __post_init__(self) -> None:
        if (self.kind is DurationKind.DAYS) != (self.day_count is not None):
            raise ValueError("a number of days belongs to Duration.days(n) alone")

    @classmethod
    def days(cls, n: int) -> Duration:
        """A grant of ``n`` days, 1 to 3650. Raises ``ValueError`` otherwise."""
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 3650:
            raise ValueError("Duration.days takes a whole number from 1 to 3650")
        return cls(DurationKind.DAYS, n)

    def __str__(self) -> str:
        return f"{self.day_count}-days" if self.kind is DurationKind.DAYS else self.kind.value

    @classmethod
    def parse(cls, text: str) -> Duration:
        """The inverse of ``str(duration)``. Raises ``ValueError``."""
        if text.endswith("-days") and text[:-5].isascii() and text[:-5].isdecimal():
            return cls.days(int(text[:-5]))
        return cls(DurationKind(text))


Duration.THIS_DRIVE = Duration(DurationKind.THIS_DRIVE)
Duration.UNTIL_WITHDRAWN = Duration(DurationKind.UNTIL_WITHDRAWN)


class PromptChoice(Enum):
    """What a person did with a prompt."""

    ALLOW = "allow"
    DENY = "deny"
    DISMISS = "dismiss"


@dataclass(frozen=True, slots=True)
class PromptAnswer:
    """A person's answer. Allow needs an act of its own; there is no default on it (R12)."""

    choice: PromptChoice
    duration: Duration = Duration.THIS_DRIVE
    precision: Precision = Precision.PRECISE

    @classmethod
    def allow(cls, duration: Duration = Duration.THIS_DRIVE, precision: Precision = Precision.PRECISE) -> PromptAnswer:
        """Yes, for ``duration`` and at most at ``precision``."""
        return cls(PromptChoice.ALLOW, duration, precision)

    @classmethod
    def deny(cls) -> PromptAnswer:
        """No. The SDK asks again only on a user action."""
        return cls(PromptChoice.DENY)

    @classmethod
    def dismiss(cls) -> PromptAnswer:
        """Neither: nothing is granted; three of them make the SDK quiet for seven days."""
        return cls(PromptChoice.DISMISS)


@dataclass(frozen=True, slots=True)
class GrantTerms:
    """What exactly was agreed to, pinned in every grant (R13, R14). Holds no coordinate.

    Times are UTC; ``granted_boottime_s`` and ``granted_suspended_s`` are seconds of the boot
    ``granted_boot_id`` so that a wrong wall clock cannot lengthen the grant.
    """

    receipt_id: str
    precision: Precision
    duration: Duration
    notice_id: str
    notice_version: str
    notice_locale: str
    notice_sha256: str
    notice_fields_sha256: str
    controller_id: str
    service_origin: str
    granted_at: datetime
    expires_at: datetime | None
    granted_boot_id: str
    granted_boottime_s: float
    granted_suspended_s: float
    drive_id: str | None = None
    asserted_parked: str | None = None
    simulated: bool = False
    guardian: str | None = None
    """The app's reference to evidence of a guardian's consent (R17), such as the number of a form."""
    run_id: str | None = None
    """Set when the vault is memory only: the grant ends with that run (R9)."""


def guardian_reference(text: str | None) -> str | None:
    """``text`` as a reference to evidence of a guardian's consent that the app keeps (R17): 1 to 200 printable
    characters, not all blank. Raises ``ValueError``, which never repeats it."""
    if text is None:
        return None
    if not isinstance(text, str) or not text.strip() or len(text) > 200 or not text.isprintable():
        raise ValueError("guardian must be 1 to 200 printable characters: a reference to evidence that the app keeps")
    return text


@dataclass(frozen=True, slots=True)
class RecordState:
    """One purpose's record as folded from the ledger (``core.history``)."""

    purpose: Purpose
    status: Status = Status.UNKNOWN
    epoch: int = 0
    """Epoch of the latest grant; 0 before the first."""
    terms: GrantTerms | None = None
    """Terms of the latest grant, kept after it ended."""
    erased_epoch: int = 0
    """Highest epoch whose drop (keys destroyed, ciphertext gone) was committed."""
    registered_epoch: int = 0
    """Highest epoch the service has acknowledged."""
    dismissals: int = 0
    """Dismissals in a row since the last answer or embargo."""
    embargo_from: datetime | None = None
    """When the third dismissal in a row happened (R12)."""
    ended_cause: str | None = None
    """Who ended it: ``subject``, ``guardian``, ``controller``, ``service``, ``os``, ``vehicle``, ``profile``,
    ``time``, ``drive``, ``notice``, ``origin``."""
    ended_reason: Reason | None = None
    changed_at: datetime | None = None
    minor: bool = False
    """The profile was marked as a minor: a grant needs evidence of a guardian's consent (R17)."""

    @property
    def guardian_missing(self) -> bool:
        """R17: the profile is a minor's, and the latest grant has no evidence of a guardian's consent."""
        return self.minor and (self.terms is None or self.terms.guardian is None)


@dataclass(frozen=True, slots=True)
class Permission:
    """The answer to *may I?*, safe to show and to log."""

    state: PermissionState
    reason: Reason
    precision: Precision | None = None
    expires_at: datetime | None = None
    epoch: int = 0
    receipt_id: str | None = None

    @property
    def granted(self) -> bool:
        """True only while location may be used."""
        return self.state is PermissionState.GRANTED
