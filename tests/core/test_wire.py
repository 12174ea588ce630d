"""Positions, problems and routes on the wire: what is written, and what is read strictly."""

import gzip
import json
import math
import os
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.core.packing import pack, unpack
from kalos_connect_sdk.core.wire import (
    MalformedDocument,
    OversizedDocument,
    check_consent,
    consent_member,
    feature_collection,
    parse_feature_collection,
    positions_answer,
    problem,
    problem_name,
)
from kalos_connect_sdk.model.consent import Precision, Purpose
from kalos_connect_sdk.model.position import Position

MEMBER = consent_member(
    "8f0c2a9d6b7e4c1f9a3d5e7b1c2d4f60",
    3,
    Purpose.NAVIGATION,
    Precision.PRECISE,
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
)
T = datetime(2026, 1, 1, 12, 30, 7, tzinfo=UTC)
optional = lambda low, high: st.none() | st.floats(low, high)  # noqa: E731


def packed(latitude=60.1699, longitude=24.9384, time=T, **values):
    position = Position(latitude, longitude, time=time, **values)
    return pack(position, time.timestamp(), 0)


class TestFeatureCollection:
    def test_a_whole_position(self):
        row = packed(accuracy_m=4.26, speed_mps=13.887, course_deg=271.46, altitude_m=12.3)
        assert json.loads(feature_collection([row], MEMBER)) == {
            "type": "FeatureCollection",
            "consent": {
                "record_id": "8f0c2a9d6b7e4c1f9a3d5e7b1c2d4f60",
                "epoch": 3,
                "purpose": "navigation",
                "precision": "precise",
                "notice_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            },
            "features": [
                {
                    "type": "Feature",
                    "id": 0,
                    "geometry": {"type": "Point", "coordinates": [24.9384, 60.1699]},
                    "properties": {
                        "timestamp": "2026-01-01T12:30:07Z",
                        "horizontal_accuracy": 4.3,
                        "altitude": 12,
                        "speed": 13.89,
                        "course": 271.5,
                    },
                }
            ],
        }

    def test_absent_values_are_left_out(self):
        document = json.loads(feature_collection([packed(), packed(speed_mps=0)], MEMBER))
        assert [list(feature["properties"]) for feature in document["features"]] == [
            ["timestamp"],
            ["timestamp", "speed"],
        ]

    @pytest.mark.parametrize(
        ("value", "name"),
        [
            ("accuracy_m", "horizontal_accuracy"),
            ("altitude_m", "altitude"),
            ("speed_mps", "speed"),
            ("course_deg", "course"),
        ],
    )
    def test_each_value_is_written_without_the_others(self, value, name):
        (feature,) = json.loads(feature_collection([packed(**{value: 7})], MEMBER))["features"]
        assert feature["properties"] == {"timestamp": "2026-01-01T12:30:07Z", name: 7}

    def test_the_consent_is_written_as_utf_8_json(self):
        assert b'"consent":{"purpose":"\xc3\xa4"}' in feature_collection([], {"purpose": "ä"})
        with pytest.raises(ValueError, match="JSON"):
            feature_collection([], {"epoch": math.nan})

    def test_ids_count_from_zero(self):
        document = json.loads(feature_collection([packed(), packed(), packed()], MEMBER))
        assert [feature["id"] for feature in document["features"]] == [0, 1, 2]

    def test_an_empty_batch(self):
        assert json.loads(feature_collection([], MEMBER))["features"] == []

    @pytest.mark.parametrize(
        ("time", "text"),
        [
            (T + timedelta(milliseconds=5), "2026-01-01T12:30:07.005Z"),
            (datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC), "1969-12-31T23:59:59.999Z"),
            (datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC), "2028-02-29T23:59:59Z"),
            (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
            (datetime(2026, 1, 1, 5, 45, tzinfo=timezone(timedelta(hours=5, minutes=45))), "2026-01-01T00:00:00Z"),
        ],
    )
    def test_times_are_utc(self, time, text):
        document = json.loads(feature_collection([packed(time=time)], MEMBER))
        assert document["features"][0]["properties"]["timestamp"] == text

    @pytest.mark.parametrize(
        "time",
        [
            datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-12))),
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=12))),
        ],
    )
    def test_a_time_off_the_calendar_does_not_hold_up_the_batch(self, time):
        since = time.replace(tzinfo=None) - datetime(1970, 1, 1) - time.utcoffset()
        row = pack(Position(1, 2, time=time), since.total_seconds(), 0)
        _, features = parse_feature_collection(feature_collection([row, packed()], MEMBER), max_features=2)
        assert all("problem" not in feature for feature in features)

    @given(
        st.lists(
            st.builds(
                packed,
                st.floats(-90, 90),
                st.floats(-180, 180),
                st.datetimes(timezones=st.just(UTC)),
                accuracy_m=optional(0, 1e300),
                speed_mps=optional(0, 1e300),
                course_deg=optional(0, 360),
                altitude_m=optional(-20_000, 10_000_000),
            ),
            max_size=8,
        )
    )
    def test_what_we_write_the_service_reads(self, rows):
        consent, features = parse_feature_collection(feature_collection(rows, MEMBER), max_features=8)
        assert consent == MEMBER
        assert [feature["id"] for feature in features] == list(range(len(rows)))
        for packed_row, feature in zip(rows, features, strict=True):
            row = unpack(packed_row)
            assert feature["latitude"] == pytest.approx(row.latitude, abs=6e-7)
            assert feature["longitude"] == pytest.approx(row.longitude, abs=6e-7)
            assert feature["time_s"] == pytest.approx(row.time_ms / 1000, abs=1e-3)
            named = {"horizontal_accuracy": row.accuracy_m, "speed": row.speed_mps, "course": row.course_deg}
            for name, value in named.items():
                assert (name in feature["properties"]) == (value is not None)
                if value is not None:
                    assert feature["properties"][name] == pytest.approx(value, abs=0.051)

    @pytest.mark.parametrize("batch", [200, 500])
    def test_at_most_24_4_bytes_a_position(self, batch):
        rows = list(_real_drive())[:batch]
        assert len(rows) == batch
        body = feature_collection(rows, MEMBER)
        assert len(gzip.compress(body, 6)) / batch <= 24.4


