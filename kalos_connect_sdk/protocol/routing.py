"""Asking for a route: a typed origin passes as a place, the device's own position as a position (R2, R19).

One order for every provider: the barrier, a flight that can be cut, consent read again, the bytes, the answer. A third
party hears the two places and nothing else; what it answers never touches the grant.
"""

from __future__ import annotations

from functools import partial

from ..core.borders import in_mainland_china
from ..core.gate import Clearance
from ..core.recipients import forbidden
from ..core.wire import consent_member
from ..errors import (
    ConfigError,
    ConsentRequired,
    KalosConnectError,
    ServiceRefused,
    ServiceUnreachable,
    TransportError,
)
from ..model.consent import Precision, Purpose
from ..model.decision import Reason
from ..model.position import Datum, Place
from ..model.route import Route, RouteQuestion
from ..navigation.address import checked
from ..navigation.answers import ANSWER_MAX_BYTES
from ..navigation.service import ConnectService
from ..ports import NavigationProvider
from ..storage.cuts import note_cut
from ..transport.answer import Answer
from ..transport.flight import Flight
from .engine import Engine
from .snapshot import Snapshot

__all__ = ["ask_route", "clearance_from_here"]

_NAVIGATION = Purpose.NAVIGATION


def clearance_from_here(engine: Engine) -> Clearance:
    """The clearance for a route from the device's position. Raises :class:`ConsentRequired`; needs a precise grant."""
    decision = engine.view.decide(_NAVIGATION)
    if decision.clearance is None:
        raise ConsentRequired(decision.reason)
    if decision.precision is not Precision.PRECISE:
        raise ConsentRequired(Reason.PRECISION)  # R15
    return decision.clearance


def ask_route(engine: Engine, clearance: Clearance, origin: Place, to: Place, locale: str) -> Route:
    """The provider's route, by default the service's. Raises :class:`ConsentRequired` and :class:`TransportError`."""
    if engine.parts.navigation is None and not engine.parts.config.service_url:
        raise ServiceUnreachable("no service is configured; set service_url")
    if clearance.kind == "place":
        provider = _asked(engine)
        return _heard(provider, _exchange(engine, provider, clearance, origin, to, locale, None), locale)
    return engine.sender.worker.call(lambda: _from_here(engine, clearance.epoch, origin, to, locale))


def _from_here(engine: Engine, epoch: int, origin: Place, to: Place, locale: str) -> Route:
    """With the device's position. A 401 of our service registers once again; another no of it closes the gate, as it
    does for positions."""
    ours = engine.parts.navigation is None
    refused: str | None = None
    while True:
        token = ""
        failure: TransportError
        try:
            if ours:
                token = engine.courier.worker.call(partial(engine.standing.token, _NAVIGATION, epoch, refused=refused))
            return _heard(*_ask_once(engine, epoch, origin, to, locale, token), locale)
        except _Stale:
            engine.view.snapshot()
            continue
        except TransportError as error:
            failure = error
        problem = failure.problem if ours and isinstance(failure, ServiceRefused) else {}
        if problem.get("status") == 401 and token and refused is None:
            refused = token
            continue
        if problem:
            engine.courier.worker.call(partial(engine.standing.obey, _NAVIGATION, epoch, problem))
        if not engine.view.still_open(epoch):
            reason = engine.view.decide(_NAVIGATION).reason
            raise ConsentRequired(reason if reason is not Reason.ALLOWED else Reason.WITHDRAWN)
        raise failure


def _ask_once(
    engine: Engine, epoch: int, origin: Place, to: Place, locale: str, token: str
) -> tuple[NavigationProvider, Answer]:
    """The same order as sending positions: lock, read consent, write, answer."""
    state = engine.state
    engine.link.door().resolve(_asked(engine).url)
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
        decision = engine.view.decide(_NAVIGATION, snapshot=snapshot)
        if decision.clearance is None or decision.clearance.epoch != epoch:
            raise ConsentRequired(decision.reason if decision.clearance is None else Reason.WITHDRAWN)
        reason = _kept_from(engine, snapshot, origin)
        if reason is not None:
            raise ConsentRequired(reason)
        provider = _asked(engine, snapshot, epoch, token)
        return provider, _exchange(engine, provider, decision.clearance, origin, to, locale, flight)
    finally:
        engine.link.landed(flight)
        lease.release()


class _Stale(Exception):
    """What is known of consent is older than the page."""


def _kept_from(engine: Engine, snapshot: Snapshot, origin: Place) -> Reason | None:
    """Why the one who would be asked may not have this position."""
    here = origin.to(Datum.WGS84)
    inland = in_mainland_china(here.latitude, here.longitude)
    chosen = engine.parts.navigation
    if chosen is None:  # the grant itself names our service's origin
        return Reason.CROSS_BORDER if inland and not engine.view.border_open(snapshot) else None  # R16
    url, recipient, region = checked(chosen.url, chosen.recipient, chosen.region)
    named = engine.parts.notices(_NAVIGATION).recipients
    return forbidden(url=url, recipient=recipient, region=region, named=named, in_mainland_china=inland)


def _asked(
    engine: Engine, snapshot: Snapshot | None = None, epoch: int = 0, token: str | None = None
) -> NavigationProvider:
    """Whom the app chose, else our service for one request; with a ``snapshot`` it is told under which consent."""
    if engine.parts.navigation is not None:
        return engine.parts.navigation
    config = engine.parts.config
    member = None
    if snapshot is not None:
        terms = snapshot.records[_NAVIGATION].terms
        sha = terms.notice_sha256 if terms else ""
        record_id = snapshot.record_ids[_NAVIGATION]
        member = consent_member(record_id, epoch, _NAVIGATION.value, Precision.PRECISE.value, sha)
    return ConnectService(config.service_url or "", region=config.service_region, consent=member, token=token)


def _exchange(
    engine: Engine,
    provider: NavigationProvider,
    clearance: Clearance,
    origin: Place,
    to: Place,
    locale: str,
    flight: Flight | None,
) -> Answer:
    """The provider's question through the one door (R2)."""
    question = provider.question(origin, to, locale)
    if not _is_its_own(question, provider.url):
        raise ConfigError("a navigation provider's question must be a RouteQuestion: GET or POST, to its own origin")
    return engine.link.door().exchange(
        question.method,
        question.url,
        headers=question.headers,
        body=question.body,
        clearance=clearance,
        carries="place" if clearance.kind == "place" else "position",
        flight=flight,
        answer_max_bytes=ANSWER_MAX_BYTES,
        tells_time=engine.parts.navigation is None,  # R13: a third party sets no clock
    )


def _is_its_own(question: object, url: str) -> bool:
    """R2: who was judged is who is asked. The door takes everything up to the third slash as the origin."""
    origin = "/".join(url.split("/", 3)[:3])
    return (
        isinstance(question, RouteQuestion)
        and question.method in ("GET", "POST")
        and question.url.startswith(origin + "/")
        and question.url.isascii()
        and question.url.isprintable()
        and " " not in question.url
    )


def _heard(provider: NavigationProvider, answer: Answer, locale: str) -> Route:
    """The route in an answer. What a provider of the app's own cannot read may hold places, so its error ends here
    (R10)."""
    route: object = None
    try:
        route = provider.answer(answer.status, answer.headers, answer.body, locale)
    except KalosConnectError:
        raise
    except Exception:
        route = None
    if not isinstance(route, Route):
        raise ServiceUnreachable("no answer from the service: unreadable answer")
    return route
