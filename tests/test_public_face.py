"""The public face: every name an app may import, its signature, what it costs, and what it refuses."""

from __future__ import annotations

import ast
import inspect
import math
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kalos_connect_sdk as sdk
from kalos_connect_sdk import (
    AssertedParked,
    Config,
    ConfigError,
    Datum,
    Duration,
    InvalidPosition,
    Place,
    Position,
    PromptAnswer,
)
from kalos_connect_sdk.config import from_mapping, is_loopback, origin_of

# -- names ---------------------------------------------------------------------------------------

PROMISED = [
    "AssertedParked",
    "AsyncConnect",
    "Config",
    "ConfigError",
    "Connect",
    "ConsentError",
    "ConsentRequired",
    "Datum",
    "Duration",
    "InvalidPosition",
    "KalosConnectError",
    "NoPosition",
    "Permission",
    "Place",
    "Position",
    "Precision",
    "PromptAnswer",
    "PromptRequest",
    "Purpose",
    "Reason",
    "ServiceRefused",
    "ServiceUnreachable",
    "SourceError",
    "SourceUnavailable",
    "StateError",
    "StateRolledBack",
    "StateUnreadable",
    "Submission",
    "FlushReport",
    "WithdrawalReport",
    "TransportError",
    "VaultUnavailable",
    "Drive",
    "Route",
]


def test_every_promised_name_is_there():
    assert set(PROMISED) <= set(sdk.__all__)
    for name in sdk.__all__:
        assert getattr(sdk, name) is not None, name


def test_all_is_sorted_and_complete():
    assert sdk.__all__ == sorted(sdk.__all__)
    assert set(sdk.__all__) == set(sdk._WHERE)
    assert set(sdk.__all__) <= set(dir(sdk))


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(sdk.__file__).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: f"{node.module}" for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == sdk._WHERE


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Nonsense"):
        sdk.Nonsense


def parameters(call) -> list[str]:
    shown = []
    for name, parameter in inspect.signature(call).parameters.items():
        star = "*" if parameter.kind is parameter.KEYWORD_ONLY else ""
        default = "" if parameter.default is parameter.empty else f"={parameter.default}"
        shown.append(f"{star}{name}{default}")
    return shown


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (
            sdk.Connect,
            "app_id *config=None *prompter=None *notice=None *vehicle=None *os_permission=None *vault=None *clock=None "
            "*profile=None *simulated=False *navigation=None",
        ),
        (sdk.Connect.permission, "self purpose=Purpose.NAVIGATION"),
        (
            sdk.Connect.request_permission,
            "self purpose=Purpose.NAVIGATION *precision=Precision.PRECISE *user_action=False *guardian=None",
        ),
        (
            sdk.Connect.request_permission_future,
            "self purpose=Purpose.NAVIGATION *precision=Precision.PRECISE *user_action=False *guardian=None",
        ),
        (sdk.Connect.submit, "self position"),
        (sdk.Connect.flush, "self timeout_s=None"),
        (sdk.Connect.drive, "self source *route=None *reroute=True"),
        (sdk.Connect.route, "self to *origin=None *locale=None"),
        (sdk.Connect.withdraw, "self purpose=None *timeout_s=5.0"),
        (sdk.Connect.reset, "self"),
        (sdk.Connect.on_change, "self callback"),
        (sdk.Connect.receipts, "self"),
        (sdk.Connect.close, "self"),
        (Place, "latitude longitude *name=None *datum=Datum.WGS84"),
        (
            Position,
            "latitude longitude *accuracy_m=None *speed_mps=None *course_deg=None *altitude_m=None *time=None "
            "*datum=Datum.WGS84",
        ),
        (PromptAnswer.allow, "duration=this-drive precision=Precision.PRECISE"),
        (PromptAnswer.deny, ""),
        (PromptAnswer.dismiss, ""),
        (Duration.days, "n"),
    ],
)
def test_signatures_are_as_promised(call, wanted):
    assert parameters(call) == wanted.split()


