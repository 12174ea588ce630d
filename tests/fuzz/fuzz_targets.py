"""Every parser of the project as a fuzzing target: bytes in; nothing out, or a finding raised.

``TARGETS`` names them. ``tests/fuzz`` runs them with Hypothesis, ``tools/fuzz.py`` with a coverage-guided engine.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import re
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from fuzz_judge import attempt, check_said

from kalos_connect_sdk.cli.main import main
from kalos_connect_sdk.cli.route import place
from kalos_connect_sdk.cli.settings import read_file
from kalos_connect_sdk.config import ENVIRONMENT_PREFIX, Config, from_mapping, is_loopback, origin_of
from kalos_connect_sdk.core.chain import GENESIS, BrokenChain, link, verify
from kalos_connect_sdk.core.history import MalformedEvent, fold
from kalos_connect_sdk.core.lifetime import Mark, observe
from kalos_connect_sdk.core.packing import ROW
from kalos_connect_sdk.core.record import verify_record
from kalos_connect_sdk.core.retry import RETRY_AFTER_MAX_S, retry_after_s
from kalos_connect_sdk.core.shape import can_be_shown
from kalos_connect_sdk.core.strict_json import MalformedDocument, strict_json
from kalos_connect_sdk.core.wire import (
    parse_feature_collection,
    parse_route_request,
    positions_answer,
    problem_name,
    route_from_geojson,
    route_to_geojson,
)
from kalos_connect_sdk.errors import ConfigError, SourceError, StateError, TransportError, VaultUnavailable
from kalos_connect_sdk.model.consent import Duration, Purpose
from kalos_connect_sdk.model.timing import ClockReading
from kalos_connect_sdk.navigation import AMap, Osrm, Valhalla
from kalos_connect_sdk.protocol.pseudonyms import record_id
from kalos_connect_sdk.protocol.secret import Secret
from kalos_connect_sdk.protocol.standins import open_ledger, open_page
from kalos_connect_sdk.protocol.state import _parsed
from kalos_connect_sdk.service.desk import Desk
from kalos_connect_sdk.service.engine import StraightLine
from kalos_connect_sdk.service.front import Front, Request
from kalos_connect_sdk.service.store import MemoryStore
from kalos_connect_sdk.sources.assemble import Assembler
from kalos_connect_sdk.sources.gpsd_reports import GpsdReading
from kalos_connect_sdk.sources.gpx import GpxSource
from kalos_connect_sdk.sources.nmea import NmeaSource, Sentences
from kalos_connect_sdk.sources.nmea_live import NmeaReading
from kalos_connect_sdk.storage.box import FIRST_FRAME, Box, Medium, count_frames, new_header, read_head
from kalos_connect_sdk.storage.datakeys import RamState, _decode, _encode
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.filevault import FileVault
from kalos_connect_sdk.transport.answer import Answer, http_date_s
from kalos_connect_sdk.transport.client import ServiceClient

__all__ = ["TARGETS", "Target"]

_IDS = {"record_id": "0" * 32, "notice_sha256": "a" * 64}


@dataclass(frozen=True)
class Target:
    """One parser. ``run(data)`` raises when the parser does what none may do. ``seeds``: valid inputs."""

    run: Callable[[bytes], None]
    seeds: list[bytes]
    words: list[bytes] = field(default_factory=list)
    """What its format is made of, for the engines' dictionaries."""
    is_json: bool = False
    """Its seeds are JSON, so that a value in it can be replaced."""


TARGETS: dict[str, Target] = {}


def _json(*documents: Any) -> list[bytes]:
    return [json.dumps(document).encode() for document in documents]


