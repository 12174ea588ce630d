"""Location consent for head units and companion apps.

Precise location leaves the device only while the user's consent is active, and is dropped when it is
withdrawn. Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aio import AsyncConnect
    from .config import Config
    from .connect import Connect
    from .core.notices.default import DEFAULT_NOTICE
    from .errors import (
        ConfigError,
        ConsentError,
        ConsentRequired,
        InvalidPosition,
        KalosConnectError,
        NoPosition,
        ServiceRefused,
        ServiceUnreachable,
        SourceError,
        SourceUnavailable,
        StateError,
        StateRolledBack,
        StateUnreadable,
        TransportError,
        VaultUnavailable,
    )
    from .model.consent import Duration, Permission, PermissionState, Precision, PromptAnswer, Purpose, Status
    from .model.decision import Reason
    from .model.events import (
        Arrived,
        BackOnRoute,
        ConsentLost,
        DriveStats,
        Guidance,
        OffRoute,
        Progress,
        Rerouted,
        RerouteFailed,
        SourceLost,
        SourceRestored,
    )
    from .model.notice import Controller, Notice, NoticeText
    from .model.position import Datum, Place, Position
    from .model.reports import FlushReport, Submission, WithdrawalReport
    from .model.review import DriveOutcome, DriveReview, Outcome
    from .model.rights import (
        DeletionReason,
        HourOfUse,
        MarkedBy,
        PrivacyReport,
        RequestKind,
        RequestStatus,
        RightsRequest,
    )
    from .model.route import Manoeuvre, Route, RouteQuestion
    from .model.timing import ClockReading
    from .model.vehicle import Gear, Ignition, Motion, OsAnswer, VehicleState
    from .ports import (
        AssertedParked,
        Clock,
        LocationSource,
        NavigationProvider,
        OsPermission,
        Prompter,
        PromptRequest,
        Vault,
        VehicleSignals,
    )
    from .protocol.driving import Drive

__version__ = "0.1.0"

_HOMES = {
    "aio": ("AsyncConnect",),
    "config": ("Config",),
    "connect": ("Connect",),
    "core.notices.default": ("DEFAULT_NOTICE",),
    "errors": (
        "ConfigError", "ConsentError", "ConsentRequired", "InvalidPosition", "KalosConnectError", "NoPosition",
        "ServiceRefused", "ServiceUnreachable", "SourceError", "SourceUnavailable", "StateError", "StateRolledBack",
        "StateUnreadable", "TransportError", "VaultUnavailable",
    ),
    "model.consent": (
        "Duration", "Permission", "PermissionState", "Precision", "PromptAnswer", "Purpose", "Status",
    ),
    "model.decision": ("Reason",),
    "model.events": (
        "Arrived", "BackOnRoute", "ConsentLost", "DriveStats", "Guidance", "OffRoute", "Progress", "RerouteFailed",
        "Rerouted", "SourceLost", "SourceRestored",
    ),
    "model.notice": ("Controller", "Notice", "NoticeText"),
    "model.position": ("Datum", "Place", "Position"),
    "model.reports": ("FlushReport", "Submission", "WithdrawalReport"),
    "model.review": ("DriveOutcome", "DriveReview", "Outcome"),
    "model.rights": (
        "DeletionReason", "HourOfUse", "MarkedBy", "PrivacyReport", "RequestKind", "RequestStatus", "RightsRequest",
    ),
    "model.route": ("Manoeuvre", "Route", "RouteQuestion"),
    "model.timing": ("ClockReading",),
    "model.vehicle": ("Gear", "Ignition", "Motion", "OsAnswer", "VehicleState"),
    "ports": (
        "AssertedParked", "Clock", "LocationSource", "NavigationProvider", "OsPermission", "PromptRequest", "Prompter",
        "Vault", "VehicleSignals",
    ),
    "protocol.driving": ("Drive",),
}  # fmt: skip
_WHERE = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Arrived",
    "AssertedParked",
    "AsyncConnect",
    "BackOnRoute",
    "Clock",
    "ClockReading",
    "Config",
    "ConfigError",
    "Connect",
    "ConsentError",
    "ConsentLost",
    "ConsentRequired",
    "Controller",
    "DEFAULT_NOTICE",
    "Datum",
    "DeletionReason",
    "Drive",
    "DriveOutcome",
    "DriveReview",
    "DriveStats",
    "Duration",
    "FlushReport",
    "Gear",
    "Guidance",
    "HourOfUse",
    "Ignition",
    "InvalidPosition",
    "KalosConnectError",
    "LocationSource",
    "Manoeuvre",
    "MarkedBy",
    "Motion",
    "NavigationProvider",
    "NoPosition",
    "Notice",
    "NoticeText",
    "OffRoute",
    "OsAnswer",
    "OsPermission",
    "Outcome",
    "Permission",
    "PermissionState",
    "Place",
    "Position",
    "Precision",
    "PrivacyReport",
    "Progress",
    "PromptAnswer",
    "PromptRequest",
    "Prompter",
    "Purpose",
    "Reason",
    "RequestKind",
    "RequestStatus",
    "RerouteFailed",
    "Rerouted",
    "RightsRequest",
    "Route",
    "RouteQuestion",
    "ServiceRefused",
    "ServiceUnreachable",
    "SourceError",
    "SourceLost",
    "SourceRestored",
    "SourceUnavailable",
    "StateError",
    "StateRolledBack",
    "StateUnreadable",
    "Status",
    "Submission",
    "TransportError",
    "Vault",
    "VaultUnavailable",
    "VehicleSignals",
    "VehicleState",
    "WithdrawalReport",
]


def __getattr__(name: str) -> Any:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
