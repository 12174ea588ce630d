"""Receipts and diagnosis: what can be shown to a person, a regulator, a mechanic (R20)."""

from __future__ import annotations

import json
from typing import Any

from ..config import Config, is_loopback
from ..core.notices.published import later, load, plain_version
from ..core.prompting import motion
from ..core.record import Receipt, attach_signature, notice_message, render, signing_bytes, split_grants
from ..crypto.encoding import unb64
from ..crypto.sign import verify
from ..errors import KalosConnectError, StateError, VaultUnavailable
from ..model.consent import Purpose
from ..model.decision import Reason
from ..model.vehicle import OsAnswer
from ..storage.ledger import NoticeRow
from .engine import Engine
from .pseudonyms import record_id
from .state import State

_HISTORY_WAIT_S = 0.5

__all__ = ["await_history", "diagnose", "receipts", "refused", "signed"]


def receipts(engine: Engine) -> list[Receipt]:
    """One signed record per grant, oldest first. Runs on the keeper.

    Raises :class:`VaultUnavailable` when the signing key cannot be read.
    """
    state = engine.state
    await_history(state)
    bodies = [json.loads(row.body) for row in state.ledger.events()]
    if not any("terms" in body for body in bodies):
        return []
    if state.secret is None:
        state.secret = state.identity.load()
    secret = state.secret
    if secret is None:
        raise VaultUnavailable("the vault does not hold the key that signs receipts; see kalos-connect doctor")
    found: list[tuple[str, Receipt]] = []
    for purpose in Purpose:
        for events in split_grants([body for body in bodies if body.get("purpose") == purpose.value]):
            record = render(
                record_id=record_id(state.ledger, purpose, int(events[0].get("epoch", 0))),
                purpose=purpose,
                events=events,
                notice=engine.parts.notices(purpose),
                public_key=secret.signing.public,
                service_region=engine.parts.config.service_region,
                published=load(state.snapshot.published.get(purpose, ""), engine.parts.config.origin),
            )
            signed = attach_signature(record, secret.signing.sign(signing_bytes(record)))
            found.append((str(events[0].get("at", "")), Receipt(signed)))
    return [receipt for _, receipt in sorted(found, key=lambda pair: pair[0])]


def await_history(state: State) -> None:
    """A withdrawal is answered before its entry is written: who withdraws holds the barrier until it is."""
    state.reload()
    if state.unfinished():
        lease = state.barrier.exclusive(_HISTORY_WAIT_S)
        if lease is not None:
            lease.release()
        state.reload()


def signed(row: NoticeRow) -> bool:
    """True when a notice is whole: the signature in it is of this record, this notice and this epoch (R8)."""
    try:
        body = json.loads(row.body)
        message = notice_message(row.record_id, row.notice_id, row.epoch)
        named = (body["notice_id"], body["epoch"]) == (row.notice_id, row.epoch)
        return named and verify(unb64(body["public_key"]), unb64(body["signature"]), message)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


_ADVICE = {
    Reason.STATE_UNREADABLE: "keep the state directory for inspection, then run: kalos-connect consent reset",
    Reason.STATE_ROLLED_BACK: "the state was restored from before a withdrawal; run: kalos-connect consent reset",
    Reason.VAULT_UNAVAILABLE: "unlock the keyring, or choose another vault (file:PATH) in the configuration",
}
_UPDATE = "update the app to one with the service's notice; asking a person before that does not help"


def diagnose(engine: Engine) -> list[dict[str, Any]]:
    """What is usable here: a row for state, vault, RAM, clock, vehicle, service, and its notice when it was heard."""
    state = engine.keeper.call(lambda: _reloaded(engine))
    rows: list[dict[str, Any]] = []

    def row(name: str, ok: bool, detail: str, advice: str = "") -> None:
        rows.append({"name": name, "ok": ok, "detail": detail, "advice": "" if ok else advice})

    decision = engine.view.decide(Purpose.NAVIGATION)
    bad = state.unreadable or (decision.reason if decision.reason is Reason.STATE_ROLLED_BACK else None)
    row("state", bad is None, state.problem or str(state.directory.path), _ADVICE.get(bad, "") if bad else "")
    problem = engine.keeper.call(lambda: _vault_problem(engine))
    kind = "this run only" if not state.identity.persistent and state.secret else str(engine.parts.config.vault)
    advice = "consent lasts for this run only; unlock a keyring or set vault=file:PATH"
    row("vault", problem is None, problem or kind, advice)
    where = state.keys.location
    row("data keys", state.keys.reachable, f"in RAM: {where}", "the recorded place cannot be reached by this session")
    now = state.now()
    row("clock", now.trusted, "trusted" if now.trusted else "behind what is known to have passed", "set the clock")
    vehicle = engine.view.vehicle()
    problem = getattr(engine.parts.vehicle, "problem", None)
    advice = problem or "no vehicle signals: a driver-facing prompt is deferred"
    row("vehicle", vehicle is not None and problem is None, motion(vehicle).value, advice)
    answer = engine.view.os()
    if answer is not OsAnswer.NOT_CONFIGURED:
        advice = getattr(engine.parts.os_permission, "problem", None) or "nothing is sent until the system says yes"
        row("os permission", answer is OsAnswer.GRANTED, answer.value, advice)
    url = engine.parts.config.service_url
    row("service", bool(url), url or "not configured", "set service_url")
    provider = engine.parts.navigation
    if provider is not None:
        known = engine.parts.notices(Purpose.NAVIGATION).recipients
        named = is_loopback(provider.url) or provider.recipient in known
        who = f"{provider.recipient or 'this device'} at {provider.url}, region {provider.region or 'not known'}"
        row("navigation", named, who, "name it in the notice's recipients: until then no route starts at a position")
    for purpose in Purpose:
        theirs = load(state.snapshot.published.get(purpose, ""), engine.parts.config.origin)
        if theirs is None:
            continue
        ours = engine.parts.notices(purpose)
        kinds = ", ".join(kind.value for kind in later(theirs, ours)) or "no later one"
        version = plain_version(theirs) or f"one of {theirs.effective.isoformat()}"
        detail = f"{purpose.value}: this app shows {ours.version}, the service published {version} ({kinds})"
        row("notice", engine.view.outdated(purpose) is None, detail, _UPDATE)
    return rows


def refused(error: StateError, config: Config) -> list[dict[str, Any]]:
    """The same for a state directory that cannot be opened at all: the error says which and what to do."""
    advice = "nothing is sent; mend what the finding names, or choose another state_dir"
    url = config.service_url or ""
    service = {"name": "service", "ok": bool(url), "detail": url or "not configured"}
    return [
        {"name": "state", "ok": False, "detail": str(error), "advice": advice},
        service | {"advice": "" if url else "set service_url"},
    ]


def _reloaded(engine: Engine) -> Any:
    engine.state.reload(ask_vault=True)
    return engine.state


def _vault_problem(engine: Engine) -> str | None:
    identity = engine.state.identity
    try:
        identity.probe()
    except KalosConnectError as error:
        return str(error)
    return None
