"""What happened to a grant: the ledger's events, sorted by grant and told in DPV terms (R8, R20).

The events are the JSON bodies of ``core.history``, already verified; history is told, never rewritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from .dpv import PARTIES, STATUSES, record_iri
from .lifecycle import ENDING, GRANTING

__all__ = ["GRANTING_KINDS", "Body", "marks", "split_grants", "statuses"]

Body = Mapping[str, Any]

GRANTING_KINDS: Final = frozenset(event.value for event in GRANTING)
_ENDING_KINDS: Final = frozenset({*(event.value for event in ENDING), "reset"})
_MARKS: Final = {"registered": "kc:registeredAt", "erased": "kc:erasedAt"}
_HAPPENINGS: Final = _ENDING_KINDS | _MARKS.keys()
_WITHIN_A_DRIVE: Final = "the end of this drive, at most 12 hours"


def split_grants(bodies: Iterable[Body]) -> list[list[Body]]:
    """The ledger's events as one list per grant, oldest first; events that concern no grant are left out.

    A list begins with the event that granted, followed by what happened to that epoch. If a later grant
    replaced it while it was active, the later grant's event is its last one.
    """
    grants: list[list[Body]] = []
    latest: dict[Any, list[Body]] = {}
    for body in bodies:
        mine = latest.get(body["purpose"])
        kind = body["kind"]
        if kind in GRANTING_KINDS:
            if mine is not None and not any(event["kind"] in _ENDING_KINDS for event in mine):
                mine.append(body)
            latest[body["purpose"]] = [body]
            grants.append(latest[body["purpose"]])
        elif mine is not None and (kind == "reset" or (kind in _HAPPENINGS and body["epoch"] == mine[0]["epoch"])):
            mine.append(body)
    return grants


def statuses(grant: Body, events: Sequence[Body]) -> list[dict[str, Any]]:
    """The grant and its end, in DPV terms. What is recorded after the end is an audit of an act without effect."""
    ending = next((body for body in events if body["kind"] in _ENDING_KINDS), None)
    return [_given(grant)] if ending is None else [_given(grant), _ended(ending)]


def _given(grant: Body) -> dict[str, Any]:
    terms = grant["terms"]
    simulated = bool(terms.get("simulated"))
    status: dict[str, Any] = {
        "@type": STATUSES[grant["kind"]],
        "dpv:isIndicatedAtTime": grant["at"],
        "dpv:isIndicatedBy": "kc:Simulation" if simulated else PARTIES.get(grant.get("cause") or "", "kc:Device"),
        "dpv:hasIndicationMethod": _method(grant["kind"], simulated),
        "dpv:hasDuration": _duration(terms),
        "kc:simulated": simulated,
    }
    if terms.get("asserted_parked") is not None:
        status["kc:assertedParked"] = terms["asserted_parked"]
    if terms.get("guardian") is not None:
        status["kc:guardianEvidence"] = terms["guardian"]
    return status


def _method(kind: str, simulated: bool) -> str:
    if simulated:
        return "a simulated answer, for a demonstration or a test"
    if kind == "amend":
        return "a change of the grant before it"
    return "an explicit choice in a prompt that showed the notice"


def _duration(terms: Body) -> dict[str, Any]:
    expires_at = terms.get("expires_at")
    kind, until = "dpv:UntilEventDuration", "withdrawal"
    if expires_at is not None:
        kind, until = "dpv:UntilTimeDuration", expires_at
    elif terms["duration"] == "this-drive":
        until = _WITHIN_A_DRIVE
    if terms.get("run_id") is not None:  # R9: without a vault it lasts for this run only
        kind, until = "dpv:UntilEventDuration", f"{until}, or the end of the program's run"
    return {"@type": kind, "rdf:value": until, "kc:duration": terms["duration"]}


def _ended(body: Body) -> dict[str, Any]:
    cause = body.get("cause")
    status = {
        "@type": STATUSES[body["kind"]],
        "dpv:isIndicatedAtTime": body["at"],
        "dpv:isIndicatedBy": PARTIES.get(cause or "", "kc:Device"),
    }
    if cause is not None:
        status["kc:cause"] = cause
    if body.get("reason") is not None:
        status["kc:reason"] = body["reason"]
    return status


def marks(record_id: str, events: Sequence[Body]) -> dict[str, Any]:
    """When the service acknowledged the grant, when what it covered was erased, what replaced it."""
    found: dict[str, Any] = {}
    for body in events[1:]:
        if body["kind"] in _MARKS:
            found.setdefault(_MARKS[body["kind"]], body["at"])
        elif body["kind"] in GRANTING_KINDS:
            found["dct:isReplacedBy"] = record_iri(record_id, body["epoch"])
            found["kc:replacedAt"] = body["at"]
    return found