def _target(seeds: list[bytes], *words: bytes, is_json: bool = False) -> Callable[[Callable[[bytes], None]], Any]:
    def register(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
        TARGETS[run.__name__.removeprefix("read_")] = Target(run, seeds, list(words), is_json)
        return run

    return register


class _Scratch:
    """One private folder for a process's fuzzing, in RAM where there is such a thing; gone at its end."""

    def __init__(self) -> None:
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._folder = tempfile.TemporaryDirectory(prefix="kalos-fuzz-", dir=base)
        self.path = Path(self._folder.name)

    def file(self, name: str, data: bytes) -> Path:
        """``data`` under ``name``, readable by us alone."""
        path = self.path / name
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        return path

    def directory(self) -> StateDirectory:
        return StateDirectory.open("fuzz", None, self.path / "state")


_scratches: dict[int, _Scratch] = {}


def _scratch() -> _Scratch:
    if os.getpid() not in _scratches:
        _scratches[os.getpid()] = _Scratch()
    return _scratches[os.getpid()]


# -- wire: what a service answers ------------------------------------------------------------------


class _Canned:
    """A door behind which one answer stands."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def resolve(self, url: str) -> None:
        """Nothing to look up."""

    def exchange(self, *_: Any, **__: Any) -> Answer:
        return self._answer


_LINE = {
    "type": "Feature",
    "geometry": {"type": "LineString", "coordinates": [[24.9384, 60.1699], [24.95, 60.18]]},
    "properties": {
        "distance_m": 1200.5,
        "duration_s": 180,
        "locale": "en",
        "attribution": "map data",
        "manoeuvres": [{"instruction": "Turn", "kind": "right", "distance_m": 1, "duration_s": 2, "begin_index": 1}],
    },
}
_PROBLEM = {"type": "https://kalos-connect.invalid/problems/consent-expired", "title": "no", "status": 403}


def _answer(data: bytes) -> Answer:
    """``status retry-after|etag`` on the first line, the body after it."""
    head, _, body = data.partition(b"\n")
    status, _, header = head.partition(b" ")
    number = int(status[-3:]) if status.isdigit() else 200
    text = header.decode("latin-1")
    return Answer(number, {"retry-after": text, "etag": text, "date": text}, body)


@_target(
    [
        *(
            b"200 x\n" + each
            for each in _json({"access_token": "t", "encodings": ["gzip"]}, {"epoch": 3, "dropped": 2})
        ),
        *(b'200 "tag"\n' + each for each in _json({"record_id": "0" * 32, "status": "given", "epoch": 1}, _LINE)),
        *(b"403 120\n" + each for each in _json(_PROBLEM)),
        b'200 "v1"\n{"id": "n", "version": "2", "texts": {}}',
        b"429 3600\n{}",
        b"304 \n",
    ],
    b"access_token",
    b"encodings",
    b"epoch",
    b"dropped",
    b"status",
)
def read_answer(data: bytes) -> None:
    """Registration, status, acknowledgement, route and notice, as the client reads them; problems too."""
    client = ServiceClient(_Canned(_answer(data)), "https://service.example")  # type: ignore[arg-type]
    documented = (TransportError,)
    registered = attempt(lambda: client.register("0" * 32, {}), documented, data)
    if registered is not None:
        assert 0 < len(registered.access_token) <= 4096 and registered.access_token.isascii()
        assert registered.access_token.isprintable() and " " not in registered.access_token  # it becomes a header
    known = attempt(lambda: client.status("0" * 32, "t"), documented, data)
    if known is not None:
        assert known.epoch >= 0 and (known.etag is None or can_be_shown(known.etag))
    dropped = attempt(lambda: client.withdraw("0" * 32, {}), documented, data)
    assert dropped is None or dropped >= 0
    attempt(lambda: client.notice("en"), documented, data)


def _route_of(document: Any, data: bytes) -> None:
    route = attempt(lambda: route_from_geojson(document), (MalformedDocument,), data)
    if route is not None:
        json.dumps(route_to_geojson(route), allow_nan=False)
        assert "60." not in repr(route) and all(abs(x) <= 180 and abs(y) <= 90 for x, y in route.line)


@_target([*_json({"a": [1, 2.5, "x", None, True]}, [[]], "text", 1e10, _LINE, _PROBLEM)], is_json=True)
def read_strict_json(data: bytes) -> None:
    """Accepted: what it says, written again, reads the same."""
    value = attempt(lambda: strict_json(data), (MalformedDocument,), data)
    if value is not None:
        assert strict_json(json.dumps(value, allow_nan=False).encode()) == value


@_target(_json(_LINE), b"coordinates", b"LineString", b"begin_index", is_json=True)
def read_route(data: bytes) -> None:
    document = attempt(lambda: strict_json(data), (MalformedDocument,), data)
    _route_of(document, data)


_VALHALLA = {
    "trip": {
        "language": "en-US",
        "summary": {"length": 1.2, "time": 180.5},
        "legs": [
            {
                "shape": "_sdpA_chjLAA",
                "maneuvers": [
                    {"type": 26, "instruction": "Go", "length": 1.2, "time": 180.5, "begin_shape_index": 0,
                     "roundabout_exit_count": 2, "street_names": ["A street"], "sign": {"exit_toward_elements": [{"text": "B"}]}},
                    {"type": 4, "instruction": "There", "length": 0, "time": 0, "begin_shape_index": 1},
                ],
            }
        ],
    }
}  # fmt: skip
_OSRM_STEP = {
    "geometry": "_sdpA_chjLAA",
    "distance": 7,
    "duration": 3.5,
    "name": "A street",
    "ref": "A 1",
    "mode": "driving",
}
_OSRM = {
    "code": "Ok",
    "routes": [
        {
            "distance": 7,
            "duration": 3.5,
            "legs": [
                {
                    "steps": [
                        {**_OSRM_STEP, "maneuver": {"type": "roundabout", "modifier": "right", "exit": 2}},
                        {**_OSRM_STEP, "destinations": "A 8", "maneuver": {"type": "off ramp", "modifier": "left"}},
                    ]
                }
            ],
        }
    ],
}
_AMAP_STEP = {
    "road_name": "A street", "step_distance": "7", "cost": {"duration": "3"}, "polyline": "116.404,39.915;116.405,39.916",
    "navi": {"action": [], "assistant_action": "到达目的地"},
}  # fmt: skip
_AMAP = {
    "status": "1",
    "infocode": "10000",
    "route": {"paths": [{"distance": "7", "cost": {"duration": "3"}, "steps": [_AMAP_STEP, _AMAP_STEP]}]},
}


def _asked(provider: Any, data: bytes, wrong: int) -> None:
    """A provider's answer: with a 200, and with a status of its own that says no."""
    for status in (200, wrong):
        route = attempt(lambda status=status: provider.answer(status, {}, data, "en"), (TransportError,), data)
        if route is not None:
            again = route_from_geojson(json.loads(json.dumps(route_to_geojson(route), allow_nan=False)))
            assert again == route and "60." not in repr(route)


@_target(_json(_VALHALLA, {"error_code": 171}), b"shape", b"begin_shape_index", is_json=True)
def read_valhalla(data: bytes) -> None:
    _asked(Valhalla("http://127.0.0.1:1"), data, 400)


@_target(_json(_OSRM, {"code": "NoRoute"}), b"geometry", b"maneuver", is_json=True)
def read_osrm(data: bytes) -> None:
    _asked(Osrm("http://127.0.0.1:1"), data, 400)


@_target(_json(_AMAP, {"status": "0", "infocode": "10001"}), b"polyline", b"navi", is_json=True)
def read_amap(data: bytes) -> None:
    _asked(AMap("0123456789abcdef"), data, 500)


@_target(_json({"accepted": 2, "rejected": [{"id": 1, "problem": "stale"}]}, {"accepted": 0}), is_json=True)
def read_positions_answer(data: bytes) -> None:
    document = attempt(lambda: strict_json(data), (MalformedDocument,), data)
    answer = attempt(lambda: positions_answer(document), (MalformedDocument,), data)
    if answer is not None:
        assert answer[0] >= 0 and all(number >= 0 and can_be_shown(name) for number, name in answer[1])


@_target(_json(_PROBLEM, {"type": "about:blank"}), b"/consent-required", is_json=True)
def read_problem(data: bytes) -> None:
    document = attempt(lambda: strict_json(data), (MalformedDocument,), data)
    name = problem_name(document)
    assert name is None or (can_be_shown(name) and len(name) <= 64)


@_target([b"120", b"Wed, 21 Oct 2027 07:28:00 GMT", b"Wed, 21 Oct 2027 07:28:00 -0000", b"99999999999999999999"])
def read_retry_after(data: bytes) -> None:
    text = data.decode("latin-1")
    wait_s = retry_after_s(text, now_wall_s=1.8e9)
    assert wait_s is None or 0 <= wait_s <= RETRY_AFTER_MAX_S
    date_s = http_date_s(text)
    if date_s is not None:
        assert abs(date_s) < 1e15


# -- wire: what a service is asked -----------------------------------------------------------------

_CONSENT = {**_IDS, "epoch": 1, "purpose": "navigation", "precision": "precise"}
_POINTS = {
    "type": "FeatureCollection",
    "consent": _CONSENT,
    "features": [
        {
            "type": "Feature",
            "id": 0,
            "geometry": {"type": "Point", "coordinates": [24.9384, 60.1699]},
            "properties": {"timestamp": "2027-05-04T12:00:00Z", "speed": 3.5, "course": 90, "horizontal_accuracy": 5},
        }
    ],
}


@_target(_json(_POINTS), b"coordinates", b"timestamp", b"horizontal_accuracy", is_json=True)
def read_feature_collection(data: bytes) -> None:
    read = attempt(lambda: parse_feature_collection(data, max_features=50), (MalformedDocument,), data)
    for feature in read[1] if read is not None else ():
        if "problem" not in feature:
            assert abs(feature["latitude"]) <= 90 and abs(feature["longitude"]) <= 180 and abs(feature["time_s"]) < 1e12


_ASKED = {
    "origin": {"type": "Point", "coordinates": [24.9384, 60.1699]},
    "destination": {"type": "Point", "coordinates": [24.95, 60.18]},
    "locale": "en",
}


@_target(_json(_ASKED, {**_ASKED, "consent": _CONSENT}), is_json=True)
def read_route_request(data: bytes) -> None:
    document = attempt(lambda: strict_json(data), (MalformedDocument,), data)
    attempt(lambda: parse_route_request(document), (MalformedDocument,), data)


@_target(
    [
        b"PUT /v1/consents/00000000000000000000000000000000\n"
        + _json({"epoch": 1, "public_key": "A" * 43, "record": {}})[0],
        b"POST /v1/consents/00000000000000000000000000000000/withdrawals\n"
        + _json({"notice_id": "n", "epoch": 1, "public_key": "A" * 43, "signature": "A" * 86})[0],
        b"POST /v1/positions\n" + _json(_POINTS)[0],
        b"POST /v1/routes\n" + _json(_ASKED)[0],
        b"GET /v1/notice?locale=en\n",
        b"GET /v1/consents/00000000000000000000000000000000\n",
    ],
    b"/v1/consents/",
    b"withdrawals",
)
def read_service_request(data: bytes) -> None:
    """The reference service: an answer whatever comes, which never quotes a place that was refused."""
    head, _, body = data.partition(b"\n")
    method, _, target = head.decode("latin-1").partition(" ")
    path, _, query = target.partition("?")
    kind = "application/geo+json" if path.endswith("positions") else "application/json"
    headers = {"content-type": kind, "authorization": "Bearer t", "idempotency-key": '"k"'}
    desk = Desk(MemoryStore(), now_s=lambda: 0.0, notice=None, region=None, enrolment_token=None)
    answer = Front(desk, StraightLine()).answer(Request(method, path, query, headers, body))
    assert 200 <= answer.status < 600
    if answer.status >= 400:
        check_said(answer.body.decode(), data)


# -- state files -------------------------------------------------------------------------------------

_TERMS = {
    "receipt_id": "r",
    "precision": "precise",
    "duration": "7-days",
    "notice_id": "n",
    "notice_version": "1",
    "notice_locale": "en",
    "notice_sha256": "a" * 64,
    "notice_fields_sha256": "b" * 64,
    "controller_id": "c",
    "service_origin": "https://service.example:443",
    "granted_at": "2027-05-04T12:00:00.000Z",
    "expires_at": "2027-05-11T12:00:00.000Z",
    "granted_boot_id": "b",
    "granted_boottime_ms": 1000,
    "granted_suspended_ms": 0,
    "drive_id": None,
    "asserted_parked": None,
    "simulated": False,
    "guardian": None,
    "run_id": None,
}


def _events() -> list[bytes]:
    """Real ones: what a real grant and a real withdrawal write."""
    from kalos_connect_sdk.core.history import make_event, terms_from_json

    terms = terms_from_json(_TERMS)
    kinds = [("allow", 1, terms), ("registered", 1, None), ("withdraw", 1, None), ("erased", 1, None)]
    bodies = [make_event(kind, Purpose.NAVIGATION, epoch, 1.8e9, terms=t) for kind, epoch, t in kinds]
    return [b"\n".join(json.dumps(body).encode() for body in bodies[:end]) for end in range(1, 5)]


@_target(_events(), b'"kind":"allow"', b'"epoch":', b"withdraw", b"-days")
def read_history(data: bytes) -> None:
    """The ledger's events: folded to a record, or refused; epochs never go back whatever they say."""

    def read() -> Any:
        return fold([_parsed(line) for line in data.split(b"\n")])

    records = attempt(read, (MalformedEvent,), data)
    for record in records.values() if records is not None else ():
        assert 0 <= record.erased_epoch <= record.epoch < 2**63 and record.registered_epoch <= record.epoch


@_target([struct.pack("<B", 1) + GENESIS + b"body"])
def read_chain(data: bytes) -> None:
    """Rows of a chain with anything in any column."""
    seq = data[0] if data else 0
    columns: list[Any] = [data[1:33], data[33:], link(GENESIS, data[33:]), seq, None, "text", 1.5]
    rows = [tuple(columns[(seq + step * (1 + at)) % 7] for at in range(4)) for step in range(3)]
    attempt(lambda: verify(rows), (BrokenChain,), data)
    good = [(1, data, GENESIS, link(GENESIS, data))]
    assert verify(good) == link(GENESIS, data)


def _fresh_state() -> bytes:
    directory = _scratch().directory()
    open_page(directory).close()
    return (directory.path / "page").read_bytes()


@_target([_fresh_state(), bytes(4096), b"\xff" * 4096])
def read_page(data: bytes) -> None:
    """Any 4096 bytes: a tombstone that cannot be read means ended (R1)."""
    directory = _scratch().directory()
    with contextlib.suppress(FileNotFoundError):
        (directory.path / "page").unlink()
    _scratch().file("page", data).rename(directory.path / "page")
    page = open_page(directory)
    for purpose in Purpose:
        attempt(lambda purpose=purpose: page.highest_ended(purpose), (StateError,), data)
        for epoch in range(1, 65):  # a tombstone holds for every epoch up to it that shares its slot
            index = page.slot(purpose, epoch)
            value, complement = page.words[index], page.words[index + 1]
            readable = value ^ complement == 2**64 - 1
            assert page.ended(purpose, epoch) == (not readable or value >= epoch)
        assert 0 <= page.granted(purpose) < 2**64
        if len(data) != 4096:
            assert page.ended(purpose, 1) and not page.intact()
    page.close()


def _ledger_seed() -> bytes:
    directory = _scratch().directory()
    open_ledger(directory).close()
    return (directory.path / "ledger.db").read_bytes()


@_target([_ledger_seed()], b"SQLite format 3\x00")
def read_ledger(data: bytes) -> None:
    """A file that may or may not be a database."""
    directory = _scratch().directory()
    for leftover in directory.path.glob("ledger.db*"):
        leftover.unlink()
    _scratch().file("ledger.db", data).rename(directory.path / "ledger.db")
    ledger = attempt(lambda: open_ledger(directory), (StateError,), data)
    if ledger is None:
        return
    try:
        for read in (ledger.events, ledger.notices):
            attempt(read, (StateError,), data)
        for purpose in Purpose:
            attempt(lambda purpose=purpose: record_id(ledger, purpose, 1), (StateError,), data)
    finally:
        ledger.close()


class _Settings:
    """A ledger with one setting."""

    def __init__(self, text: str) -> None:
        self._text = text

    def record_id(self, purpose: Purpose) -> str:
        return "0" * 32

    def meta(self, key: str) -> str | None:
        return self._text


@_target([b'[[2, "aaaa"], [5, "bbbb"]]', b"[]", b"[[1e400, 1]]"], is_json=True)
def read_pseudonyms(data: bytes) -> None:
    assert isinstance(record_id(_Settings(data.decode("latin-1")), Purpose.NAVIGATION, 3), str)


_KEY = bytes(range(32))


def _box_seed(rows: int) -> bytes:
    content = bytearray()

    def write(data: bytes, at: int) -> int:
        content[at : at + len(data)] = data
        return len(data)

    box = Box.create(
        Medium(write, lambda n, at: bytes(content[at : at + n]), lambda size: None), new_header(1, 1), _KEY
    )
    for _ in range(rows):
        box.append(ROW.pack(0, 1, 2, 3, 4, 0, 0, 0, 0))
    if rows:
        box.take(2)
    return bytes(content)


def _torn_box(rows: int) -> bytes:
    """Rows, all damaged; and of the batch that was under way the end is missing."""
    whole = bytearray(_box_seed(3))
    size = (len(whole) - FIRST_FRAME) // 3
    for row in range(3):
        whole[FIRST_FRAME + row * size + 12] ^= 1
    return bytes(whole[: FIRST_FRAME + rows * size])


_FAR_BOX = _box_seed(0)[:64] + b"\xff" * 64
"""Its mark says that the queue begins where no file can be read."""


@_target([_box_seed(0), _box_seed(3), _torn_box(1), _torn_box(2), _FAR_BOX], b"KALOSBX1")
def read_box(data: bytes) -> None:
    """A box that another process left: counted, adopted, taken from; only rows that open come out."""
    content = bytearray(data)

    def write(piece: bytes, at: int) -> int:
        content[at : at + len(piece)] = piece
        return len(piece)

    def read(length: int, at: int) -> bytes:  # as os.pread, which cannot be asked for the last offsets
        if at + length >= 2**63:
            raise OverflowError if at >= 2**63 else OSError(22, "Invalid argument")
        return bytes(content[at : at + length])

    head = read_head(read)
    if head is None:
        return
    assert count_frames(read, head.head) <= len(data)
    box = Box.adopt(Medium(write, read, lambda size: None), head, _KEY)
    if box is None:
        return
    for _ in range(4):
        batch = box.take(2)
        if batch is None:
            break
        assert all(len(row) == ROW.size for row in batch.rows)
        box.acknowledge(batch)


@_target([_encode(RamState(epoch=3, generation=1, key=_KEY)), _encode(RamState())], b"KALOSDK1")
def read_ram_entry(data: bytes) -> None:
    _decode(data)
    body = data[:-8] if len(data) > 8 else data
    state = _decode(body + hashlib.sha256(body).digest()[:8])  # behind the checksum too
    assert state is None or state.key is None or len(state.key) == 32


_SECRET = Secret.new().with_token("0" * 32, "t").raised({Purpose.NAVIGATION: 3}).to_bytes()


@_target([_SECRET, _SECRET.replace(b":3}", b":1e400}"), _SECRET.replace(b":3}", b":-1}")], is_json=True)
def read_secret(data: bytes) -> None:
    """The vault's entry."""
    secret = attempt(lambda: Secret.from_bytes(data), (VaultUnavailable,), data)
    if secret is not None:
        assert all(0 <= count < 2**63 for count in secret.counters.values()) and len(secret.authentication) == 32
        Secret.from_bytes(secret.to_bytes())


@_target(_json({"version": 1, "slots": {"a": "AAAA"}}, {"version": 1, "slots": {}}), is_json=True)
def read_key_file(data: bytes) -> None:
    vault = FileVault(_scratch().file("keys", data))
    attempt(lambda: vault.load("a"), (VaultUnavailable,), data)


_MARK = observe(ClockReading(1.8e9, 100.0, 0.0, "b"), None)[1].to_text().encode()


@_target([_MARK, b"{}"], is_json=True)
def read_clock_mark(data: bytes) -> None:
    """The clock's mark: total, and what cannot be read trusts no clock (R13)."""
    mark = Mark.from_text(data.decode("latin-1"))
    for boot in ("b", "c"):
        now, kept = observe(ClockReading(1.8e9, 101.0, 0.0, boot), mark)
        assert now.wall_s >= 0 and Mark.from_text(kept.to_text()) == kept


# -- receipts ----------------------------------------------------------------------------------------


def _receipt() -> bytes:
    """A real one, signed with a key of its own."""
    from kalos_connect_sdk.core.messages import attach_signature, signing_bytes
    from kalos_connect_sdk.core.notices.default import DEFAULT_NOTICE
    from kalos_connect_sdk.core.record import render

    secret = Secret.new()
    record = render(
        record_id="0" * 32,
        purpose=Purpose.NAVIGATION,
        events=[json.loads(line) for line in _events()[-1].split(b"\n")],
        notice=DEFAULT_NOTICE,
        public_key=secret.signing.public,
        service_region=None,
    )
    return json.dumps(attach_signature(record, secret.signing.sign(signing_bytes(record)))).encode()


_RECEIPT = _receipt()


@_target([_RECEIPT], b"dpv:hasConsentStatus", b"kc:epoch", is_json=True)
def read_record(data: bytes) -> None:
    """A record, behind its signature too: what is said of it can be shown and holds no fraction."""
    record = attempt(lambda: strict_json(data, max_depth=64), (MalformedDocument,), data)
    for verified in (lambda *_: True), (lambda *_: False):
        finding = verify_record(record, verify=verified)  # type: ignore[arg-type]
        assert all(map(can_be_shown, (*finding.problems, *finding.statements)))
        for problem in finding.problems:
            check_said(problem, data)


@_target([_RECEIPT, b"[" + _RECEIPT + b"]"], b"proof", b"public_key", is_json=True)
def read_receipt_file(data: bytes) -> None:
    """``consent verify FILE``: exit 0 or 2, and nothing but lines that can be shown."""
    path = _scratch().file("receipt.json", data)
    for options in ([], ["--json"]):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["consent", "verify", str(path), *options])
        assert code in (0, 2)
        for line in (out.getvalue() + err.getvalue()).split("\n"):
            assert can_be_shown(line)


