"""Every reason and every error has exactly one exit code, and only a yes has 0."""

from __future__ import annotations

import pytest

from kalos_connect_sdk import errors
from kalos_connect_sdk.cli.exits import Exit, Usage, exit_for_error, exit_for_permission, exit_for_reason
from kalos_connect_sdk.cli.output import describe
from kalos_connect_sdk.model.consent import Permission, PermissionState
from kalos_connect_sdk.model.decision import Reason


@pytest.mark.parametrize("reason", Reason)
def test_only_allowed_exits_with_zero(reason: Reason) -> None:
    assert (exit_for_reason(reason) is Exit.OK) == (reason is Reason.ALLOWED)
    assert (exit_for_error(errors.ConsentRequired(reason))) != Exit.OK
    assert describe(reason).endswith((".", "reset.", ")."))


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.NOT_ASKED, 3),
        (Reason.REFUSED, 3),
        (Reason.DISMISSED, 3),
        (Reason.NO_PROMPTER, 3),
        (Reason.DEFERRED, 4),
        (Reason.WITHDRAWN, 5),
        (Reason.EXPIRED, 5),
        (Reason.REVOKED, 5),
        (Reason.ORIGIN_CHANGED, 5),
        (Reason.STATE_UNREADABLE, 7),
        (Reason.STATE_ROLLED_BACK, 7),
        (Reason.VAULT_UNAVAILABLE, 7),
        (Reason.BUSY, 7),
    ],
)
def test_reasons_a_script_tells_apart(reason: Reason, code: int) -> None:
    assert exit_for_reason(reason) == code
    assert exit_for_permission(Permission(PermissionState.DENIED, reason)) == code


@pytest.mark.parametrize("state", PermissionState)
@pytest.mark.parametrize("reason", Reason)
def test_a_permission_exits_with_zero_only_when_granted(state: PermissionState, reason: Reason) -> None:
    assert (exit_for_permission(Permission(state, reason)) == 0) == (state is PermissionState.GRANTED)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Usage("x"), 2),
        (errors.ConfigError("x"), 2),
        (errors.InvalidPosition("x"), 2),
        (errors.SourceUnavailable("x"), 2),
        (errors.NoPosition("x"), 2),
        (errors.ConsentRequired(Reason.DEFERRED), 4),
        (errors.StateUnreadable("x"), 7),
        (errors.StateRolledBack("x"), 7),
        (errors.VaultUnavailable("x"), 7),
        (errors.ServiceUnreachable("x"), 6),
        (errors.TransportError("x"), 6),
        (errors.ServiceRefused({"status": 404}), 2),
        (errors.ServiceRefused({"status": 422}), 2),
        (errors.ServiceRefused({"status": 403, "type": "https://example/consent-required"}), 3),
        (errors.ServiceRefused({"status": 403, "type": "https://example/consent-expired"}), 5),
        (errors.ServiceRefused({"status": 409}), 5),
        (errors.ServiceRefused({"status": 410}), 5),
        (errors.ServiceRefused({"status": 401}), 6),
        (errors.ServiceRefused({"status": 503}), 6),
        (errors.ServiceRefused({}), 6),
        (errors.KalosConnectError("x"), 1),
    ],
)
def test_errors_a_script_tells_apart(error: errors.KalosConnectError, code: int) -> None:
    assert exit_for_error(error) == code
