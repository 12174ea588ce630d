"""What a driver is told, word for word, in the languages there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalos_connect_sdk.model.decision import Reason
from kalos_connect_sdk.model.events import (
    Arrived,
    BackOnRoute,
    ConsentLost,
    Guidance,
    OffRoute,
    Progress,
    Rerouted,
    RerouteFailed,
    SourceLost,
)
from kalos_connect_sdk.model.route import Route
from kalos_connect_sdk.prompts.directions import directions_for, sentence

NEW = Rerouted(Route(3456.0, 400.0, "en", ((24.9, 60.0), (24.9, 60.1))))


@pytest.mark.parametrize(
    ("locale", "event", "said"),
    [
        ("en", Guidance("Turn right onto Fabianinkatu.", 203.0, "right"), "In 200 m, turn right onto Fabianinkatu."),
        ("en", Guidance("Turn right.", 49.9, "right"), "Turn right."),
        ("en", Guidance("Turn right.", 50.0, "right"), "In 50 m, turn right."),
        ("en", Guidance("E75 north.", 400.0, "continue"), "In 400 m, E75 north."),
        ("en", Guidance("", 400.0), "In 400 m, "),
        ("en", Guidance("You have arrived. It is on the left.", 180.0, "arrive-left"),
         "In 200 m you reach your destination."),
        ("en", Guidance("You have arrived.", 40.0, "arrive"), "In 40 m you reach your destination."),
        ("zh-CN", Guidance("右转，进入Fabianinkatu。", 498.0, "right"), "500 米后右转，进入Fabianinkatu。"),
        ("zh-CN", Guidance("左转。", 30.0, "left"), "左转。"),
        ("zh-CN", Guidance("您已到达目的地。", 1234.0, "arrive"), "1.2 公里后到达目的地。"),
        ("zh_CN", OffRoute(80.0), "您已偏离路线。"),
        ("es", Guidance("Gire a la derecha.", 1500.0, "right"), "En 1,5 km, gire a la derecha."),
        ("pt-BR", Guidance("Vire à direita.", 1500.0, "right"), "Em 1,5 km, vire à direita."),
        ("ar", Guidance("انعطف يمينًا.", 500.0, "right"), "بعد 500 م، انعطف يمينًا."),
        ("en", NEW, "New route: 3.5 km, 7 min."),
        ("zh-CN", NEW, "新路线：全程 3.5 公里，约 7 分钟。"),
        ("en", Arrived(), "You have arrived."),
        ("en", BackOnRoute(), "You are back on the route."),
        ("en", RerouteFailed("503"), "There is no new route yet; it is asked for again."),
        ("en", RerouteFailed("approximate", retrying=False), "There is no new route; the old one goes on."),
        ("fi", Arrived(), "You have arrived."),
    ],
)  # fmt: skip
def test_what_is_said(locale, event, said):
    assert sentence(event, locale) == said


@pytest.mark.parametrize(
    ("metres", "said"),
    [
        (0, "10 m"), (14.9, "10 m"), (94.9, "90 m"), (95, "100 m"), (124, "100 m"), (126, "150 m"), (949, "950 m"),
        (950, "1 km"), (999, "1 km"), (1049, "1 km"), (1051, "1.1 km"), (9949, "9.9 km"), (9950, "10 km"),
        (123_456, "123 km"),
    ],
)  # fmt: skip
def test_a_distance_is_told_no_finer_than_it_can_be_seen(metres, said):
    assert directions_for("en").distance(metres) == said


@pytest.mark.parametrize(("seconds", "said"), [(0, "1 min"), (89, "1 min"), (91, "2 min"), (3600, "60 min")])
def test_a_duration_is_told_in_minutes(seconds, said):
    assert directions_for("en").duration(seconds) == said


def test_other_events_are_not_directions():
    for event in (Progress(1, 1, 0, 0, 0), ConsentLost(Reason.WITHDRAWN), SourceLost("gone")):
        assert sentence(event, "en") is None


@given(*[st.one_of(st.floats(0, 1e6), st.floats(0, 1100), st.floats(9000, 11_000))] * 2)
def test_what_is_further_is_never_told_nearer(one, other):
    def number(metres: float) -> float:
        value, unit = directions_for("en").distance(metres).split()
        return float(value) * (1000 if unit == "km" else 1)

    assert number(min(one, other)) <= number(max(one, other))
    assert number(one) == pytest.approx(one, rel=0.06, abs=30)