# -- sources -----------------------------------------------------------------------------------------

_GPX = (
    b'<?xml version="1.0" encoding="UTF-8"?><gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>'
    b'<trkpt lat="60.1699" lon="24.9384"><ele>12.5</ele><time>2027-05-04T12:00:00Z</time><hdop>1.2</hdop>'
    b"<extensions><speed>3.5</speed><course>90</course></extensions></trkpt></trkseg></trk></gpx>"
)


@_target(
    [_GPX, _GPX.decode().replace("UTF-8", "UTF-16").encode("utf-16"), _GPX.replace(b"UTF-8", b"iso-8859-1")],
    b"<!DOCTYPE",
    b"<!ENTITY",
    b"&lol;",
    b"<trkpt ",
    b"<![CDATA[",
    b'encoding="utf-7"',
    b"<?xml-stylesheet",
)
def read_gpx(data: bytes) -> None:
    _replay(GpxSource(_scratch().file("drive.gpx", data), speed=0), data)


def _replay(source: Any, data: bytes) -> None:
    """Positions that are valid and say nothing of themselves, then perhaps a documented error."""

    def read() -> None:
        for position in source:
            assert abs(position.latitude) <= 90 and abs(position.longitude) <= 180 and position.time is not None
            assert "60." not in repr(position)

    attempt(read, (SourceError,), data)
    hint = source.len_hint
    assert hint is None or 0 <= hint <= len(data)


