"""Asking for a route: a typed origin passes as a place, the device's own position as a position (R2, R19)."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..core.borders import in_mainland_china
from ..core.gate import Clearance
from ..core.wire import MalformedDocument, consent_member, route_from_geojson, route_request
from ..errors import ConsentRequired, ServiceRefused, ServiceUnreachable, TransportError
from ..model.consent import Precision, Purpose
from ..model.decision import Reason
from ..model.position import Datum, Place
from ..model.route import Route
from ..storage.cuts import note_cut
from .engine import Engine

__all__ = ["ask_route"]


def ask_route(engine: Engine, clearance: Clearance, origin: Place, to: Place, locale: str) -> Route:
    """The service's route. Raises :class:`ConsentRequired` and :class:`TransportError`; the service keeps nothing."""
    url = engine.parts.config.service_url
    if not url:
        raise ServiceUnreachable("no service is configured; set service_url")
    origin, to = origin.to(Datum.WGS84), to.to(Datum.WGS84)
    client = engine.link.client(url)
    if clearance.kind == "place":
        return _route(client.route(clearance, route_request(origin, to, locale, None), None, None))
    return engine.sender.worker.call(lambda: _from_here(engine, clearance.epoch, origin, to, locale, url))


def _from_here(engine: Engine, epoch: int, origin: Place, to: Place, locale: str, url: str) -> Route:
    """With the device's position. A 401 registers once again; another no closes the gate, as it does for positions."""
    courier, standing = engine.courier.worker, engine.standing
    refused: str | None = None
    while True:
        token = ""
        failure: TransportError
        try:
            token = courier.call(partial(standing.token, Purpose.NAVIGATION, epoch, refused=refused))
            return _ask_once(engine, epoch, origin, to, locale, url, token)
        except _Stale:
            engine.view.snapshot()
            continue
        except TransportError as error:
            failure = error
        problem = failure.problem if isinstance(failure, ServiceRefused) else {}
        if problem.get("status") == 401 and token and refused is None:
            refused = token
            continue
        if problem:
            courier.call(partial(standing.obey, Purpose.NAVIGATION, epoch, problem))
        if not engine.view.still_open(epoch):
            reason = engine.view.decide(Purpose.NAVIGATION).reason
            raise ConsentRequired(reason if reason is not Reason.ALLOWED else Reason.WITHDRAWN)
        raise failure


def _ask_once(engine: Engine, epoch: int, origin: Place, to: Place, locale: str, url: str, token: str) -> Route:
    """The same order as sending positions: lock, read consent, write, answer."""
    client = engine.link.client(url)
    client.resolve()
    state = engine.state
    lease = state.barrier.shared(5.0, stop=lambda: not engine.view.still_open(epoch))
    if lease is None:
        raise ConsentRequired(Reason.WITHDRAWN if not engine.view.still_open(epoch) else Reason.BUSY)
    flight = engine.link.depart(
        lease, lambda: engine.view.still_open(epoch), lambda: note_cut(state.directory, state.page, epoch)
    )
    try:
        snapshot = engine.state.snapshot
        if snapshot.version != engine.state.page.version:
            raise _Stale  # something changed since: let go of the lock and look again
        decision = engine.view.decide(Purpose.NAVIGATION, snapshot=snapshot)
        if decision.clearance is None or decision.clearance.epoch != epoch:
            raise ConsentRequired(decision.reason if decision.clearance is None else Reason.WITHDRAWN)
        if in_mainland_china(origin.latitude, origin.longitude) and not engine.view.border_open(snapshot):
            raise ConsentRequired(Reason.CROSS_BORDER)  # R16
        terms = snapshot.records[Purpose.NAVIGATION].terms
        sha = terms.notice_sha256 if terms else ""
        member = consent_member(
            snapshot.record_ids[Purpose.NAVIGATION], epoch, Purpose.NAVIGATION.value, Precision.PRECISE.value, sha
        )
        document = route_request(origin, to, locale, member)
        return _route(client.route(decision.clearance, document, token, flight))
    finally:
        engine.link.landed(flight)
        lease.release()


class _Stale(Exception):
    """What is known of consent is older than the page."""


def _route(document: dict[str, Any]) -> Route:
    route: Route | None = None
    try:
        route = route_from_geojson(document)
    except MalformedDocument:
        pass
    if route is None:
        raise ServiceUnreachable("no answer from the service: unreadable answer")
    return route
