"""GPX: what is read, what is passed over, what is refused; hostile files included."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalos_connect_sdk import SourceError, SourceUnavailable
from kalos_connect_sdk.sources import GpxSource

T = "2027-01-15T09:00:{:02d}Z"


def gpx(
    body: str, head: str = "", attributes: str = 'xmlns="http://www.topografix.com/GPX/1/1" version="1.1"'
) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>{head}<gpx {attributes}>{body}</gpx>'.encode()


def point(latitude: object = 60.1, longitude: object = 24.9, inner: str = "", when: str | None = T.format(0)) -> str:
    time = "" if when is None else f"<time>{when}</time>"
    return f'<trkpt lat="{latitude}" lon="{longitude}">{time}{inner}</trkpt>'


def track(*points: str) -> str:
    return "<trk><trkseg>" + "".join(points) + "</trkseg></trk>"


@pytest.fixture
def read(tmp_path: Path):
    def read_one(content: bytes):
        path = tmp_path / "drive.gpx"
        path.write_bytes(content)
        return list(GpxSource(path, speed=0))

    return read_one


def test_a_point_with_everything(read):
    inner = (
        "<ele>12.5</ele><hdop>0.9</hdop><extensions><x:TrackPointExtension xmlns:x='urn:x'><x:speed> 13.9 </x:speed>"
        "<x:course>270</x:course></x:TrackPointExtension></extensions>"
    )
    (one,) = read(gpx(track(point(60.1234567, -24.9, inner))))
    assert (one.latitude, one.longitude, one.altitude_m) == (60.1234567, -24.9, 12.5)
    assert (one.speed_mps, one.course_deg, one.accuracy_m) == (13.9, 270.0, 4.5)
    assert one.time == datetime(2027, 1, 15, 9, 0, tzinfo=UTC) and not one.time_implied


def test_an_accuracy_beats_hdop_and_gpx_1_0_has_speed_of_its_own(read):
    inner = "<speed>3</speed><course>0</course><hdop>2</hdop><extensions><accuracy>7.5</accuracy></extensions>"
    for attributes in ('version="1.0"', 'xmlns="http://www.topografix.com/GPX/1/0"'):
        (one,) = read(gpx(track(point(inner=inner)), attributes=attributes))
        assert (one.speed_mps, one.course_deg, one.accuracy_m) == (3.0, 0.0, 7.5)


def test_a_prefixed_namespace_is_the_same(read, tmp_path):
    content = gpx(track(point())).decode().replace("xmlns=", "xmlns:g=")
    for tag in ("gpx", "trk", "trkseg", "trkpt", "time"):
        content = content.replace(f"<{tag}", f"<g:{tag}").replace(f"</{tag}", f"</g:{tag}")
    assert len(read(content.replace("<g:trkg:seg", "<g:trkseg").replace("</g:trkg:seg", "</g:trkseg").encode())) == 1


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2027-01-15T09:00:00Z", datetime(2027, 1, 15, 9, tzinfo=UTC)),
        ("2027-01-15T09:00:00", datetime(2027, 1, 15, 9, tzinfo=UTC)),
        ("2027-01-15T09:00:00.25Z", datetime(2027, 1, 15, 9, 0, 0, 250_000, tzinfo=UTC)),
        ("2027-01-15T17:00:00+08:00", datetime(2027, 1, 15, 9, tzinfo=UTC)),
        ("2027-01-14T23:30:00.123456789-0930", datetime(2027, 1, 15, 9, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_times_with_and_without_a_zone(read, text, when):
    (one,) = read(gpx(track(point(when=text))))
    assert one.time == when and one.time.utcoffset().total_seconds() == 0


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2027-13-01T00:00:00Z", "2027-01-15", "0001-01-01T00:00:00+14:00", "2027-01-15T09:00:61Z"]
)
def test_a_point_with_an_unusable_time_is_skipped_and_counted(tmp_path, text):
    path = tmp_path / "a.gpx"
    path.write_bytes(gpx(track(point(when=text), point(when=None), point())))
    source = GpxSource(path, speed=0)
    assert len(list(source)) == 1 and source.skipped == 2
    assert len(list(source)) == 1 and source.skipped == 2, "every iteration begins anew"


def test_a_track_without_any_time_is_refused_in_one_sentence(read):
    with pytest.raises(SourceError, match=r"^the GPX recording has no times; .*$") as caught:
        read(gpx(track(point(when=None), point(60.2, when=None))))
    assert "60" not in str(caught.value) and caught.value.__context__ is None


def test_segments_and_tracks_follow_each_other(read):
    segments = "<trk><trkseg>" + point(1) + "</trkseg><trkseg>" + point(2) + "</trkseg></trk>" + track(point(3))
    assert [one.latitude for one in read(gpx(segments))] == [1, 2, 3]


def test_places_and_plans_are_not_where_the_device_was(read):
    places = '<wpt lat="1" lon="1"><time>2027-01-15T09:00:00Z</time></wpt><rte><rtept lat="2" lon="2"/></rte>'
    assert [one.latitude for one in read(gpx(places + track(point(3))))] == [3]
    with pytest.raises(SourceError, match="no track"):
        read(gpx(places))
    with pytest.raises(SourceError, match="no track"):
        read(gpx(""))


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        ("91", "0"),
        ("0", "-180.5"),
        ("nan", "0"),
        ("inf", "1"),
        ("1e999", "0"),
        ("1_0", "0"),
        ("", "0"),
        ("٣", "0"),
        ("0x1", "1"),
        ("1" * 400, "1"),
    ],
)
def test_a_point_off_the_globe_is_skipped(read, latitude, longitude):
    assert len(read(gpx(track(point(latitude, longitude), point())))) == 1
    with pytest.raises(SourceError, match="no valid track point"):
        read(gpx(track(point(latitude, longitude))))


def test_odd_extras_are_left_out_and_the_point_stays(read):
    inner = "<ele>high</ele><hdop>99.99</hdop><speed>-1</speed><course>361</course>"
    (one,) = read(gpx(track(point(inner=inner))))
    assert (one.altitude_m, one.accuracy_m, one.speed_mps, one.course_deg) == (None, None, None, None)


def test_names_inside_extensions_do_not_replace_the_time(read):
    inner = "<extensions><time>1999-01-01T00:00:00Z</time><ele>5</ele></extensions>"
    (one,) = read(gpx(track(point(inner=inner))))
    assert one.time.year == 2027 and one.altitude_m is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252"])
def test_encodings(read, encoding):
    text = gpx("<name>Köln</name>" + track(point())).decode().replace("UTF-8", encoding)
    assert len(read(text.encode(encoding))) == 1


# -- hostile and broken files ----------------------------------------------------------------------

LAUGHS = (
    "<!DOCTYPE gpx [<!ENTITY a 'ha'>"
    + "".join(f"<!ENTITY {chr(98 + i)} '{('&' + chr(97 + i) + ';') * 10}'>" for i in range(20))
    + "]>"
)


@pytest.mark.parametrize(
    "head",
    [LAUGHS, "<!DOCTYPE gpx SYSTEM 'file:///etc/passwd'>", "<!DOCTYPE gpx [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>"],
)
def test_no_entity_is_declared_expanded_or_fetched(read, head):
    with pytest.raises(SourceError):
        read(gpx("<name>&u;&e;</name>" + track(point()), head=head))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x01\x02",
        b"not xml at all",
        b"<html><trkpt lat='1' lon='2'/></html>",
        b"<?xml version='1.0' encoding='klingon'?><gpx/>",
        b"<?xml version='1.0' encoding='utf-7'?><gpx/>",
        b"<gpx" + b" " * 3_000_000,
    ],
)
def test_what_is_not_gpx_is_unavailable(read, content):
    with pytest.raises(SourceUnavailable) as caught:
        read(content)
    assert caught.value.__context__ is None and caught.value.__cause__ is None


def test_a_torn_file_gives_what_it_has_and_then_says_so(tmp_path):
    whole = gpx(track(*(point(60 + i / 100, when=T.format(i)) for i in range(50))))
    path = tmp_path / "torn.gpx"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    got = []
    with pytest.raises(SourceError, match="damaged") as caught:
        for position in GpxSource(path, speed=0):
            got.append(position)
    assert 20 < len(got) < 50 and type(caught.value) is SourceError
    assert caught.value.__context__ is None


def test_depth_and_the_size_of_an_element_are_bounded(read):
    with pytest.raises(SourceError, match="too deeply"):
        read(gpx("<a>" * 100_000))
    with pytest.raises(SourceError, match="larger than 1 MiB"):
        read(b"<gpx><trk name='" + b"x" * 4_000_000 + b"'/></gpx>")
    long_text = "<name>" + "x" * 3_000_000 + "</name>" + track(point(inner="<ele>" + "1" * 500_000 + "</ele>"))
    (one,) = read(gpx(long_text))
    assert one.altitude_m is None


def test_a_huge_file_is_streamed(tmp_path):
    import tracemalloc

    path = tmp_path / "huge.gpx"
    row = "".join(point(60 + i / 1000, inner="<ele>1</ele>", when=T.format(i)) for i in range(50)).encode()
    with path.open("wb") as file:
        file.write(b"<gpx><trk><trkseg>")
        for _ in range(500):
            file.write(row)
        file.write(b"</trkseg></trk></gpx>")
    assert path.stat().st_size > 2_000_000
    tracemalloc.start()
    try:
        count = sum(1 for _ in GpxSource(path, speed=0))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 25_000 and peak < 1_500_000
    first = iter(GpxSource(path, speed=0))
    assert next(first).latitude == 60.0
    first.close()


fragments = st.sampled_from(
    [
        "<gpx>",
        "</gpx>",
        "<trk>",
        "</trk>",
        "<trkseg>",
        "</trkseg>",
        "<trkpt lat='1' lon='2'>",
        "<trkpt lat='1e400' lon=''>",
        "</trkpt>",
        "<trkpt/>",
        "<time>2027-01-15T09:00:00Z</time>",
        "<time>",
        "</time>",
        "<ele>1</ele>",
        "<speed>x</speed>",
        "&amp;",
        "&#0;",
        "&#x1F600;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?pi?>",
        "<!DOCTYPE gpx>",
        "xmlns='a'",
        "<a:b>",
        "1",
        "\ud7ff",
    ]
)


@settings(max_examples=300)
@given(st.lists(st.one_of(fragments, st.text(max_size=8)), max_size=30), st.binary(max_size=20), st.booleans())
def test_no_file_crashes_the_reader(tmp_path_factory, parts, noise, wrapped):
    text = "".join(parts).encode("utf-8", "replace")
    path = tmp_path_factory.getbasetemp() / "fuzz.gpx"
    path.write_bytes((gpx("")[:-6] + text if wrapped else text) + noise)
    try:
        for position in GpxSource(path, speed=0):
            assert position.time.tzinfo is not None
    except SourceError as error:
        assert error.__context__ is None