def _sentence(body: str) -> bytes:
    total = 0
    for letter in body:
        total ^= ord(letter)
    return f"${body}*{total:02X}\r\n".encode()


_NMEA = b"".join(
    map(
        _sentence,
        [
            "GPRMC,120000.00,A,6010.194,N,02456.304,E,7.0,90.0,040527,,,A",
            "GPGGA,120000.00,6010.194,N,02456.304,E,1,08,1.2,12.5,M,,M,,",
            "GPZDA,120001.00,04,05,2027,00,00",
            "GNGNS,120001.00,6010.194,N,02456.304,E,AA,08,1.2,12.5,,,",
            "GPGLL,6010.194,N,02456.304,E,120002.00,A,A",
            "GPGST,120002.00,1.0,1.0,1.0,1.0,1.0,1.0,1.0",
            "GPVTG,90.0,T,,M,7.0,N,13.0,K,A",
        ],
    )
)


@_target([_NMEA], b"$GPRMC,", b"$GPGGA,", b"$GPZDA,", b"*00\r\n")
def read_nmea(data: bytes) -> None:
    """As a file, and behind the checksum: every field may hold anything."""
    _replay(NmeaSource(_scratch().file("drive.nmea", data), speed=0), data)
    right = b"".join(_sentence(line.strip(b"\r$").split(b"*")[0].decode("latin-1")) for line in data.split(b"\n")[:40])
    assembler, whole, pieces = Assembler(date(2000, 1, 1)), Sentences(), Sentences()
    found = list(whole.feed(right))
    cut = [piece for at in range(0, len(right), 7) for piece in pieces.feed(right[at : at + 7])]
    assert cut == found  # the same, however the bytes arrive
    for sentence in found:
        assembler.add(sentence.kind, sentence.fields)
    assembler.finish()


