"""Whatever goes wrong, what reaches the app tells no coordinate, key or token: not in its text, its arguments, its
chain, and not in the locals of the frames that a crash reporter would record (R10)."""

from __future__ import annotations

import asyncio
import io
import logging
import socket
import ssl
from datetime import datetime
from functools import partial

import pytest
import trustme
from canaries import HERE, LATITUDE, LONGITUDE, Canaries, dump, position, secret
from hostile_service import ACCESS_TOKEN, ENDINGS, MOODS, HostileService

from kalos_connect_sdk import (
    AssertedParked,
    AsyncConnect,
    Config,
    ConfigError,
    Connect,
    ConsentRequired,
    InvalidPosition,
    Place,
    Position,
    PromptAnswer,
)
from kalos_connect_sdk.sources import PushSource, open_source
from kalos_connect_sdk.testing import ScriptedPrompter

ENROLMENT_TOKEN = "canary-enrolment-token-Xn5pTb8Ym2"
TARGET = (84.6153842907, 131.9472615383)
MORE = [*HERE, *position(*TARGET, "destination")]


@pytest.fixture
def hostile():
    with HostileService() as service:
        yield service


@pytest.fixture
def logged():
    """Everything any library logs, at DEBUG."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.setLevel(before)
    root.removeHandler(handler)


def secrets_of(connect) -> list[tuple[str, bytes]]:
    engine = connect._opened()
    kept = engine.state.secret
    found = [
        *secret(kept.signing.to_bytes(), "identity key"),
        *secret(kept.authentication, "authentication key"),
        *secret(ACCESS_TOKEN.encode(), "access token"),
        *secret(ENROLMENT_TOKEN.encode(), "enrolment token"),
    ]
    ram = engine.state.keys.read()
    if ram is not None and ram.key is not None:
        found += secret(ram.key, "data key")
    return found


def told_by(action) -> dict[str, bytes]:
    """What the error of ``action`` tells; empty when it succeeds."""
    try:
        action()
    except Exception as error:
        return dump(error, __file__)
    return {}


def findings(canaries: Canaries, told: dict[str, bytes]) -> dict[str, list[str]]:
    return {where: names for where, text in told.items() if (names := canaries.found_in(text))}


@pytest.fixture
def connect(make, hostile, tmp_path):
    (tmp_path / "token").write_text(ENROLMENT_TOKEN)
    (tmp_path / "token").chmod(0o600)
    connect = make(
        settings={"service_url": hostile.url, "enrolment_token_file": str(tmp_path / "token"), "timeout_s": 5.0}
    )
    assert connect.request_permission(user_action=True).granted
    return connect


WAYS = {
    "flush": lambda connect: connect.flush(3.0),
    "route from here": lambda connect: connect.route(Place(*TARGET)),
    "route between places": lambda connect: connect.route(Place(*TARGET), origin=Place(LATITUDE, LONGITUDE)),
}

WAY = "route from here"  # the one whose errors come from deepest, through two threads


@pytest.mark.fault(48)
@pytest.mark.parametrize("way", [WAY, *(pytest.param(way, marks=pytest.mark.once) for way in WAYS if way != WAY)])
@pytest.mark.parametrize("mood", [*MOODS, *ENDINGS])
def test_r10_no_answer_of_a_service_makes_an_error_talk(connect, hostile, logged, mood, way):
    canaries = Canaries(MORE, secrets_of(connect))
    assert connect.submit(Position(LATITUDE, LONGITUDE)).accepted
    hostile.mood = mood
    told = told_by(lambda: WAYS[way](connect))
    assert told or way == "flush", "a bad answer is an error"
    assert findings(canaries, told) == {}
    assert canaries.found_in(logged.getvalue()) == []
    heard = b"".join(body for _, body in hostile.heard)
    assert canaries.found_in(heard), "the service was told, so there was something to say back"


@pytest.mark.fault(48)
def test_r10_the_search_finds_what_is_there():
    """The control: each canary is found, alone and inside other text, in each place an error could keep it."""
    canaries = Canaries(MORE, secret(ENROLMENT_TOKEN.encode(), "enrolment token"))
    for name, needle in canaries:
        assert canaries.found_in(b'{"a":[' + needle + b"]}"), name

    def leaky(wanted: bytes) -> None:
        inner = ValueError("inner")
        inner.body = {"deep": [(wanted,)]}  # type: ignore[attr-defined]
        error = RuntimeError("outer", inner)
        error.add_note(f"{LATITUDE}")
        raise error

    told: dict[str, bytes] = {}
    try:
        exec(compile("def call(): leaky(wanted)\ncall()", "elsewhere.py", "exec"), {"leaky": leaky, "wanted": b""})
    except RuntimeError as error:
        told = dump(error, "elsewhere.py")
    assert any("position: latitude" in names for names in map(" ".join, findings(canaries, told).values()))
    try:
        leaky(f"{LONGITUDE:.6f}".encode())
    except RuntimeError as error:
        told = dump(error, "not this file")
    where = " ".join(findings(canaries, told))
    assert (
        "leaky: wanted" in where and "leaky, captured" in where and "ValueError" in where and "0 RuntimeError" in where
    )


NETWORKS = ("nobody listens", "not tls", "unknown authority", "cut in the middle of the body", "no name")


@pytest.mark.fault(48)
@pytest.mark.once
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("network", NETWORKS)
def test_r10_no_failing_network_makes_an_error_talk(make, tmp_path, logged, network, way):
    (tmp_path / "token").write_text(ENROLMENT_TOKEN)
    with Network(network) as url:
        connect = make(
            settings={
                "service_url": url,
                "enrolment_token_file": str(tmp_path / "token"),
                "timeout_s": 5.0,
            }
        )
        assert connect.request_permission(user_action=True).granted
        canaries = Canaries(MORE, secrets_of(connect))
        assert connect.submit(Position(LATITUDE, LONGITUDE)).accepted
        told = told_by(lambda: WAYS[way](connect))
        assert told, "it fails"
        assert findings(canaries, told) == {}
        assert canaries.found_in(logged.getvalue()) == []


class Network:
    """A peer that fails in one way. ``with`` gives the URL of the service that stands behind it."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._hostile: HostileService | None = None
        self._socket: socket.socket | None = None

    def __enter__(self) -> str:
        if self._kind == "no name":
            return "https://no-such-host.invalid"
        if self._kind == "nobody listens":
            with socket.create_server(("127.0.0.1", 0)) as taken:
                return f"http://127.0.0.1:{taken.getsockname()[1]}"
        context = None
        if self._kind == "unknown authority":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            trustme.CA().issue_cert("localhost").configure_cert(context)
        self._hostile = HostileService(context).__enter__()
        if self._kind == "cut in the middle of the body":
            self._hostile.cut_after = 20
        if self._kind == "not tls":
            return f"https://localhost:{self._hostile.port}"
        return self._hostile.url

    def __exit__(self, *_: object) -> None:
        if self._hostile is not None:
            self._hostile.__exit__()