def test_fields_are_as_promised():
    def names(kind) -> set[str]:
        return {item.name for item in fields(kind)}

    assert names(sdk.FlushReport) >= {"sent", "rejected", "remaining", "notices_pending", "next_attempt_s"}
    assert names(sdk.WithdrawalReport) >= {
        "complete", "dropped", "aborted", "possibly_delivered", "notice", "holders", "durable", "remaining", "elapsed_s",
    }  # fmt: skip
    assert names(sdk.Submission) >= {"accepted", "reason"}
    assert names(sdk.Permission) | {"granted"} >= {
        "state", "granted", "precision", "reason", "expires_at", "epoch", "receipt_id",
    }  # fmt: skip


def test_one_tree_of_errors():
    tree = {
        sdk.ConsentError: sdk.KalosConnectError,
        sdk.ConsentRequired: sdk.ConsentError,
        sdk.SourceError: sdk.KalosConnectError,
        sdk.SourceUnavailable: sdk.SourceError,
        sdk.StateError: sdk.KalosConnectError,
        sdk.StateUnreadable: sdk.StateError,
        sdk.StateRolledBack: sdk.StateError,
        sdk.VaultUnavailable: sdk.StateError,
        sdk.TransportError: sdk.KalosConnectError,
        sdk.ServiceUnreachable: sdk.TransportError,
        sdk.ServiceRefused: sdk.TransportError,
        sdk.NoPosition: sdk.KalosConnectError,
        sdk.InvalidPosition: ValueError,
        sdk.ConfigError: sdk.KalosConnectError,
    }
    for error, base in tree.items():
        assert issubclass(error, base)


def test_errors_with_a_reason_survive_pickling():
    import pickle

    error = pickle.loads(pickle.dumps(sdk.ConsentRequired(sdk.Reason.WITHDRAWN)))
    assert error.reason is sdk.Reason.WITHDRAWN
    refused = pickle.loads(pickle.dumps(sdk.ServiceRefused({"status": 410, "type": "https://x/problems/gone"})))
    assert refused.problem["status"] == 410 and "410 gone" in str(refused)


def test_reasons_have_their_names():
    promised = [
        "ALLOWED",
        "NOT_ASKED",
        "DEFERRED",
        "REFUSED",
        "WITHDRAWN",
        "REVOKED",
        "EXPIRED",
        "NOTICE_CHANGED",
        "CONTROLLER_CHANGED",
        "ORIGIN_CHANGED",
        "OS_DENIED",
        "VEHICLE_PRIVACY",
        "PROFILE_MISMATCH",
        "GUARDIAN_REQUIRED",
        "CROSS_BORDER",
        "BUSY",
        "NO_PROMPTER",
        "STATE_UNREADABLE",
        "STATE_ROLLED_BACK",
        "CLOCK_UNTRUSTED",
        "STALE",
        "FUTURE",
        "OUT_OF_ORDER",
        "DUPLICATE",
    ]
    assert set(promised) <= set(sdk.Reason.__members__)


def test_ports_are_what_fakes_and_adapters_satisfy():
    from kalos_connect_sdk.testing import FakeClock, FakeVehicle, MemoryVault, ScriptedPrompter

    assert isinstance(AssertedParked("a desk"), sdk.VehicleSignals)
    assert isinstance(FakeVehicle(), sdk.VehicleSignals)
    assert isinstance(MemoryVault(), sdk.Vault)
    assert isinstance(FakeClock(datetime.now(UTC)), sdk.Clock)
    assert isinstance(ScriptedPrompter(PromptAnswer.deny()), sdk.Prompter)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201, None, 7])
def test_an_assertion_of_parking_needs_a_reason(reason):
    with pytest.raises(ValueError, match="reason"):
        AssertedParked(reason)


def test_an_assertion_of_parking_says_why():
    parked = AssertedParked("  a laptop on a desk ")
    assert parked.read().asserted_parked == "a laptop on a desk"
    parked.subscribe(lambda: None)()


@pytest.mark.parametrize("days", [0, -1, 3651, True, 1.5, "7"])
def test_a_duration_is_a_whole_number_of_days(days):
    with pytest.raises(ValueError, match="1 to 3650"):
        Duration.days(days)


