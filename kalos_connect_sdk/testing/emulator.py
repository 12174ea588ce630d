"""A real Connect service on a loopback port, for tests: it keeps the service's own rules and can be told to fail.

It speaks HTTP with the standard library, answers with the same code as the reference service
(:mod:`kalos_connect_sdk.service`), verifies signatures, and remembers what reached it: what an emulator has
seen is the evidence that a client under test kept R3, R5 and R6. It forgets nothing when consent ends; only
what the service itself would keep is dropped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal

from ..model.notice import Notice
from ..service.desk import Desk, Receipt
from ..service.engine import Engine, StraightLine
from ..service.front import Front, Request, Response, Withdrawn
from ..service.rights import Case
from ..service.store import MemoryStore
from .faults import Fault, Faults
from .wire_server import WireServer

__all__ = ["ServiceEmulator"]

When = Literal["read", "effect", "answer"]


class ServiceEmulator:
    """A Connect service at :attr:`url` between ``with`` and its end.

    ``engine``: routes (as the crow flies by default). ``notice``: what ``GET /v1/notice`` answers (404 by
    default). ``region``: where the service stands (R16). ``enrolment_token``: what registering takes besides a
    signature. ``now_s``: its clock in seconds since 1970; by default it knows no time, so that no grant expires
    at a service whose clock the test does not set. An error inside the emulator fails the test at the end.
    """

    def __init__(
        self,
        *,
        engine: Engine | None = None,
        notice: Notice | None = None,
        region: str | None = None,
        enrolment_token: str | None = None,
        now_s: Callable[[], float] | None = None,
    ) -> None:
        self._store = MemoryStore()
        self._desk = Desk(
            self._store, now_s=now_s or (lambda: 0.0), notice=notice, region=region, enrolment_token=enrolment_token
        )
        self._front = Front(self._desk, engine or StraightLine())
        self._faults = Faults()
        self._seen = threading.Condition()
        self._server: WireServer | None = None
        self._port = 0
        self.positions: list[dict[str, Any]] = []
        """Every position accepted, once each, as it arrived: ``id``, ``latitude``, ``longitude``, ``time``,
        ``epoch``, ``record_id``, ``key`` (of its batch), ``properties`` and ``t`` (monotonic seconds)."""
        self.withdrawals: list[dict[str, Any]] = []
        """Every withdrawal that had its effect, once each: ``record_id``, ``notice_id``, ``epoch``, ``dropped``,
        ``withdrawn_at``, ``public_key``, ``t``."""
        self.requests: list[dict[str, Any]] = []
        """Every request whose head arrived: ``method``, ``path``, ``query``, ``headers`` (names in lower case),
        ``bytes`` of body read, ``t`` (head read), ``t_read`` (body read, ``None`` if it never was), ``status`` (what
        was answered, ``None`` if nothing)."""

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen: on a free port at first, on the same one after :meth:`stop`."""
        if self._server is None:
            self._server = WireServer(self._port, self._handle, self._note)
            self._port = self._server.port

    def stop(self) -> None:
        """Stop listening and cut every connection; what was seen and known stays."""
        server, self._server = self._server, None
        if server is not None:
            server.close(self._faults.release)
            if server.errors:
                raise RuntimeError("the service emulator failed") from server.errors[0]

    def __enter__(self) -> ServiceEmulator:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Its origin, such as ``http://127.0.0.1:43121``."""
        if not self._port:
            raise RuntimeError("the emulator has not been started; use it as a context manager")
        return f"http://127.0.0.1:{self._port}"

    # -- what it knows ---------------------------------------------------------------------------

    @property
    def consents(self) -> dict[str, dict[str, Any]]:
        """Record id -> ``status``, ``epoch``, ``fence`` (highest epoch that is over), ``purpose``, ``precision``,
        ``public_key``, ``record`` and ``kept`` (positions it still keeps)."""
        return {
            consent.record_id: {
                "status": consent.status,
                "epoch": consent.epoch,
                "fence": consent.fence,
                "purpose": consent.terms.purpose if consent.terms else None,
                "precision": consent.terms.precision if consent.terms else None,
                "public_key": consent.public_key,
                "record": consent.record,
                "kept": self._store.count(consent.record_id),
            }
            for consent in self._store.consents()
        }

    def wait_for(self, condition: Callable[[ServiceEmulator], object], timeout_s: float = 10.0) -> bool:
        """Wait until ``condition(self)`` is true, looking after every request; False when time runs out."""
        with self._seen:
            return self._seen.wait_for(lambda: bool(condition(self)), timeout_s)

    @property
    def cases(self) -> list[dict[str, Any]]:
        """Every rights request, once each, as the service would tell it now."""
        return [case.document() for case in self._store.cases()]

    # -- what it can be told ---------------------------------------------------------------------

    def fail(
        self,
        status: int | None = None,
        times: int | None = 1,
        *,
        path: str | None = None,
        retry_after: str | int | None = None,
        problem: str | None = None,
        drop: bool = False,
        stall_s: float | None = None,
        before: When | None = None,
    ) -> None:
        """Fail the next ``times`` requests (``None``: until :meth:`clear_failures`) whose path contains ``path``.

        Answer with ``status`` and the problem named ``problem``, or ``drop`` the connection without an answer, or
        wait ``stall_s`` seconds first (and then go on, if nothing else is asked for). ``before`` says how far the
        request gets: ``read`` (its body stays unread), ``effect`` (read, nothing done; the default for a status) or
        ``answer`` (done, but the answer is lost; the default for ``drop`` and ``stall_s``).
        Failures asked for one after the other are used up in that order.
        """
        if status is None and not drop and stall_s is None:
            status = 503
        self._faults.add(
            Fault(
                status=status,
                left=times,
                path=path,
                retry_after=None if retry_after is None else str(retry_after),
                problem=problem,
                drop=drop,
                stall_s=stall_s,
                before=before or ("effect" if status is not None else "answer"),
            )
        )

    def clear_failures(self) -> None:
        """Forget every failure asked for, and let go of requests that are being stalled."""
        self._faults.release()

    def revoke(self, record_id: str | None = None) -> None:
        """The controller ends a consent, or every one: 410 from now on, and the status says ``revoked``."""
        for known in [record_id] if record_id is not None else list(self.consents):
            self._desk.revoke(known)

    def mark_minor(self, record_id: str | None = None) -> None:
        """The service says a record is a minor's, or every one: 403 ``guardian-required`` without evidence (R17)."""
        for known in [record_id] if record_id is not None else list(self.consents):
            self._desk.mark_minor(known)

    def set_notice(self, notice: Notice) -> None:
        """Publish ``notice`` and insist on its machine-readable fields: a grant to others gets a 409 (R14)."""
        self._desk.require_notice(notice)

    def review(self, decide: Callable[[Case], Case | None]) -> None:
        """Let ``decide`` answer rights requests from now on; where it returns ``None`` they are carried out."""
        self._desk.review = decide

    # -- one request -----------------------------------------------------------------------------

    def _handle(self, entry: dict[str, Any], read: Callable[[], bytes]) -> Response | None:
        """The answer to a request whose body ``read`` reads; ``None`` closes the connection."""
        fault = self._faults.take(entry["path"])
        if fault is not None and fault.before == "read" and (cut := self._suffer(fault, entry)):
            return cut.answer
        body = read()
        entry["bytes"], entry["t_read"] = len(body), time.monotonic()
        if fault is not None and fault.before == "effect" and (cut := self._suffer(fault, entry)):
            return cut.answer
        with self._seen:  # one request at a time: what is seen is in the order it had its effect
            answer = self._front.answer(Request(entry["method"], entry["path"], entry["query"], entry["headers"], body))
            self._remember(answer.effect)
            entry["status"] = answer.status
            self._seen.notify_all()
        if fault is not None and fault.before == "answer" and (cut := self._suffer(fault, entry)):
            return cut.answer
        return answer

    def _suffer(self, fault: Fault, entry: dict[str, Any]) -> _Cut | None:
        """Undergo a failure; the answer that takes the real one's place, if one does."""
        fault.wait()
        if fault.drop:
            entry["status"] = None
            return _Cut(None)
        if fault.status is None:
            return None
        entry["status"] = fault.status
        return _Cut(fault.response())

    def _remember(self, effect: Any) -> None:
        now = time.monotonic()
        if isinstance(effect, Withdrawn):
            self.withdrawals.append(
                {
                    "record_id": effect.record_id,
                    "notice_id": effect.notice_id,
                    "epoch": effect.epoch,
                    "dropped": effect.dropped,
                    "withdrawn_at": effect.withdrawn_at,
                    "public_key": effect.public_key,
                    "t": now,
                }
            )
        elif isinstance(effect, Receipt):
            self.positions.extend(
                {
                    "id": position.number,
                    "latitude": position.latitude,
                    "longitude": position.longitude,
                    "time": position.time,
                    "epoch": position.epoch,
                    "record_id": position.record_id,
                    "key": position.key,
                    "properties": position.properties,
                    "t": now,
                }
                for position in effect.new
            )

    def _note(self, entry: dict[str, Any]) -> None:
        """A request's head has arrived."""
        with self._seen:
            self.requests.append(entry)
            self._seen.notify_all()


class _Cut:
    """An answer that replaces the real one; ``None`` inside it is no answer at all."""

    __slots__ = ("answer",)

    def __init__(self, answer: Response | None) -> None:
        self.answer = answer
