"""NMEA sentences: framing, checksums, epochs, fixes, dates."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalos_connect_sdk import SourceError
from kalos_connect_sdk.sources import NmeaSource
from kalos_connect_sdk.sources.assemble import Assembler
from kalos_connect_sdk.sources.dating import Calendar
from kalos_connect_sdk.sources.nmea import Sentences, checksum

LAT_LON = "6010.19474,N,02456.30740,E"


def sentence(body: str) -> bytes:
    return b"$%s*%02X\r\n" % (body.encode(), checksum(body.encode()))


def rmc(
    at: str = "090000.00",
    day: str = "150127",
    status: str = "A",
    where: str = LAT_LON,
    speed: str = "10.0",
    course: str = "90.0",
    mode: str = "A",
    talker: str = "GP",
) -> bytes:
    return sentence(f"{talker}RMC,{at},{status},{where},{speed},{course},{day},,,{mode}")


def gga(
    at: str = "090000.00",
    quality: str = "1",
    where: str = LAT_LON,
    hdop: str = "0.8",
    altitude: str = "12.3",
    talker: str = "GP",
) -> bytes:
    return sentence(f"{talker}GGA,{at},{where},{quality},08,{hdop},{altitude},M,18.0,M,,")


@pytest.fixture
def read(tmp_path: Path):
    def read_all(*parts: bytes, **options):
        path = tmp_path / "drive.nmea"
        path.write_bytes(b"".join(parts))
        return list(NmeaSource(path, speed=0, **options))

    return read_all


# -- one position an epoch -------------------------------------------------------------------------


def test_the_sentences_of_an_epoch_are_one_position(read):
    gst = sentence("GNGST,090000.00,5.0,1,1,0,3.0,4.0,5.0")
    zda = sentence("GPZDA,090000.00,15,01,2027,00,00")
    vtg = sentence("GPVTG,91.5,T,,M,11.0,N,20.4,K,A")
    (one,) = read(rmc(), gga(talker="GN"), vtg, zda, gst)
    assert one.time == datetime(2027, 1, 15, 9, tzinfo=UTC)
    assert one.latitude == pytest.approx(60.169912333) and one.longitude == pytest.approx(24.938456667)
    assert one.speed_mps == pytest.approx(5.1444, abs=1e-4) and one.course_deg == 90.0, "RMC goes before VTG"
    assert one.altitude_m == 12.3
    assert one.accuracy_m == 5.0, "GST goes before HDOP"


def test_south_and_west_are_negative(read):
    (one,) = read(rmc(where="3355.5000,S,07030.0000,W"))
    assert (one.latitude, one.longitude) == (pytest.approx(-33.925), pytest.approx(-70.5))


@pytest.mark.parametrize("talker", ["GP", "GN", "GL", "GA", "GB", "BD", "GQ", "GI", "II", "IN", "U1"])
def test_every_talker_is_heard(read, talker):
    assert len(read(rmc(talker=talker))) == 1


def test_proprietary_sentences_are_not(read):
    proprietary = sentence(f"PXRMC,090000.00,A,{LAT_LON},1.0,1.0,150127,,,A") + sentence("PUBX,00,090000.00")
    assert read(proprietary, gga(quality="0")) == []


@pytest.mark.parametrize(
    "file", [b"", b"root:x:0:0\n", sentence("GPVTG,91.5,T,,M,,N,36.0,K,A"), gga().replace(b"*", b"*F")]
)
def test_a_file_of_something_else_is_refused(tmp_path, file):
    path = tmp_path / "notes.log"
    path.write_bytes(file)
    with pytest.raises(SourceError, match="the recording holds no NMEA: no RMC, GGA, GNS or GLL sentence with a right"):
        list(NmeaSource(path, speed=0))


def test_vtg_fills_what_rmc_leaves_open(read):
    km = sentence("GPVTG,91.5,T,,M,,N,36.0,K,A")
    knots = sentence("GPVTG,,T,,M,10.0,N,,K,D")
    none = sentence("GPVTG,91.5,T,,M,11.0,N,20.4,K,N")
    for vtg, speed, course in ((km, 10.0, 91.5), (knots, 5.1444, None), (none, None, None)):
        (one,) = read(rmc(speed="", course=""), vtg)
        assert one.speed_mps == (pytest.approx(speed, abs=1e-4) if speed else None) and one.course_deg == course
    assert read(km, gga(quality="0")) == []


@pytest.mark.parametrize(
    ("quality", "accuracy"),
    [("1", 4.0), ("2", 2.0), ("3", 2.0), ("4", 0.04), ("5", 0.4), ("6", None), ("7", None), ("8", None), ("9", 4.0)],
)
def test_accuracy_from_hdop_by_quality(read, quality, accuracy):
    (one,) = read(rmc(), gga(quality=quality))
    assert one.accuracy_m == (pytest.approx(accuracy) if accuracy else None)


@pytest.mark.parametrize("hdop", ["", "0.0", "99.99", "x", "-1"])
def test_an_unusable_hdop_is_no_accuracy(read, hdop):
    (one,) = read(rmc(), gga(hdop=hdop))
    assert one.accuracy_m is None


def test_gns_and_gll_alone_will_do_once_the_date_is_known(read):
    gns = sentence(f"GNGNS,090001.00,{LAT_LON},AAN,15,1.0,9.5,18.0,,,V")
    gll = sentence(f"GPGLL,{LAT_LON},090002.00,A,A")
    first, second, third = read(rmc(), gns, gll)
    assert (second.accuracy_m, second.altitude_m) == (5.0, 9.5)
    assert third.time - first.time == timedelta(seconds=2)
    gns_after = sentence(f"GNGNS,090000.00,{LAT_LON},A,15,7.0,700,18.0,,,V")
    (one,) = read(rmc(), gga(), gns_after)
    assert (one.accuracy_m, one.altitude_m) == (4.0, 12.3), "GGA goes before GNS"


def test_the_coordinates_with_most_digits_win(read):
    (one,) = read(rmc(where="6010.19,N,02456.30,E"), gga())
    assert one.latitude == pytest.approx(60.169912333, abs=1e-8)
    (one,) = read(gga(), rmc(where="6010.19,N,02456.30,E"))
    assert one.latitude == pytest.approx(60.169912333, abs=1e-8)


def test_of_equally_exact_coordinates_the_last_are_taken_as_gpsd_does(read):
    (one,) = read(rmc(), gga(where="6010.19480,N,02456.30750,E"))
    assert one.latitude == pytest.approx(60 + 10.1948 / 60, abs=1e-9)


def test_hundredths_and_thousandths_are_one_time(read):
    """Some receivers write 20.303 in GLL and 20.30 in the sentences after it."""
    gll = sentence(f"GPGLL,{LAT_LON},090020.303,A,A")
    got = read(gll, gga(at="090020.30"), rmc(at="090020.30"), rmc(at="090020.31"), rmc(at="090020.32"))
    assert [one.time.microsecond for one in got] == [303_000, 310_000, 320_000]
    assert got[0].altitude_m == 12.3
    (one,) = read(rmc(at="235959.998"), gga(at="000000.00"))
    assert one.altitude_m == 12.3, "across midnight, too"


def test_an_epoch_that_was_finished_is_not_begun_again():
    assembler = Assembler()
    fields = f"090000.00,A,{LAT_LON},10.0,90.0,150127,,,A".split(",")
    assert assembler.add("RMC", fields) is None and assembler.pending
    assert assembler.finish() is not None and not assembler.pending
    assert assembler.add("RMC", fields) is None and not assembler.pending
    assert assembler.add("RMC", ["085959.00", *fields[1:]]) is None and not assembler.pending, "nor one before it"
    assert assembler.add("RMC", ["090001.00", *fields[1:]]) is None and assembler.pending


def test_high_rates_keep_their_milliseconds(read):
    got = read(*(rmc(at=f"0900{i // 25:02d}.{i % 25 * 40:03d}") for i in range(50)))
    assert len(got) == 50
    assert {b.time - a.time for a, b in pairwise(got)} == {timedelta(milliseconds=40)}


def test_a_late_sentence_makes_no_second_position(read):
    got = read(
        rmc(at="090001.00"), rmc(at="090002.00"), sentence(f"GPGLL,{LAT_LON},090001.00,A,A"), gga(at="090002.00")
    )
    assert [one.time.second for one in got] == [1, 2] and got[1].altitude_m == 12.3


# -- no fix, no position ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "void",
    [
        rmc(status="V"),
        rmc(status=""),
        rmc(mode="N"),
        gga(quality="0"),
        gga(quality=""),
        gga(quality="-1"),
        sentence(f"GNGNS,090000.00,{LAT_LON},NNN,00,1.0,9.5,18.0,,"),
        sentence(f"GPGLL,{LAT_LON},090000.00,V,N"),
        sentence(f"GPGLL,{LAT_LON},090000.00,A,N"),
    ],
)
def test_r1_one_word_of_no_fix_voids_the_epoch(read, void):
    assert read(void) == []
    assert read(rmc(), gga(), void) == []
    assert read(void, gga(), rmc()) == []
    assert len(read(rmc(), void, rmc(at="090001.00"))) == 1, "and no other"


def test_the_navigational_status_is_not_the_fix(read):
    assert len(read(sentence(f"GNRMC,090000.00,A,{LAT_LON},1.0,1.0,150127,,,A,V"))) == 1


@pytest.mark.parametrize(
    "where",
    [
        ",,,",
        "0000.0000,N,00000.0000,E",
        "9100.0,N,02456.3,E",
        "6060.0,N,02456.3,E",
        "6010.1,X,02456.3,E",
        "6010.1,,02456.3,E",
        "6010.1,NS,02456.3,E",
        "6010.1,N,18100.0,E",
        "x,N,y,E",
        "60,N,24,E",
        "-6010.1,N,02456.3,E",
    ],
)
def test_unusable_coordinates_are_no_position(read, where):
    assert read(rmc(where=where)) == []


# -- dates -----------------------------------------------------------------------------------------


def test_midnight_with_and_without_a_new_date(read):
    dated = read(rmc("235959.50", "311226"), rmc("000000.50", "010127"))
    undated = read(rmc("235959.50", "311226"), gga("000000.50"), gga("000001.50"))
    assert [one.time for one in dated] == [one.time for one in undated[:2]]
    assert undated[2].time == datetime(2027, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)


def test_a_leap_second_is_the_first_of_the_next_minute(read):
    (one,) = read(rmc("235960.00", "311226"))
    assert one.time == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("220899", date(2019, 4, 7)),
        ("060180", date(2019, 4, 7)),
        ("181220", date(2020, 12, 18)),
        ("010100", date(2000, 1, 1)),
    ],
)
def test_a_rolled_over_week_is_moved_on(read, said, meant):
    (one,) = read(rmc(day=said))
    assert one.time.date() == meant


def test_the_caller_may_know_better(read):
    (one,) = read(rmc(day="300806"), not_before=date(2026, 1, 1))
    assert one.time.date() == date(2026, 4, 15)


def test_four_digits_of_zda_go_before_two_of_rmc(read):
    (one,) = read(rmc(day="150117"), sentence("GPZDA,090000.00,15,01,2027,00,00"))
    assert one.time.year == 2027
    (one,) = read(sentence("GPZDA,090000.00,15,01,2027,00,00"), rmc(day="150117"))
    assert one.time.year == 2027
    (one,) = read(rmc(), sentence("GPZDA,090000.00,32,01,2027,00,00"), sentence("GPZDA,090000.00,15,01,27,00,00"))
    assert one.time.date() == date(2027, 1, 15)


def test_the_date_of_a_cold_start_without_a_fix_is_not_believed(read):
    got = read(rmc("235948.00", "161206", status="V"), gga("000010.00"), rmc("000011.00", "150127"))
    assert [one.time for one in got] == [datetime(2027, 1, 15, 0, 0, 11, tzinfo=UTC)]


def test_fixes_before_the_first_date_are_left_out_and_counted(tmp_path):
    path = tmp_path / "late.nmea"
    path.write_bytes(gga("085958.00") + gga("085959.00") + rmc())
    source = NmeaSource(path, speed=0)
    assert len(list(source)) == 1 and source.skipped == 2


def test_a_recording_that_never_says_the_date_is_refused_in_one_sentence(read):
    with pytest.raises(SourceError, match=r"^the NMEA recording never says the date; .*$") as caught:
        read(gga(), gga("090001.00"))
    assert caught.value.__context__ is None
    with pytest.raises(SourceError):
        read(rmc(day="000000"))


def test_the_calendar_at_the_end_of_time():
    calendar = Calendar()
    assert calendar.at(0, None) is None
    assert calendar.at(80_000_000, date(9999, 12, 31)).year == 9999
    assert calendar.at(86_400_000, None) is None
    assert calendar.at(1_000, None).year == 9999
    early = Calendar(date(1, 1, 1))
    assert early.at(1_000, date(1, 1, 1)).year == 1
    assert early.at(86_000_000, None).year == 1
    assert Calendar(date.max).at(0, date(9999, 1, 1)).year == 9999


# -- framing ---------------------------------------------------------------------------------------


def test_only_a_right_checksum_counts(tmp_path):
    path = tmp_path / "bad.nmea"
    wrong = rmc().replace(b"09", b"08", 1)
    path.write_bytes(wrong + rmc().split(b"*")[0] + b"\r\n" + rmc("090005.00").lower().replace(b"gprmc", b"GPRMC"))
    source = NmeaSource(path, speed=0)
    assert list(source) == [] and source.skipped >= 1


def test_lower_case_checksums_and_odd_line_ends_are_fine(read):
    body = f"GPRMC,090000.00,A,{LAT_LON},10.0,90.0,150127,,,A"
    digits = f"{checksum(body.encode()):02x}"
    for end in ("\n", "\r", "", "\r\n\r\n", "trailing"):
        assert len(read(f"${body}*{digits}{end}".encode())) == 1


def test_noise_between_sentences_is_passed_over(read):
    noise = bytes(range(256)) * 3
    torn = rmc("085900.00")[:30]
    overlong = b"$GPRMC," + b"9" * 5000 + b"*00\r\n"
    got = read(
        noise, torn, rmc(), b"# comment $ with a dollar\r\n", overlong, torn, noise, rmc("090001.00"), b"$", torn
    )
    assert [one.time.second for one in got] == [0, 1]


@given(st.data())
def test_pieces_of_any_size_give_the_same_sentences(data):
    stream = b"".join(
        data.draw(
            st.lists(
                st.one_of(st.just(rmc()), st.just(gga()), st.binary(max_size=40), st.just(b"$GPRMC,0900")), max_size=8
            )
        )
    )
    whole = list(Sentences().feed(stream))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = Sentences()
    got = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += pieces.feed(stream[start:end])
    assert got == whole


def test_an_unfinished_sentence_takes_bounded_room():
    sentences = Sentences()
    for _ in range(100):
        assert list(sentences.feed(b"$GPRMC," + b"1" * 1000)) == []
    assert len(sentences._rest) < 300


words = st.one_of(st.text("0123456789.-ANVEWKMT", max_size=12), st.text(max_size=4))


@pytest.mark.once
@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["RMC", "GGA", "GNS", "GLL", "VTG", "ZDA", "GST", "XXX"]), st.lists(words, max_size=14)
        ),
        max_size=12,
    )
)
def test_no_sentence_crashes_the_assembler(sentences):
    assembler = Assembler()
    got = [assembler.add(kind, fields) for kind, fields in sentences]
    for position in [*got, assembler.finish()]:
        assert position is None or position.time.tzinfo is UTC


@settings(max_examples=200)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.builds(rmc, at=words, day=words, where=words),
            st.builds(gga, quality=words, hdop=words),
        ),
        max_size=12,
    )
)
def test_no_file_crashes_the_reader(tmp_path_factory, parts):
    path = tmp_path_factory.getbasetemp() / "fuzz.nmea"
    path.write_bytes(b"".join(parts))
    try:
        list(NmeaSource(path, speed=0))
    except SourceError as error:
        assert error.__context__ is None


def test_r10_an_epoch_that_is_begun_shows_no_coordinate() -> None:
    assembler = Assembler()
    assembler.add("GLL", ["4807.038", "N", "01131.000", "E", "120000", "A", "A"])
    assert assembler.pending
    assert "48.1" not in repr(assembler._epoch)