def _hear(reading: Any, data: bytes, cut: int) -> list[Any]:
    """What a live source makes of bytes that arrive in pieces: valid positions, in words that can be shown."""
    found = [position for at in range(0, len(data), cut) for position in reading.feed(data[at : at + cut])]
    found += reading.settle()
    for position in found:
        assert abs(position.latitude) <= 90 and abs(position.longitude) <= 180 and position.time is not None
    assert not reading.pending
    for words in (reading.trouble or "", reading.silence()):
        check_said(words, data)
    return found


@_target([_NMEA, _NMEA[40:]], b"$GPRMC,", b"$GPGGA,", b"*00\r\n", b"\xb5\x62")
def read_nmea_stream(data: bytes) -> None:
    """Live: as it comes and in pieces of any size it is the same."""
    assert _hear(NmeaReading(), data, 1 << 20) == _hear(NmeaReading(), data, 5)


_GPSD = b"".join(
    json.dumps(report).encode() + b"\n"
    for report in [
        {"class": "VERSION", "release": "3.22", "rev": "3.22", "proto_major": 3, "proto_minor": 14},
        {"class": "DEVICES", "devices": [{"class": "DEVICE", "path": "/dev/a", "activated": "2027-05-04T12:00:00.000Z"}]},
        {"class": "TPV", "device": "/dev/a", "mode": 3, "time": "2027-05-04T12:00:00.000Z", "lat": 60.1699, "lon": 24.9384,
         "altHAE": 30.5, "altMSL": 12.5, "epx": 3.1, "epy": 4.2, "eph": 19.6, "speed": 3.5, "track": 90.0},
        {"class": "SKY", "device": "/dev/a", "hdop": 0.8, "satellites": [{"PRN": 1, "used": True}]},
        {"class": "TPV", "device": "/dev/a", "mode": 1},
        {"class": "DEVICE", "path": "/dev/a", "activated": 0},
        {"class": "ERROR", "message": "no"},
    ]
)  # fmt: skip


