"""What the values of the public face show of themselves, and what travels with them (R10)."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import pprint
from dataclasses import asdict, is_dataclass

import pytest
from canaries import HERE, LATITUDE, LONGITUDE, Canaries, position, secret
from hostile_service import ACCESS_TOKEN, HostileService

from kalos_connect_sdk import (
    AsyncConnect,
    Config,
    Connect,
    ConsentRequired,
    Datum,
    InvalidPosition,
    Place,
    Position,
    Reason,
    Route,
    ServiceRefused,
)

TARGET = (84.6153842907, 131.9472615383)
CANARIES = Canaries(HERE, position(*TARGET, "destination"))


def shown(value: object) -> str:
    """Every way a value is turned into text without asking it for its parts."""
    record = logging.LogRecord("app", 10, "app.py", 1, "%s %r", (value, value), None)
    return "\n".join(
        [repr(value), str(value), f"{value}", f"{value!r:>40}", pprint.pformat([value, {1: value}]),
         record.getMessage(), ascii(value)]
    )  # fmt: skip


@pytest.mark.fault(48)
def test_r10_no_text_of_a_value_holds_a_coordinate():
    here, there = Position(LATITUDE, LONGITUDE, altitude_m=1.5, datum=Datum.WGS84), Place(*TARGET, name="home")
    line = ((LONGITUDE, LATITUDE), (TARGET[1], TARGET[0]))
    for value in (here, there, here.to(Datum.GCJ02), Route(1.0, 2.0, "en", line, ())):
        assert CANARIES.found_in(shown(value)) == [], type(value)
        with pytest.raises((TypeError, ValueError)):
            format(value, ".7f")
        assert CANARIES.found_in(shown([value, (value,), {"here": value}])) == []
    assert CANARIES.found_in(str((here.latitude, here.longitude))), "the control: the app's own act tells"


@pytest.mark.fault(48)
def test_what_an_app_asks_a_position_for_it_gets():
    """Its own act: a position that is pickled, copied or taken apart is the same position."""
    here = Position(LATITUDE, LONGITUDE, accuracy_m=3.0, datum=Datum.WGS84)
    for other in (pickle.loads(pickle.dumps(here)), copy.copy(here), copy.deepcopy(here)):
        assert other == here and other.time_implied is here.time_implied and hash(other) == hash(here)
    assert asdict(here)["latitude"] == LATITUDE
    assert CANARIES.found_in(pickle.dumps(here))


@pytest.mark.fault(48)
def test_r10_nothing_a_connect_gives_out_holds_a_coordinate_key_or_token(make):
    with HostileService() as service:
        connect = make(settings={"service_url": service.url})
        changes: list[object] = []
        connect.on_change(changes.append)
        given: list[object] = [connect.permission(), connect.request_permission(user_action=True)]
        given += [connect.submit(Position(LATITUDE, LONGITUDE)), connect.flush(), connect.permission()]
        kept = connect._opened().state.secret
        keys = [
            *secret(ACCESS_TOKEN.encode(), "access token"),
            *secret(kept.signing.to_bytes(), "identity key"),
            *secret(kept.authentication, "authentication key"),
            *secret(connect._opened().state.keys.read().key, "data key"),
        ]
        everything = CANARIES | keys
        assert connect.submit(Position(LATITUDE + 1e-5, LONGITUDE)).accepted
        given += [connect.privacy.report(), connect.privacy.export(), connect.sharing, connect.state_path]
        given += [connect.withdraw(), connect.wait_for_notices(), connect.receipts(), connect.doctor(), *changes]
        for error in (ConsentRequired(Reason.WITHDRAWN), ServiceRefused({"status": 400, "type": "about:blank"})):
            given.append(error)
        for value in given:
            assert everything.found_in(shown(value)) == []
            assert everything.found_in(pickle.dumps(value)) == []
            if is_dataclass(value):
                assert everything.found_in(repr(asdict(value))) == []
        receipts = connect.receipts()
        assert everything.found_in("".join(receipt.to_json() for receipt in receipts)) == []
        assert everything.found_in(json.dumps(connect.privacy.export())) == []
        engine = connect._opened()
        for inner in (
            connect,
            engine,
            engine.state,
            kept,
            kept.signing,
            engine.state.keys,
            engine.link,
            connect.config,
        ):
            assert everything.found_in(shown(inner)) == []


@pytest.mark.fault(48)
def test_r10_a_connect_is_neither_pickled_nor_copied(make):
    connect = make()
    connect.request_permission(user_action=True)
    connect.submit(Position(LATITUDE, LONGITUDE))
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="belongs to its process"):
            way(connect)
    with pytest.raises(TypeError, match="belongs to its process"):
        pickle.dumps(AsyncConnect("com.example.test", config=Config(vault="memory"))._connect)
    assert isinstance(connect, Connect)


@pytest.mark.fault(48)
def test_r10_errors_travel_without_what_they_are_about():
    with pytest.raises(InvalidPosition) as caught:
        Position(LONGITUDE, LATITUDE)
    again = pickle.loads(pickle.dumps(caught.value))
    assert CANARIES.found_in(pickle.dumps(caught.value)) == [] and str(again) == str(caught.value)