def test_durations_are_written_and_read():
    for duration in (Duration.THIS_DRIVE, Duration.UNTIL_WITHDRAWN, Duration.days(7)):
        assert Duration.parse(str(duration)) == duration
    with pytest.raises(ValueError, match="alone"):
        Duration(Duration.THIS_DRIVE.kind, 7)
    for text in ("", "x-days", "-days", "٧-days", "for ever"):
        with pytest.raises(ValueError):
            Duration.parse(text)


# -- what importing costs ------------------------------------------------------------------------

CHEAP = """
import sys
from kalos_connect_sdk import Connect, Config, Position, Purpose, Reason
heavy = ("requests", "urllib3", "keyring", "cryptography", "ssl", "asyncio", "kalos_connect_sdk.testing")
assert not [name for name in heavy if name in sys.modules], "importing"
connect = Connect("com.example.cheap", config=Config(state_dir=sys.argv[1], service_url="https://service.example"))
permission = connect.permission()
assert permission.reason is Reason.NO_PROMPTER and permission.epoch == 0, permission
print(",".join(name for name in heavy if name in sys.modules))
"""


def test_importing_and_asking_load_neither_http_nor_keyring_nor_ciphers(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CHEAP, str(tmp_path / "state")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_building_opens_nothing(tmp_path):
    connect = sdk.Connect("com.example.cheap", config=Config(state_dir=tmp_path / "state"))
    assert repr(connect) == "<Connect com.example.cheap>" and not connect.sharing
    connect.close()
    assert not (tmp_path / "state").exists()


# -- configuration -------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_manual():
    config = Config()
    assert (config.vault, config.timeout_s, config.outbox_max_positions) == ("keyring", 10.0, 3600)
    assert (config.outbox_ttl_s, config.batch_max_positions) == (900.0, 200)
    assert config.service_url is None and config.origin == "" and not config.service_is_loopback


def test_the_fields_are_those_of_the_manual():
    assert [item.name for item in fields(Config)] == [
        "service_url", "service_region", "state_dir", "vault", "locale", "timeout_s", "max_retries",
        "outbox_max_positions", "outbox_ttl_s", "batch_max_positions", "ca_bundle", "proxy", "enrolment_token_file",
    ]  # fmt: skip
    with pytest.raises(TypeError):
        Config("https://service.example")  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Config().timeout_s = 1.0  # type: ignore[misc]


def test_arguments_come_before_the_environment_and_that_before_the_default(monkeypatch):
    monkeypatch.setenv("KALOS_CONNECT_TIMEOUT_S", "3.5")
    monkeypatch.setenv("KALOS_CONNECT_MAX_RETRIES", "2")
    monkeypatch.setenv("KALOS_CONNECT_SERVICE_URL", "https://from.environment.example/")
    monkeypatch.setenv("KALOS_CONNECT_LOCALE", "")
    config = Config(timeout_s=7)
    assert (config.timeout_s, config.max_retries, config.locale) == (7.0, 2, None)
    assert config.service_url == "https://from.environment.example"


@pytest.mark.parametrize(("name", "value"), [("TIMEOUT_S", "soon"), ("MAX_RETRIES", "1.5"), ("TIMEOUT_S", "nan")])
def test_a_number_of_the_environment_is_a_number(monkeypatch, name, value):
    monkeypatch.setenv(f"KALOS_CONNECT_{name}", value)
    with pytest.raises(ConfigError, match=name.lower()):
        Config()


def test_unknown_keys_are_errors(monkeypatch):
    with pytest.raises(TypeError):
        Config(service="https://service.example")  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="servic_url"):
        from_mapping({"servic_url": "https://service.example"})
    assert from_mapping({"timeout_s": 3}).timeout_s == 3.0
    monkeypatch.setenv("KALOS_CONNECT_SERVICE", "https://service.example")
    with pytest.raises(ConfigError, match="KALOS_CONNECT_SERVICE"):
        Config()


