"""Who may be told where the device is, over every combination of what decides it."""

from __future__ import annotations

import itertools

import pytest

from kalos_connect_sdk.core.recipients import forbidden
from kalos_connect_sdk.model.decision import Reason

HERE = ("http://127.0.0.1:8002", "https://127.9.9.9", "http://[::1]:5000")
ELSEWHERE = ("https://maps.example", "https://localhost:8002", "https://10.0.0.1", "https://127.0.0.1.example")
NAMES = ("Maps Example Ltd.", "")
REGIONS = ("CN", "HK", "SG", None)
NAMED = ((), ("Maps Example Ltd.",), ("Maps Example Ltd",), ("maps example ltd.",), ("",))


@pytest.mark.parametrize("url", HERE)
def test_r14_a_literal_loopback_address_is_this_device(url):
    for recipient, region, named, inland in itertools.product(NAMES, REGIONS, NAMED, (True, False)):
        assert forbidden(url=url, recipient=recipient, region=region, named=named, in_mainland_china=inland) is None


@pytest.mark.parametrize("url", ELSEWHERE)
def test_r14_r16_elsewhere_only_whom_the_notice_names_word_for_word_and_across_no_border(url):
    for recipient, region, named, inland in itertools.product(NAMES, REGIONS, NAMED, (True, False)):
        said = forbidden(url=url, recipient=recipient, region=region, named=named, in_mainland_china=inland)
        if not (recipient and recipient in named):
            assert said is Reason.RECIPIENT_NOT_NAMED
        elif inland and region != "CN":
            assert said is Reason.CROSS_BORDER
        else:
            assert said is None