def _real_drive():
    """A 1 Hz car drive with values a receiver would add; its noise is a fixed sequence."""
    base = Path(os.environ.get("SHARED_TEST_DATA") or Path(__file__).resolve().parents[2] / "../shared/data")
    recording = base / "gpx/barefoot-x0001-001.json"
    if not recording.exists():
        pytest.skip("the recorded drives are not beside the repository")
    noise = 1
    last = None
    for sample in json.loads(recording.read_text()):
        longitude, latitude = map(float, re.findall(r"[-\d.]+", sample["point"]))
        time = datetime.strptime(sample["time"], "%Y-%m-%d %H:%M:%S%z")
        noise = (noise * 1_103_515_245 + 12_345) % 2**31
        before, last = last or (longitude, latitude), (longitude, latitude)
        east, north = (longitude - before[0]) * 74_000, (latitude - before[1]) * 111_320
        speed, course = math.hypot(east, north), math.degrees(math.atan2(east, north)) % 360
        yield packed(
            latitude, longitude, time,
            accuracy_m=3.5 + noise / 2**30, speed_mps=speed, course_deg=course, altitude_m=520 + (noise >> 8) % 20 / 10,
        )  # fmt: skip


FEATURE = {
    "type": "Feature",
    "id": 7,
    "geometry": {"type": "Point", "coordinates": [24.9384, 60.1699]},
    "properties": {"timestamp": "2026-01-01T00:00:00Z"},
}


def collection(*features, **members):
    return {"type": "FeatureCollection", "consent": MEMBER, "features": list(features), **members}


def feature(**changes):
    return {**FEATURE, **changes}


def properties(**values):
    return feature(properties={"timestamp": "2026-01-01T00:00:00Z", **values})


def point(*coordinates):
    return feature(geometry={"type": "Point", "coordinates": list(coordinates)})