WRONG = {
    "nan": lambda: Position(float("nan"), LONGITUDE),
    "infinite": lambda: Position(LATITUDE, float("inf")),
    "latitude out of range": lambda: Position(LONGITUDE, LATITUDE),
    "longitude out of range": lambda: Position(LATITUDE, LONGITUDE * 10),
    "text": lambda: Position(str(LATITUDE), LONGITUDE),
    "boolean": lambda: Position(True, LONGITUDE),
    "too large": lambda: Position(10**400 + int(LATITUDE * 1e7), LONGITUDE),
    "accuracy": lambda: Position(LATITUDE, LONGITUDE, accuracy_m=-LATITUDE),
    "speed": lambda: Position(LATITUDE, LONGITUDE, speed_mps=-LATITUDE),
    "course": lambda: Position(LATITUDE, LONGITUDE, course_deg=361),
    "altitude": lambda: Position(LATITUDE, LONGITUDE, altitude_m=1e9),
    "naive time": lambda: Position(LATITUDE, LONGITUDE, time=datetime(2026, 1, 1)),
    "no time": lambda: Position(LATITUDE, LONGITUDE, time=f"{LATITUDE}"),
    "datum": lambda: Position(LATITUDE, LONGITUDE, datum=f"{LATITUDE}"),
    "place": lambda: Place(LONGITUDE, LATITUDE),
    "place's name": lambda: Place(LATITUDE, LONGITUDE, name=LATITUDE),
    "place's datum": lambda: Place(LATITUDE, LONGITUDE, datum=LATITUDE),
}