@_target([_GPSD], b'"TPV"', b'"mode":', b'"time":', b"\n", b"1e400", b"-0")
def read_gpsd(data: bytes) -> None:
    """gpsd's reports, one a line, whole and in pieces; with a receiver that is named and without."""
    for device in (None, "/dev/a"):
        whole, cut = (_hear(GpsdReading(device, lambda: 0.0), data, size) for size in (1 << 20, 7))
        assert whole == cut


@_target([line for line in _GPSD.splitlines() if b'"TPV"' in line], b'"mode":', b'"time":', b"1e400", is_json=True)
def read_gpsd_report(data: bytes) -> None:
    """One report in which every value may be anything, between two that are right."""
    right = _GPSD.splitlines(keepends=True)[2]
    later = right.replace(b"12:00:00", b"12:00:09")
    _hear(GpsdReading(None, lambda: 0.0), right + data.replace(b"\n", b" ") + b"\n" + later, 1 << 20)


# -- configuration and command line ------------------------------------------------------------------


def _values(data: bytes) -> bytes:
    """What stands right of the equals signs, but for what also is a name: an unknown name is told, escaped; a value
    never is."""
    pairs = [line.partition(b"=") for line in data.split(b"\n")]
    names = b"".join(pair[0] for pair in pairs)
    return b"\n".join(pair[2] for pair in pairs if not any(word in names for word in re.findall(rb"\d+\.\d+", pair[2])))