class TestParsing:
    def test_a_good_feature(self):
        document = collection(properties(speed=0, course=360, horizontal_accuracy=3.5, altitude=-5, battery_level=0.5))
        _, [read] = parse_feature_collection(document, max_features=1)
        assert read == {
            "id": 7,
            "latitude": 60.1699,
            "longitude": 24.9384,
            "timestamp": "2026-01-01T00:00:00Z",
            "time_s": 1_767_225_600.0,
            "properties": {
                "timestamp": "2026-01-01T00:00:00Z",
                "speed": 0,
                "course": 360,
                "horizontal_accuracy": 3.5,
                "altitude": -5,
            },
        }

    def test_a_null_property_is_an_absent_one(self):
        _, [read] = parse_feature_collection(collection(properties(speed=None)), max_features=1)
        assert read["properties"] == {"timestamp": "2026-01-01T00:00:00Z"}

    @pytest.mark.parametrize("text", ["2026-01-01T01:00:00+01:00", "2025-12-31T23:30:00.000-00:30"])
    def test_offsets_are_read(self, text):
        _, [read] = parse_feature_collection(collection(properties(timestamp=text)), max_features=1)
        assert (read["time_s"], read["timestamp"]) == (1_767_225_600.0, text)

    @pytest.mark.parametrize(
        ("bad", "name"),
        [
            ("text", "invalid-feature"),
            (feature(type="Point"), "invalid-feature"),
            (feature(id=None), "invalid-id"),
            (feature(id=True), "invalid-id"),
            (feature(id=-1), "invalid-id"),
            (feature(id=2**31), "invalid-id"),
            (feature(id="7"), "invalid-id"),
            (feature(id=7.0), "invalid-id"),
            (feature(geometry=None), "invalid-position"),
            (feature(geometry={"type": "LineString", "coordinates": [1, 2]}), "invalid-position"),
            (feature(geometry={"type": "Point"}), "invalid-position"),
            (point(), "invalid-position"),
            (point(1), "invalid-position"),
            (point(1, 2, 3, 4), "invalid-position"),
            (point(1, 90.1), "invalid-position"),
            (point(1, -90.1), "invalid-position"),
            (point(180.1, 1), "invalid-position"),
            (point(-180.1, 1), "invalid-position"),
            (point("1", 1), "invalid-position"),
            (point(True, 1), "invalid-position"),
            (point(None, 1), "invalid-position"),
            (feature(properties=None), "invalid-property"),
            (feature(properties={}), "invalid-timestamp"),
            (properties(timestamp=5), "invalid-timestamp"),
            (properties(timestamp="yesterday"), "invalid-timestamp"),
            (properties(timestamp="2026-01-01T00:00:00"), "invalid-timestamp"),
            (properties(timestamp="2026-W01-1T00:00:00Z"), "invalid-timestamp"),
            (properties(timestamp="2026-02-30T00:00:00Z"), "invalid-timestamp"),
            (properties(timestamp="2026-01-01T00:00:00Z\n"), "invalid-timestamp"),
            (properties(timestamp="٢026-01-01T00:00:00Z"), "invalid-timestamp"),
            (properties(speed=-1), "invalid-property"),
            (properties(speed="1"), "invalid-property"),
            (properties(speed=True), "invalid-property"),
            (properties(course=360.5), "invalid-property"),
            (properties(horizontal_accuracy=-0.1), "invalid-property"),
            (properties(altitude=1e8), "invalid-property"),
        ],
    )
    def test_a_bad_feature_costs_only_itself(self, bad, name):
        _, read = parse_feature_collection(collection(feature(id=0), bad, feature(id=1)), max_features=3)
        assert [item.get("problem") for item in read] == [None, name, None]
        assert read[1] == {"id": None if name in ("invalid-feature", "invalid-id") else 7, "problem": name}

    def test_an_id_counts_once(self):
        _, read = parse_feature_collection(collection(feature(), feature(), point(1, 99)), max_features=3)
        assert read[1:] == [{"id": 7, "problem": "duplicate-id"}] * 2

    def test_a_third_coordinate_is_ignored(self):
        _, [read] = parse_feature_collection(collection(point(1, 2, 3)), max_features=1)
        assert (read["latitude"], read["longitude"]) == (2.0, 1.0)

    @pytest.mark.parametrize(
        "document",
        [
            [],
            {},
            {"type": "FeatureCollection", "consent": MEMBER},
            {"type": "FeatureCollection", "consent": MEMBER, "features": {}},
            {"type": "Feature", "consent": MEMBER, "features": []},
            collection(consent=None),
            collection(consent=[]),
            collection(properties(speed=math.nan)),
            collection(properties(speed=math.inf)),
            collection(properties(note="\ud800")),
            collection(feature(id=[[[[[[[[[]]]]]]]]])),
        ],
    )
    def test_a_bad_document_is_refused(self, document):
        with pytest.raises(MalformedDocument) as caught:
            parse_feature_collection(document, max_features=5)
        assert caught.value.__context__ is None

    @pytest.mark.parametrize(
        "data",
        [
            b"[",
            b'{"type":"FeatureCollection","features":[],"features":[]}',
            b'{"type":"FeatureCollection","features":[1e400]}',
        ],
    )
    def test_bad_bytes_are_refused(self, data):
        with pytest.raises(MalformedDocument):
            parse_feature_collection(data, max_features=5)

    def test_too_much_is_told_from_malformed(self):
        with pytest.raises(OversizedDocument):
            parse_feature_collection(collection(feature(id=0), feature(id=1)), max_features=1)
        with pytest.raises(OversizedDocument):
            parse_feature_collection(b" " * 7000, max_features=1)

    def test_no_consent_is_for_the_rules_to_refuse(self):
        document = collection(feature())
        del document["consent"]
        consent, [read] = parse_feature_collection(document, max_features=1)
        assert consent == {}
        assert "problem" not in read


