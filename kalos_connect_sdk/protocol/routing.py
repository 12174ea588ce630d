"""Asking for a route: a typed origin passes as a place, the device's own position as a position (R2, R19)."""

from __future__ import annotations

from ..core.gate import Clearance
from ..core.wire import consent_member, route_from_geojson, route_request
from ..errors import ConsentRequired, ServiceUnreachable
from ..model.consent import Precision, Purpose
from ..model.decision import Reason
from ..model.position import Datum, Place
from ..model.route import Route
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
        return route_from_geojson(client.route(clearance, route_request(origin, to, locale, None), None, None))
    return engine.sender.worker.call(lambda: _from_here(engine, clearance.epoch, origin, to, locale, url))


def _from_here(engine: Engine, epoch: int, origin: Place, to: Place, locale: str, url: str) -> Route:
    """With the device's position: the same order as sending positions (lock, read consent, write, answer)."""
    from ..transport.flight import Flight

    client = engine.link.client(url)
    token = engine.courier.worker.call(lambda: engine.courier.token(Purpose.NAVIGATION, epoch))
    client.resolve()
    lease = engine.state.barrier.shared(5.0, stop=lambda: not engine.view.still_open(epoch))
    if lease is None:
        raise ConsentRequired(Reason.WITHDRAWN if not engine.view.still_open(epoch) else Reason.BUSY)
    flight = Flight(lambda: engine.view.still_open(epoch), lease.release)
    engine.link.flights().add(flight)
    try:
        snapshot = engine.state.snapshot
        decision = engine.view.decide(Purpose.NAVIGATION, snapshot=snapshot)
        if decision.clearance is None or decision.clearance.epoch != epoch:
            raise ConsentRequired(decision.reason if decision.clearance is None else Reason.WITHDRAWN)
        terms = snapshot.records[Purpose.NAVIGATION].terms
        sha = terms.notice_sha256 if terms else ""
        member = consent_member(engine.store.record_id, epoch, Purpose.NAVIGATION.value, Precision.PRECISE.value, sha)
        document = route_request(origin, to, locale, member)
        return route_from_geojson(client.route(decision.clearance, document, token, flight))
    finally:
        engine.link.landed(flight)
        lease.release()