@_target(
    [
        b'service_url = "https://service.example"\ntimeout_s = 5\nvault = "file:/tmp/x"\nservice_region = "CN"\n',
        b'proxy = "http://proxy.example:3128"\nstate_dir = "~/x"\nlocale = "en"\nmax_retries = 3\n',
        b"outbox_ttl_s = 1e3\n[table]\na = 1\n",
        *(b'proxy = "http://["\n', b'state_dir = "~nobody-here/x"\n', b'vault = "file:~nobody-here/x"\n'),
        *(b'ca_bundle = "a\\u0000b"\n', b"timeout_s = nan\n", b"max_retries = true\n", b'proxy = "http://a:99999"\n'),
        b'service_url = "http://[::1]:8787"\nca_bundle = "ca.pem"\nbatch_max_positions = 0x10\n',
    ],
    *(key.encode() for key in ("service_url", "proxy", "vault", "ca_bundle", "enrolment_token_file", "outbox_ttl_s")),
    b"nan",
    b"inf",
    b"1979-05-27T07:32:00Z",
    b"~nobody/",
    b"http://[",
)
def read_configuration(data: bytes) -> None:
    path = _scratch().file("config.toml", data)

    def read() -> Config:
        return from_mapping(read_file(path))

    config = attempt(read, (ConfigError,), _values(data))
    if config is not None:
        assert config.service_url is None or config.origin.startswith(("https://", "http://"))
        assert config.origin.startswith("https://") or not config.origin or config.service_is_loopback
        assert "\x00" not in f"{config.state_dir}{config.ca_bundle}{config.enrolment_token_file}{config.vault}"