class TestConsentMember:
    def test_names_or_enums(self):
        assert consent_member("r", 1, "navigation", "precise", "0" * 64) == consent_member(
            "r", 1, Purpose.NAVIGATION, Precision.PRECISE, "0" * 64
        )

    def test_unknown_members_are_not_passed_on(self):
        assert check_consent({**MEMBER, "extra": 1}) == MEMBER

    @pytest.mark.parametrize("epoch", [1, 2**63 - 1])
    def test_the_bounds_of_an_epoch(self, epoch):
        assert check_consent({**MEMBER, "epoch": epoch})["epoch"] == epoch

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("epoch", -1),
            ("epoch", 0),
            ("epoch", 2**63),
            ("epoch", True),
            ("epoch", 1.0),
            ("epoch", "1"),
            ("epoch", None),
            ("record_id", ""),
            ("record_id", "a" * 65),
            ("record_id", "a/../b"),
            ("record_id", "a\nb"),
            ("record_id", 5),
            ("purpose", "Navigation"),
            ("purpose", None),
            ("precision", ""),
            ("notice_sha256", "0" * 63),
            ("notice_sha256", "G" * 64),
        ],
    )
    def test_malformed(self, name, value):
        with pytest.raises(MalformedDocument, match=f"^consent.{name} ") as caught:
            check_consent({**MEMBER, name: value})
        assert caught.value.__context__ is None


class TestPositionsAnswer:
    def test_read(self):
        rejected = [
            {"id": 3, "problem": "invalid-position"},
            {"id": 4, "problem": "Free text!"},
            {"id": 5},
            {"id": "x"},
        ]
        assert positions_answer({"accepted": 8, "rejected": rejected}) == (
            8,
            [(3, "invalid-position"), (4, "rejected"), (5, "rejected")],
        )
        assert positions_answer({"accepted": 0}) == (0, [])

    @pytest.mark.parametrize(
        "document",
        [
            None,
            [],
            {},
            {"accepted": True},
            {"accepted": -1},
            {"accepted": 2**31},
            {"accepted": 1.0},
            {"accepted": 1, "rejected": {}},
            {"accepted": 1, "rejected": ["x"]},
        ],
    )
    def test_malformed(self, document):
        with pytest.raises(MalformedDocument):
            positions_answer(document)


class TestProblems:
    def test_a_name_comes_back(self):
        document = problem("consent-withdrawn", 410, epoch=5)
        assert document["status"] == 410
        assert document["epoch"] == 5
        assert document["type"].endswith("/consent-withdrawn")
        assert document["title"] == "consent withdrawn"
        assert problem_name(document) == "consent-withdrawn"

    @pytest.mark.parametrize("name", ["", "Upper", "a b", "a/b", "1a", "a" * 65, "a\n"])
    def test_an_odd_name_is_a_mistake_of_ours(self, name):
        with pytest.raises(ValueError, match="name"):
            problem(name, 400)

    def test_another_base_is_fine(self):
        assert problem_name({"type": "https://example.com/p/cross-border"}) == "cross-border"

    @pytest.mark.parametrize(("length", "name"), [(500, "cross-border"), (501, None)])
    def test_a_type_has_500_characters_at_most(self, length, name):
        assert problem_name({"type": "/cross-border".rjust(length, "a")}) == name

    @pytest.mark.parametrize(
        "document",
        [
            None,
            "text",
            [],
            {},
            {"type": None},
            {"type": "about:blank"},
            {"type": "consent-withdrawn"},
            {"type": "https://example.com/"},
            {"type": "https://example.com/No Name"},
            {"type": "https://example.com/" + "a" * 500},
        ],
    )
    def test_no_name(self, document):
        assert problem_name(document) is None
