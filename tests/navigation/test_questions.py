"""What each provider is asked: one request to its own origin, with two places and nothing about anybody."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qs, urlsplit

import prcoords
import pytest

from kalos_connect_sdk import Config, ConfigError, Connect, Datum, NavigationProvider, Place, RouteQuestion
from kalos_connect_sdk.navigation import AMap, Osrm, Valhalla
from kalos_connect_sdk.navigation.service import ConnectService

HERE, THERE = Place(60.169944461, 24.938444541), Place(60.1756, 24.9342, name="a name that stays here")
BEIJING = Place(39.9042, 116.4074)
KEY = "0123456789abcdef0123456789abcdef"
PROVIDERS = {
    "valhalla": Valhalla("http://127.0.0.1:8002/"),
    "osrm": Osrm("http://127.0.0.1:5000"),
    "osrm with a post": Osrm("http://127.0.0.1:5000", post=True),
    "amap": AMap(KEY),
    "service": ConnectService("https://connect.example.com", consent={"record_id": "0" * 32}, token="t-secret"),
}


@pytest.mark.parametrize("name", PROVIDERS)
def test_r2_a_question_goes_to_the_providers_own_origin(name):
    provider = PROVIDERS[name]
    assert isinstance(provider, NavigationProvider)
    question = provider.question(HERE, THERE, "en")
    asked, own = urlsplit(question.url), urlsplit(provider.url)
    assert (asked.scheme, asked.netloc) == (own.scheme, own.netloc)
    assert question.method in ("GET", "POST") and (question.body is None) is (question.method == "GET")
    assert set(question.headers) <= {"Accept", "Content-Type", "Authorization"}


@pytest.mark.parametrize("name", PROVIDERS)
def test_r10_neither_question_nor_provider_shows_what_it_holds(name):
    provider = PROVIDERS[name]
    for shown in (repr(provider), repr(provider.question(HERE, THERE, "en"))):
        assert not re.search(r"60\.1|24\.9|0123456789abcdef|t-secret|record_id", shown)


@pytest.mark.parametrize("name", [name for name in PROVIDERS if name != "osrm"])
def test_r10_where_a_provider_takes_a_post_no_place_and_no_key_stands_in_a_url(name):
    url = PROVIDERS[name].question(HERE, THERE, "en").url
    assert not re.search(r"60|24\.|0123456789abcdef|t-secret|\?", url.removeprefix("http://127.0.0.1:5000"))


@pytest.mark.parametrize("name", PROVIDERS)
def test_no_more_decimals_leave_than_a_map_has(name):
    question = PROVIDERS[name].question(HERE, THERE, "en")
    said = question.url + (question.body or b"").decode()
    decimals = [len(match) for match in re.findall(r"(?:60|24)\.(\d+)", said)]
    assert decimals and max(decimals) == (7 if name == "service" else 6) and "a name that stays here" not in said


@pytest.mark.parametrize("name", [name for name in PROVIDERS if name != "service"])
def test_r2_a_third_party_gets_no_token_and_no_consent(name):
    question = PROVIDERS[name].question(HERE, THERE, "en")
    said = question.url + str(question.headers) + (question.body or b"").decode()
    assert not re.search(r"consent|record|epoch|Authorization|Bearer", said)


def test_our_service_hears_under_which_consent_it_is_asked():
    question = PROVIDERS["service"].question(HERE, THERE, "en")
    assert json.loads(question.body)["consent"] == {"record_id": "0" * 32}
    assert question.headers["Authorization"] == "Bearer t-secret"
    plain = ConnectService("https://connect.example.com").question(HERE, THERE, "en")
    assert "consent" not in json.loads(plain.body) and "Authorization" not in plain.headers


def test_valhalla_is_asked_in_the_language_it_knows():
    def language(locale: str) -> str:
        return json.loads(Valhalla("http://127.0.0.1:1").question(HERE, THERE, locale).body)["language"]

    assert [language(tag) for tag in ("en-GB", "zh-CN", "zh_Hans")] == ["en-US"] * 3, "we say it ourselves"
    assert [language(tag) for tag in ("fr-CA", "de_AT", "es-MX", "fi")] == ["fr-FR", "de-DE", "es-ES", "fi-FI"]
    assert [language(tag) for tag in ("pt_br", "pt-AO", "pt")] == ["pt-BR", "pt-PT", "pt-PT"]
    assert language("ar") == "en-US", "its Arabic is English with Arabic words in it"
    assert language("zh-TW") == "zh-TW" and language("th") == "th", "whatever it makes of it"


def test_osrm_is_asked_for_its_line_step_by_step():
    question = Osrm("https://osrm.example/base", recipient="Example", profile="car").question(HERE, THERE, "en")
    path, _, query = question.url.partition("?")
    assert path == "https://osrm.example/base/route/v1/car/24.938445,60.169944;24.934200,60.175600"
    assert parse_qs(query) == {
        "radiuses": ["2000;2000"], "alternatives": ["false"], "generate_hints": ["false"], "geometries": ["polyline6"],
        "overview": ["false"], "steps": ["true"],
    }  # fmt: skip
    posted = Osrm("http://127.0.0.1:5000", post=True).question(HERE, THERE, "en")
    assert posted.url == "http://127.0.0.1:5000/route/v1/driving"
    assert json.loads(posted.body)["coordinates"] == [[24.938445, 60.169944], [24.9342, 60.1756]]


def test_amap_is_asked_as_documented_in_its_own_datum():
    question = AMap(KEY).question(BEIJING, THERE, "zh-CN")
    assert question.url == "https://restapi.amap.com/v5/direction/driving"
    assert question.headers["Content-Type"] == "application/x-www-form-urlencoded"
    form = {name: value for name, (value,) in parse_qs(question.body.decode(), strict_parsing=True).items()}
    moved = prcoords.wgs_gcj(prcoords.Coords(BEIJING.latitude, BEIJING.longitude))
    assert form == {
        "key": KEY, "origin": f"{moved.lon:.6f},{moved.lat:.6f}", "destination": "24.934200,60.175600",
        "show_fields": "cost,navi,polyline",
    }  # fmt: skip


def test_a_place_that_is_in_gcj02_already_is_not_moved_again():
    place = Place(39.905603, 116.413642, datum=Datum.GCJ02)
    form = parse_qs(AMap(KEY).question(place, BEIJING.to(Datum.BD09), "en").body.decode())
    assert form["origin"] == ["116.413642,39.905603"]
    assert form["destination"] == ["116.413642,39.905603"], "from BD-09 in one step"
    for provider in (Valhalla("http://127.0.0.1:1"), ConnectService("https://x.example")):
        said = provider.question(place, place, "en").body.decode()
        assert "116.407" in said and "116.41" not in said, "those speak WGS-84"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Valhalla("http://maps.example", recipient="x"), "plain http off loopback"),
        (lambda: Osrm("http://localhost:5000", recipient="x"), "literal loopback"),
        (lambda: AMap(KEY, url="http://10.0.0.1"), "plain http off loopback"),
        (lambda: Valhalla("https://maps.example"), "who runs the provider"),
        (lambda: Valhalla("https://u:p@maps.example", recipient="x"), "must look like"),
        (lambda: Valhalla("https://maps.example?key=1", recipient="x"), "must look like"),
        (lambda: Valhalla("https://maps.example\\@evil", recipient="x"), "must look like"),
        (lambda: Valhalla("https://m\xe4ps.example", recipient="x"), "must look like"),
        (lambda: Valhalla("ftp://maps.example", recipient="x"), "must look like"),
        (lambda: Valhalla(None, recipient="x"), "must look like"),
        (lambda: Valhalla("https://maps.example", recipient="a\nb"), "printable"),
        (lambda: Valhalla("https://maps.example", recipient=5), "printable"),
        (lambda: Valhalla("https://maps.example", recipient="x", region="CHN"), "ISO 3166"),
        (lambda: Valhalla("https://maps.example", recipient="x", region="\u00c4\u00d6"), "ISO 3166"),
        (lambda: Valhalla("https://maps.example", recipient="x", region="C1"), "ISO 3166"),
        (lambda: Valhalla("https://maps.example", recipient="x", region=["C", "N"]), "ISO 3166"),
        (lambda: Valhalla("https://maps.example", recipient="x" * 201), "at most 200"),
        (lambda: Valhalla("https://maps.example/a b", recipient="x"), "must look like"),
        (lambda: Valhalla("https://maps.example/\x07", recipient="x"), "must look like"),
        (lambda: Osrm("http://127.0.0.1:5000", profile="../table"), "profile must be"),
        (lambda: Osrm("http://127.0.0.1:5000", profile=None), "profile must be"),
        (lambda: AMap("a key with spaces"), "key must be"),
        (lambda: AMap(None), "key must be"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_it_is_made(make, says):
    with pytest.raises(ConfigError, match=says) as caught:
        make()
    assert caught.value.__context__ is None


def test_a_region_is_written_in_capitals_and_a_url_without_its_last_slash():
    provider = Valhalla("https://maps.example/valhalla/", recipient="Example", region="fi")
    assert (provider.url, provider.region) == ("https://maps.example/valhalla", "FI")
    assert Valhalla("https://maps.example", recipient="x" * 200).recipient == "x" * 200
    for each in (
        Osrm("https://m.example/", recipient="x", region="fi"),
        AMap(KEY, url="https://m.example/", region="fi"),
    ):
        assert (each.url, each.region) == ("https://m.example", "FI")
    assert AMap(KEY).region == "CN" and AMap(KEY).recipient == AMap.RECIPIENT


class Own:
    """A provider of an app's own."""

    recipient, region = "Example", None

    def __init__(self, url):
        self.url = url

    def question(self, origin, to, locale):
        return RouteQuestion("GET", self.url)

    def answer(self, status, headers, body, locale):
        raise NotImplementedError


def test_r2_a_provider_of_ones_own_is_held_to_the_same(tmp_path):
    config = Config(state_dir=tmp_path, vault="memory")
    with pytest.raises(ConfigError, match="plain http off loopback"):
        Connect("com.example.test", config=config, navigation=Own("http://maps.example"))
    Connect("com.example.test", config=config, navigation=Own("https://maps.example")).close()