@_target([b"TIMEOUT_S=5\nSERVICE_URL=https://a.example", b"MAX_RETRIES=3\nVAULT=memory", b"COLOUR=red"])
def read_environment(data: bytes) -> None:
    variables = {}
    for line in data.replace(b"\x00", b"").split(b"\n"):
        name, equals, value = line.partition(b"=")
        if equals:
            variables[os.fsencode(ENVIRONMENT_PREFIX) + name] = value
    kept = {name: os.environb[name] for name in os.environb if name in variables}
    try:
        os.environb.update(variables)
        attempt(Config, (ConfigError,), _values(data))
    finally:
        for name in variables:
            del os.environb[name]
        os.environb.update(kept)


@_target([b"https://service.example", b"http://127.0.0.1:8787/", b"http://[::1]:80", b"https://a@b:c@d#e?f"])
def read_url(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    attempt(lambda: origin_of(text), (ConfigError,), data)
    is_loopback(text)
    config = attempt(lambda: Config(service_url=text, proxy=text), (ConfigError,), data)
    assert config is None or config.origin


@_target([b"60.169900,24.938400", b" -33.8 , 151.2 ", b"91.0000,0", b"nan,1e400"])
def read_place(data: bytes) -> None:
    attempt(lambda: place(data.decode("utf-8", "surrogateescape")), (argparse.ArgumentTypeError,), data)


@_target([b"7-days", b"this-drive", b"until-withdrawn", b"3651-days"])
def read_duration(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        duration = Duration.parse(text)
    except ValueError:
        return  # callers name the field and drop this error: see read_history
    assert Duration.parse(str(duration)) == duration


@_target(
    [
        b"status\x00--json",
        b"route\x00--to\x0060.169900,24.938400",
        b"consent\x00verify\x00x",
        b"stream\x00--from\x00gpx:x",
        b"status\x00\x1b[2J",
        b"\x1b[2J",
    ]
)
def read_arguments(data: bytes) -> None:
    """A command line, up to running it: exit code 2, or understood; on one line that can be shown."""
    from kalos_connect_sdk.cli.main import _with_negative_places, build_parser

    words = [word.decode("utf-8", "surrogateescape") for word in data.split(b"\x00")]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            build_parser().parse_args(_with_negative_places(words))
        except SystemExit as left:
            assert left.code in (0, 2)
    for line in err.getvalue().split("\n"):
        assert can_be_shown(line)