@pytest.mark.fault(48, 49)
@pytest.mark.parametrize("wrong", WRONG)
def test_r10_a_refused_value_is_nowhere_in_its_error(wrong):
    told = told_by(WRONG[wrong])
    assert told
    assert findings(Canaries(HERE), told) == {}


@pytest.mark.fault(48, 49)
@pytest.mark.parametrize(
    "value", [(LATITUDE, LONGITUDE), {"lat": LATITUDE}, f"{LATITUDE}", Place(LATITUDE, LONGITUDE), LATITUDE]
)
def test_r10_what_is_no_position_is_nowhere_in_the_error_of_submit(connect, value):
    told = told_by(lambda: connect.submit(value))
    assert told
    assert findings(Canaries(MORE, secrets_of(connect)), told) == {}


@pytest.mark.fault(48)
def test_r10_a_position_refused_by_the_gate_is_nowhere_in_its_error(make, hostile):
    connect = make(settings={"service_url": hostile.url})
    for action in (
        lambda: connect.submit(Position(LATITUDE, LONGITUDE)),
        lambda: connect.drive(iter([Position(LATITUDE, LONGITUDE)])),
        lambda: connect.route(Place(*TARGET)),
    ):
        told = told_by(action)
        assert told and findings(Canaries(MORE), told) == {}


_LINE = f"{LATITUDE:.7f},{LONGITUDE:.7f}"
FILES = {
    "cut.gpx": f'<gpx><trk><trkseg><trkpt lat="{LATITUDE}" lon="{LONGITUDE}"><time>2026-01-01T00:00:00Z</time></trkp',
    "text.gpx": f'<gpx><trk><trkseg><trkpt lat="{LATITUDE}x" lon="{LONGITUDE}"/></trkseg></trk></gpx>',
    "entity.gpx": f'<!DOCTYPE a [<!ENTITY here "{_LINE}">]><gpx>&here;<trk></gpx>',
    "swapped.gpx": f'<gpx><trk><trkseg><trkpt lat="{LONGITUDE}" lon="{LATITUDE}"/></trkseg></trk></gpx>',
    "binary.gpx": f"\0\1\2<gpx>{_LINE}",
    "not.gpx": _LINE,
    "sums.nmea": "$GPRMC,120000,A,8328.3751,N,11737.7037,E,0.1,10.0,010126,,,A*00\r\n" * 5,
    "long.nmea": "$GPRMC," + _LINE * 3000,
    "not.nmea": _LINE,
}


@pytest.mark.fault(48)
@pytest.mark.parametrize("name", FILES)
def test_r10_a_damaged_recording_is_not_quoted(connect, hostile, tmp_path, logged, name):
    path = tmp_path / name
    path.write_text(FILES[name])
    url = f"{name.rpartition('.')[2]}:{path}"
    canaries = Canaries(MORE, secrets_of(connect))
    told = told_by(lambda: list(open_source(url)))
    assert findings(canaries, told) == {}
    events: list[str] = []

    def drive() -> None:
        with connect.drive(url) as drive:
            events.extend(repr(event) for event in drive)

    told = told_by(drive)
    assert findings(canaries, told) == {}
    assert canaries.found_in("\n".join(events) + logged.getvalue()) == []