@pytest.mark.parametrize(
    "url",
    [
        "http://service.example", "http://localhost:8787", "http://10.0.0.1", "http://127.0.0.1.example",
        "http://[fe80::1]", "HTTP://service.example", "Http://service.example", "ftp://service.example",
        "service.example", "https://", "https://user:password@service.example", "https://service.example/?q=1",
        "https://service.example/#x", "https://service.example:99999", "https://service.example:port", "", 7,
        "https://service\n.example", "https://[half",
    ],
)  # fmt: skip
def test_a_service_is_https_or_a_literal_loopback_address(url):
    with pytest.raises(ConfigError) as caught:
        Config(service_url=url)
    assert "service_url" in str(caught.value) and "password" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "origin", "loopback"),
    [
        ("https://Service.Example", "https://service.example:443", False),
        ("https://service.example:8443/api/", "https://service.example:8443", False),
        ("http://127.0.0.1:8787", "http://127.0.0.1:8787", True),
        ("http://127.0.0.9", "http://127.0.0.9:80", True),
        ("http://[::1]:8787", "http://[::1]:8787", True),
        ("https://localhost", "https://localhost:443", False),
    ],
)
def test_the_origin_is_what_consent_is_bound_to(url, origin, loopback):
    config = Config(service_url=url)
    assert (config.origin, config.service_is_loopback) == (origin, loopback)
    assert origin_of(url) == origin and is_loopback(url) is loopback


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout_s", 0), ("timeout_s", 121), ("timeout_s", math.nan), ("timeout_s", math.inf), ("timeout_s", True),
        ("timeout_s", "10"), ("max_retries", -1), ("max_retries", 1.0), ("max_retries", True),
        ("outbox_max_positions", 0), ("outbox_max_positions", 1_000_001), ("outbox_ttl_s", 0),
        ("outbox_ttl_s", 86_401), ("batch_max_positions", 0), ("batch_max_positions", 2001),
        ("vault", "file:"), ("vault", "plaintext"), ("vault", ""), ("vault", 7), ("locale", ""), ("locale", "en\x00"),
        ("service_region", "CHN"), ("service_region", "C1"), ("service_region", "中国"), ("proxy", "socks5://host:1"),
        ("proxy", "host:3128"), ("proxy", "http://"), ("state_dir", ""), ("state_dir", 7), ("ca_bundle", ""),
        ("ca_bundle", True), ("enrolment_token_file", 7),
    ],
)  # fmt: skip
def test_every_setting_is_checked_and_named(name, value):
    with pytest.raises(ConfigError) as caught:
        Config(**{name: value})
    assert name in str(caught.value) and caught.value.__context__ is None


def test_settings_are_put_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = Config(
        service_region="cn", state_dir="~/state", ca_bundle=tmp_path / "ca.pem", proxy="http://proxy.example:3128",
        vault="file:/some/where", timeout_s=5, locale="zh-CN", enrolment_token_file="token",
    )  # fmt: skip
    assert config.service_region == "CN" and config.state_dir == str(tmp_path / "state")
    assert config.ca_bundle == str(tmp_path / "ca.pem") and config.timeout_s == 5.0
    assert os.path.isabs(str(config.enrolment_token_file))


# -- positions and places ------------------------------------------------------------------------

BAD = [
    math.nan, math.inf, -math.inf, True, False, "60.1", b"60", None, 10**400, -(10**400), [60.1], 1 + 2j, object(),
]  # fmt: skip


def refused(make) -> InvalidPosition:
    with pytest.raises(InvalidPosition) as caught:
        make()
    error = caught.value
    assert error.__context__ is None and error.__cause__ is None
    return error


@pytest.mark.parametrize("kind", [Position, Place])
@pytest.mark.parametrize("value", [*BAD, 90.0000001, -90.0000001, 91, 1e308])
def test_r10_a_latitude_that_is_none_is_refused_without_its_value(kind, value):
    error = refused(lambda: kind(value, 24.9))
    assert str(error).startswith("latitude must be")
    assert "90.0000001" not in str(error) and "60.1" not in str(error) and "24.9" not in str(error)


@pytest.mark.parametrize("kind", [Position, Place])
@pytest.mark.parametrize("value", [*BAD, 180.0000001, -180.0000001, 361])
def test_r10_a_longitude_that_is_none_is_refused_without_its_value(kind, value):
    error = refused(lambda: kind(60.1, value))
    assert str(error).startswith("longitude must be")
    assert "180.0000001" not in str(error) and "60.1" not in str(error)


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in ("accuracy_m", "speed_mps", "course_deg", "altitude_m") for value in BAD if value is not None]
    + [("accuracy_m", -0.001), ("speed_mps", -1), ("course_deg", -0.5), ("course_deg", 360.5), ("altitude_m", -1e9)],
)  # fmt: skip
def test_r10_other_numbers_are_checked_too(name, value):
    assert str(refused(lambda: Position(60.1, 24.9, **{name: value}))).startswith(f"{name} must be")


