"""The two notices used unless the app brings its own: navigation, and leaving mainland China (R14, R16).

They are written for the KALOS privacy policy, updated 2024-02-01 and effective 2024-03-18, and promise nothing
that policy does not hold. An app with another controller, or whose service abroad is run by somebody else,
passes a notice of its own.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from ...model.consent import Purpose
from ...model.notice import Controller, Notice
from . import text_ar, text_en, text_es, text_pt_br, text_zh_cn

__all__ = ["CONTROLLER", "CROSS_BORDER_NOTICE", "DEFAULT_NOTICE"]

CONTROLLER: Final = Controller(
    id="beijing-zhijian-software",
    name="Beijing ZhiJian Software Co., Ltd.",
    contact="product@zjinnova.com",
)

_POLICY_ID: Final = "kalos-privacy-policy"
_UPDATED: Final = date(2024, 2, 1)
_EFFECTIVE: Final = date(2024, 3, 18)
_TEXTS: Final = (text_en, text_zh_cn, text_es, text_pt_br, text_ar)
_DATA: Final = ("coordinates", "time", "accuracy", "altitude", "speed", "course")

DEFAULT_NOTICE: Final = Notice(
    id="kalos-connect-navigation",
    version="2024-03-18.2",
    effective=_EFFECTIVE,
    controller=CONTROLLER,
    purpose=Purpose.NAVIGATION.value,
    data=_DATA,
    method=("collect", "transmit", "use"),
    recipients=(CONTROLLER.name,),
    texts=tuple(text.NAVIGATION for text in _TEXTS),
    policy_id=_POLICY_ID,
    policy_updated=_UPDATED,
)
"""Location for navigation."""

CROSS_BORDER_NOTICE: Final = Notice(
    id="kalos-connect-cross-border",
    version="2024-03-18.2",
    effective=_EFFECTIVE,
    controller=CONTROLLER,
    purpose=Purpose.CROSS_BORDER_TRANSFER.value,
    data=_DATA,
    method=("collect", "transmit", "transfer-abroad", "use"),
    recipients=(CONTROLLER.name,),
    texts=tuple(text.CROSS_BORDER for text in _TEXTS),
    policy_id=_POLICY_ID,
    policy_updated=_UPDATED,
)
"""Location in mainland China for a service outside it: asked separately, on top of navigation (PIPL 39)."""