@pytest.mark.fault(48)
def test_r10_what_is_no_source_is_not_repeated(connect):
    for value in (_LINE, f"gpsd://{_LINE}", f"gpx:{_LINE}\0"):
        for action in (open_source, connect.drive):
            told = told_by(partial(action, value))
            assert told
            kept = {where: names for where, names in findings(Canaries(HERE), told).items() if value[:4] != "gpx:"}
            assert kept == {}
    told = told_by(lambda: PushSource().put((LATITUDE, LONGITUDE)))
    assert told and findings(Canaries(HERE), told) == {}


@pytest.mark.fault(48)
def test_r10_an_asyncio_app_hears_no_more(hostile, tmp_path, logged):
    """The same through ``AsyncConnect``, with the loop's own exception handler and its debug mode."""
    handled: list[dict] = []
    told: dict[str, bytes] = {}
    canaries = Canaries(MORE)

    async def life() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: handled.append(context))
        config = Config(state_dir=tmp_path / "s", vault="memory", service_url=hostile.url)
        connect = AsyncConnect(
            "com.example.test",
            config=config,
            prompter=ScriptedPrompter(PromptAnswer.allow()),
            vehicle=AssertedParked("x"),
        )
        async with connect:
            assert (await connect.request_permission(user_action=True)).granted
            await connect.submit(Position(LATITUDE, LONGITUDE))
            hostile.mood = "echo 400"
            forgotten = asyncio.ensure_future(connect.route(Place(*TARGET)))
            for action in (connect.route(Place(*TARGET)), connect.submit((LATITUDE, LONGITUDE))):
                try:
                    await action
                except Exception as error:
                    told.update(dump(error, __file__))
            await asyncio.wait([forgotten])
            asyncio.get_running_loop().call_soon(forgotten.result)  # an error in a callback goes to the loop's handler
            await asyncio.sleep(0)
            await connect.withdraw()

    asyncio.run(life(), debug=True)
    assert told and handled
    assert findings(canaries, told) == {}
    for context in handled:
        assert findings(canaries, dump(context["exception"], __file__)) == {}
        assert canaries.found_in(repr(context)) == []
    assert canaries.found_in(logged.getvalue()) == []


@pytest.mark.fault(48)
def test_r10_the_password_of_a_proxy_is_not_shown(connect):
    canaries = Canaries(secret(b"canary-password-Lq8w", "password"))
    config = Config(service_url="https://example.org", proxy="http://user:canary-password-Lq8w@127.0.0.1:3128")
    assert canaries.found_in(f"{config!r} {config}") == []
    assert canaries.found_in(config.proxy or ""), "it is kept all the same"
    with pytest.raises(ConfigError) as caught:
        Config(service_url="https://user:canary-password-Lq8w@example.org")
    assert canaries.found_in(f"{caught.value!r} {caught.value}") == []


def test_r10_what_an_app_was_handling_when_it_called_us_stays_the_apps(tmp_path):
    """Its frames are not ours to clear: their locals are its own crash report, and a suspended one would end."""
    ended = []

    def steps():
        try:
            try:
                raise LookupError("the app's own")
            except LookupError as error:
                yield error
                yield "went on"
        finally:
            ended.append(True)

    def fails(detail):
        raise ValueError(detail)

    app = steps()
    with Connect("com.example.margins", config=Config(state_dir=str(tmp_path), vault="memory")) as connect:
        try:
            raise next(app)
        except LookupError:
            with pytest.raises(ConsentRequired):
                connect.drive(PushSource())
            with pytest.raises(InvalidPosition):
                connect.submit("not a position")  # type: ignore[arg-type]
        assert not ended and next(app) == "went on"
        try:
            fails("seven")
        except ValueError as error:
            with pytest.raises(ConsentRequired):
                connect.drive(PushSource())
            assert error.__traceback__ is not None and error.__traceback__.tb_next is not None
            assert error.__traceback__.tb_next.tb_frame.f_locals == {"detail": "seven"}