@pytest.mark.parametrize(
    "value", [datetime(2027, 1, 1), "2027-01-01T00:00:00Z", 1_800_000_000, datetime.now(UTC).date()]
)
def test_a_time_is_an_aware_datetime(value):
    assert str(refused(lambda: Position(60.1, 24.9, time=value))).startswith("time must")


@pytest.mark.parametrize("kind", [Position, Place])
def test_a_datum_is_a_datum(kind):
    assert "datum" in str(refused(lambda: kind(60.1, 24.9, datum="WGS84")))


def test_a_name_is_text():
    assert "name" in str(refused(lambda: Place(60.1, 24.9, name=7)))
    assert Place(60.1, 24.9, name="home").name == "home"


def test_r10_no_value_is_shown():
    position = Position(60.123456, 24.654321, speed_mps=12.34, altitude_m=56.78)
    place = Place(60.123456, 24.654321, name="home")
    for shown in (repr(position), str(position), f"{position}", repr(place), f"{place!s}", repr([position, place])):
        assert not any(digits in shown for digits in ("60.1", "24.6", "12.3", "56.7", "home"))


def test_r10_a_route_shows_no_line():
    step = sdk.Manoeuvre("Turn at 60.1699.", "left", 1.0, 1.0, 0)
    route = sdk.Route(1.0, 1.0, "en", ((24.9384, 60.1699),), (step,))
    assert repr(step) == "<Manoeuvre left>" and repr(route) == "<Route 1 manoeuvres>"


def test_edges_are_inside():
    for latitude in (-90, 90, 0, -0.0):
        for longitude in (-180, 180):
            assert Position(latitude, longitude, course_deg=360, accuracy_m=0, speed_mps=0).latitude == latitude
            assert Place(latitude, longitude).longitude == longitude


def test_no_time_is_now_and_any_zone_will_do():
    before = datetime.now(UTC)
    implied = Position(60, 24)
    assert implied.time is not None and before <= implied.time <= datetime.now(UTC) and implied.time_implied
    told = Position(60, 24, time=datetime(2027, 1, 1, tzinfo=timezone(timedelta(hours=8))))
    assert not told.time_implied
    assert isinstance(implied.latitude, float), "whole numbers become floats"


def test_values_are_frozen():
    for value in (Position(60, 24), Place(60, 24)):
        with pytest.raises(FrozenInstanceError):
            value.latitude = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("kind", [Position, Place])
def test_a_value_already_in_the_datum_is_itself(kind):
    value = kind(31.2, 121.5)
    assert value.to(Datum.WGS84) is value
    shifted = value.to(Datum.GCJ02)
    assert shifted.datum is Datum.GCJ02 and shifted.latitude != value.latitude
    assert shifted.to(Datum.GCJ02) is shifted
    back = shifted.to(Datum.WGS84)
    assert (back.latitude, back.longitude) == pytest.approx((31.2, 121.5), abs=1e-8)


def test_a_conversion_keeps_the_rest():
    position = Position(31.2, 121.5, accuracy_m=3, speed_mps=4, course_deg=5, altitude_m=6, time=datetime.now(UTC))
    other = position.to(Datum.BD09)
    for name in ("accuracy_m", "speed_mps", "course_deg", "altitude_m", "time"):
        assert getattr(other, name) == getattr(position, name)
    assert Place(31.2, 121.5, name="home").to(Datum.BD09).name == "home"


@given(latitude=st.floats(-90, 90), longitude=st.floats(-180, 180))
def test_r10_whatever_the_place_it_is_kept_exactly_and_not_shown(latitude, longitude):
    position = Position(latitude, longitude)
    assert (position.latitude, position.longitude) == (latitude, longitude)
    assert repr(position) == "<Position WGS84>" and repr(Place(latitude, longitude)) == "<Place WGS84>"
