"""The demo's scenes: the question, the way, the drive, the withdrawal, the refusal, the evidence."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConsentRequired, NoPosition, ServiceRefused, TransportError
from ..model.consent import Permission, Precision
from ..model.events import ConsentLost
from ..model.position import Place, Position
from ..model.route import Route
from ..sources import open_source
from . import verify
from .car import write_drive
from .embedded import EmbeddedService
from .exits import Usage
from .link import SlowLink
from .route import show as show_route
from .screen import Meter, Screen
from .sketch import sketch
from .story import Story
from .stream import say

if TYPE_CHECKING:
    from ..connect import Connect
    from ..protocol.driving import Drive

__all__ = ["Scenes", "survey"]

_ORIGIN: Final = Place(60.1788, 24.9505, name="Hakaniemi")
_DESTINATION: Final = Place(60.1661, 24.9430, name="Erottaja")
_DRIVE_S: Final = 14.0
_WITHDRAW_AT: Final = 0.4
_IN_FLIGHT_S: Final = 0.25
_LATE_S: Final = 1.5


class Scenes:
    """Plays each scene on ``shown`` and keeps its ``numbers`` for ``--json`` and the final judgement."""

    def __init__(
        self,
        connect: Connect,
        service: EmbeddedService,
        link: SlowLink,
        shown: Screen,
        story: Story,
        folder: Path,
        locale: str,
    ) -> None:
        self._connect = connect
        self._service = service
        self._link = link
        self._shown = shown
        self._story = story
        self._folder = folder
        self._locale = locale
        self.numbers: dict[str, Any] = {}

    def open(self) -> None:
        """What runs here."""
        story = self._story
        rows = [(story.service, story.service_value.format(url=self._link.url)), (story.state, story.state_value)]
        self._shown.facts(story.opening, rows)
        self._shown.heading(story.asked)

    def refused(self) -> None:
        """R19: without consent, everything that needs no location still works."""
        self._shown.line(self._story.not_allowed)
        self._show_typed(self._typed_route(), self._story.typed_route)

    def allowed(self, permission: Permission) -> None:
        precision = self._story.precision[permission.precision or Precision.PRECISE]
        self._shown.line()
        self._shown.line(self._story.allowed.format(precision=precision), "good")
        self.numbers["receipt_id"] = permission.receipt_id

    def drive(self, replay: str | None, speed: float | None) -> None:
        """Stream, and withdraw with a request in flight and positions queued."""
        story, shown = self._story, self._shown
        shown.heading(story.your_route)
        route, recording = self._simulated() if replay is None else (None, replay)
        end, total, length_s = survey(recording)
        pace = length_s / _DRIVE_S if speed is None else speed
        source = open_source(recording, speed=pace)
        with self._connect.drive(source, route=route) as drive, shown.meter(story.positions, total) as meter:
            if replay is not None:
                self._route_to(end, drive)
            shown.heading(story.streaming.format(speed=round(pace, 1)))
            narrator = threading.Thread(
                target=_narrate, args=(drive, shown, meter, story.lost, self._locale), daemon=True
            )
            narrator.start()
            _until_the_middle(drive, self._link, total)
            before = self._service.counts()
            report = self._connect.withdraw()
            self._service.mark()
            drive.wait(10)
            narrator.join(10)
        stats = drive.stats
        self.numbers |= {
            "accepted": stats.accepted,
            "sent": stats.sent,
            "dropped": stats.dropped,
            "aborted": report.aborted,
            "possibly_delivered": report.possibly_delivered,
            "complete": report.complete,
            "elapsed_ms": round(report.elapsed_s * 1000, 2),
            "service_held_before": before.positions,
            "position_bytes_before_withdrawal": before.received_bytes,
        }
        shown.heading(story.withdrawing)
        shown.line(
            story.withdrawn.format(
                elapsed_ms=report.elapsed_s * 1000, complete=story.complete if report.complete else story.incomplete
            ),
            "good" if report.complete else "bad",
        )
        self._one_more()
        self._count()

    def evidence(self) -> None:
        """The receipt, verified with nothing but itself."""
        shown, story = self._shown, self._story
        shown.heading(story.receipt)
        receipt = self._connect.receipts()[-1]
        finding = verify.judge(receipt, None)
        verify.tell(shown, receipt, finding)
        self.numbers |= {"receipt": dict(receipt), "receipt_valid": finding.valid}
        kept = self.kept()
        shown.line(story.closing if kept else story.closing_bad, "good" if kept else "bad")

    def kept(self) -> bool:
        """Whether every promise of the story held, and something flowed that could have broken it."""
        seen = self.numbers
        return bool(
            seen["complete"]
            and seen["position_bytes_before_withdrawal"] > 0
            and seen["refused"] is not None
            and seen["position_bytes_after_withdrawal"] == 0
            and seen["service_holds"] == 0
            and seen["receipt_valid"]
        )

    # -- the parts of the drive ------------------------------------------------------------------

    def _simulated(self) -> tuple[Route, str]:
        """The way through Helsinki, and a recording of a car that takes it."""
        route = self._typed_route()
        self._show_typed(route, self._story.from_to.format(origin=_ORIGIN.name, destination=_DESTINATION.name))
        path = self._folder / "drive.nmea"
        start = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=round(route.duration_s) * 2)
        with path.open("w", encoding="ascii", newline="") as stream:
            write_drive(stream, route.line, start)
        return route, f"nmea:{path}"

    def _typed_route(self) -> Route:
        """Between two places of the demo: no permission is needed for it (R19)."""
        return self._connect.route(_DESTINATION, origin=_ORIGIN, locale=self._locale)

    def _route_to(self, end: Place, drive: Drive) -> None:
        """From where the recording is now, under the consent just given, if the map covers it."""
        while drive.running and not drive.stats.accepted:
            drive.wait(0.01)
        route = None
        try:
            route = self._connect.route(end, locale=self._locale)
        except (ServiceRefused, NoPosition, ConsentRequired):  # off the map, over already, or approximate
            pass
        if route is None:
            self._shown.line(self._story.no_route, "quiet")
        else:
            self._show(route, self._story.your_route)

    def _show_typed(self, route: Route, title: str) -> None:
        self._show(route, title, f"A {_ORIGIN.name}   B {_DESTINATION.name}")

    def _show(self, route: Route, title: str, caption: str = "") -> None:
        show_route(self._shown, route, title)
        self._shown.drawing("", sketch(route.line), caption)

    # -- after the withdrawal --------------------------------------------------------------------

    def _one_more(self) -> None:
        """R2: the gate is shut for the next position, too."""
        story, shown = self._story, self._shown
        shown.heading(story.one_more)
        reason = None
        try:
            self._connect.submit(Position(_ORIGIN.latitude, _ORIGIN.longitude))
        except ConsentRequired as refusal:
            reason = refusal.reason
        self.numbers["refused"] = reason.name if reason else None
        shown.line(
            story.refused.format(reason=reason.name) if reason else story.not_refused,
            "good" if reason else "bad",
        )

    def _count(self) -> None:
        """Give late bytes every chance, then let the service say what it received (R3)."""
        story, seen = self._story, self.numbers
        seen["notice_delivered"] = self._connect.wait_for_notices(5.0)
        try:
            self._connect.flush()
        except TransportError:
            pass
        threading.Event().wait(_LATE_S)
        counts = self._service.counts()
        seen["service_holds"] = counts.positions
        seen["position_bytes_after_withdrawal"] = counts.late_bytes
        rows = [
            (story.accepted, seen["accepted"]),
            (story.sent, seen["sent"]),
            (story.dropped, seen["dropped"]),
            (story.aborted, seen["aborted"]),
            (story.possibly, seen["possibly_delivered"]),
            (story.held_before, seen["service_held_before"]),
            (story.held_after, seen["service_holds"]),
            (story.after, seen["position_bytes_after_withdrawal"]),
        ]
        self._shown.line()
        self._shown.table(story.numbers, ("", ""), [(name, f"{count:,}") for name, count in rows], right=1)
        self._shown.line("  " + story.after_note, "quiet")


def _narrate(drive: Drive, shown: Screen, meter: Meter, lost: str, locale: str) -> None:
    for event in drive:
        if isinstance(event, ConsentLost):
            shown.line(f"  {lost}")
        else:
            say(event, shown, meter, locale=locale)


def survey(recording: str) -> tuple[Place, int, float]:
    """Of a recording: its last position as a destination, how many it has, how many seconds it lasts.

    The destination is a place the person chose, by choosing the recording.
    """
    positions = list(open_source(recording, speed=0))
    if not positions:
        raise Usage("--replay: there is no position in the recording")
    first, last = positions[0], positions[-1]
    assert first.time is not None and last.time is not None
    length_s = max(0.0, (last.time - first.time).total_seconds())
    return Place(last.latitude, last.longitude, datum=last.datum), len(positions), length_s


def _until_the_middle(drive: Drive, link: SlowLink, total: int) -> None:
    """Wait for the moment to withdraw: some way into the drive, a request in flight and positions queued behind it."""
    while drive.running and (drive.stats.accepted + drive.stats.filtered) / total < _WITHDRAW_AT:
        drive.wait(0.005)
    while drive.running and not link.wait_for_positions(0.2):
        pass
    drive.wait(_IN_FLIGHT_S)
