"""Fixtures for the door: certificates, a door that trusts them, a real clearance."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from kalos_connect_sdk.core import gate
from kalos_connect_sdk.core.lifetime import Verdict
from kalos_connect_sdk.model.consent import Duration, GrantTerms, Precision, Purpose, RecordState, Status
from kalos_connect_sdk.model.vehicle import OsAnswer
from kalos_connect_sdk.transport.door import Door

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode leaves it out, and the tests share their peers

from transport_peers import server_context


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority.issue_cert("localhost", "127.0.0.1"))


@pytest.fixture
def door(ca_bundle: str) -> Iterator[Door]:
    door = Door(timeout_s=8.0, ca_bundle=ca_bundle, proxy=None)
    yield door
    door.close()


@pytest.fixture
def clearance() -> gate.Clearance:
    """A real clearance for positions, the way only the gate makes it."""
    terms = GrantTerms(
        receipt_id="r",
        precision=Precision.PRECISE,
        duration=Duration.THIS_DRIVE,
        notice_id="n",
        notice_version="1",
        notice_locale="en",
        notice_sha256="0" * 64,
        notice_fields_sha256="0" * 64,
        controller_id="c",
        service_origin="http://127.0.0.1:1",
        granted_at=datetime(2026, 11, 2, tzinfo=UTC),
        expires_at=None,
        granted_boot_id="b",
        granted_boottime_s=1.0,
        granted_suspended_s=0.0,
    )
    decision = gate.decide(
        gate.Facts(
            purpose=Purpose.NAVIGATION,
            state=RecordState(Purpose.NAVIGATION, Status.GIVEN, epoch=1, terms=terms),
            ended=False,
            authentic=True,
            lifetime=Verdict.ACTIVE,
            notice_changed=False,
            controller_changed=False,
            origin_changed=False,
            os=OsAnswer.NOT_CONFIGURED,
            vehicle_privacy=False,
            profile_matches=True,
            guardian_missing=False,
            border=gate.Border.HOME,
        )
    )
    assert decision.clearance is not None
    return decision.clearance
