"""R15 attacked: what a service can make of approximate positions, however long it watches (docs/approximate.md)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from attack_approximate import (  # noqa: E402
    arrived,
    blurred,
    centred,
    changes,
    driven_again,
    elsewhere,
    followed,
    parked,
    read,
    sent,
    started_often,
)
from picture_approximate import PICTURE, draw  # noqa: E402

from kalos_connect_sdk.core.coarsen import Coarsener  # noqa: E402

DATA = Path(os.environ.get("KALOS_TEST_DATA") or ROOT / "../shared/data")
DRIVE = DATA / "gpx/barefoot-x0001-001.json"

pytestmark = pytest.mark.once
recorded = pytest.mark.skipif(not DATA.is_dir(), reason="the shared recordings are not here")


@pytest.fixture(scope="module")
def drive():
    return read(DRIVE)


def test_r15_a_parked_car_watched_for_long_tells_what_one_fix_tells():
    assert parked(400, 60) == pytest.approx(parked(1, 60), abs=1e-3)
    assert median(parked(1, 60)) > 600


def test_the_averaging_attack_finds_what_there_is_to_find():
    """New noise with every fix is what averaging beats: the attack is a real one."""
    assert median(blurred(1, 60)) > 900
    assert median(blurred(400, 60)) < 100


@recorded
def test_r15_a_drive_is_13_points(drive):
    coarsener = Coarsener()
    assert len(drive) == 1194
    assert len({sent(coarsener, point) for _, point in drive}) == 13


@recorded
def test_r15_a_drive_is_not_followed_by_its_changes_of_cell(drive):
    tracks = list(elsewhere(drive, 10))
    found = [changes(each) for each in tracks]
    assert median(error for each in tracks for error in centred(each)) > 600
    assert median(error for each, one in zip(tracks, found, strict=True) for error in followed(each, one)) > 300
    once = median(change.error_m for one in found for change in one)
    assert once > 250
    again = median(error for each in tracks[:3] for error in driven_again(each, 20))
    assert again > 250


def test_r15_only_near_a_border_do_starts_and_arrivals_tell_more():
    """And then one of the two coordinates: along the border nothing is known."""
    often, arrivals = started_often(600, 20), arrived(300)
    assert len(often) < 600 * 0.05 and len(arrivals) < 300 * 0.1
    assert median(often + arrivals) > 250


@recorded
def test_the_picture_in_the_docs_is_of_this_code(drive):
    assert PICTURE.read_text() == draw(drive)
    assert PICTURE.stat().st_size < 60_000
