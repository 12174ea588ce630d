"""Instructions in Arabic. A draft that nobody has reviewed: used where the engine does not speak it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from .words import Catalogue

__all__ = ["WORDS"]

WORDS: Final = Catalogue(
    locale="ar",
    reviewed=False,
    plain=MappingProxyType(
        {
            "depart": "انطلق.",
            "arrive": "لقد وصلت إلى وجهتك.",
            "arrive-left": "لقد وصلت. وجهتك على اليسار.",
            "arrive-right": "لقد وصلت. وجهتك على اليمين.",
            "continue": "تابع السير إلى الأمام.",
            "slight-right": "انعطف قليلًا إلى اليمين.",
            "right": "انعطف إلى اليمين.",
            "sharp-right": "انعطف بحدة إلى اليمين.",
            "slight-left": "انعطف قليلًا إلى اليسار.",
            "left": "انعطف إلى اليسار.",
            "sharp-left": "انعطف بحدة إلى اليسار.",
            "u-turn": "استدر عائدًا حيث يُسمح بذلك.",
            "keep-right": "الزم اليمين.",
            "keep-left": "الزم اليسار.",
            "keep-straight": "واصل السير إلى الأمام.",
            "ramp": "اسلك المنحدر.",
            "ramp-right": "اسلك المنحدر الأيمن.",
            "ramp-left": "اسلك المنحدر الأيسر.",
            "exit-right": "اسلك المخرج الأيمن.",
            "exit-left": "اسلك المخرج الأيسر.",
            "merge": "اندمج في حركة السير.",
            "merge-right": "اندمج في حركة السير إلى اليمين.",
            "merge-left": "اندمج في حركة السير إلى اليسار.",
            "roundabout": "عند الدوار، اسلك المخرج رقم {exit}.",
            "roundabout-uncounted": "ادخل الدوار.",
            "roundabout-exit": "اخرج من الدوار.",
            "ferry": "استقل العبّارة.",
            "ferry-exit": "غادر العبّارة.",
        }
    ),
    onto=MappingProxyType(
        {
            "depart": "انطلق عبر {street}.",
            "continue": "تابع السير في {street}.",
            "slight-right": "انعطف قليلًا إلى اليمين نحو {street}.",
            "right": "انعطف إلى اليمين نحو {street}.",
            "sharp-right": "انعطف بحدة إلى اليمين نحو {street}.",
            "slight-left": "انعطف قليلًا إلى اليسار نحو {street}.",
            "left": "انعطف إلى اليسار نحو {street}.",
            "sharp-left": "انعطف بحدة إلى اليسار نحو {street}.",
            "u-turn": "استدر عائدًا نحو {street} حيث يُسمح بذلك.",
            "keep-right": "الزم اليمين نحو {street}.",
            "keep-left": "الزم اليسار نحو {street}.",
            "keep-straight": "واصل السير إلى الأمام نحو {street}.",
            "ramp": "اسلك المنحدر نحو {street}.",
            "ramp-right": "اسلك المنحدر الأيمن نحو {street}.",
            "ramp-left": "اسلك المنحدر الأيسر نحو {street}.",
            "exit-right": "اسلك المخرج الأيمن نحو {street}.",
            "exit-left": "اسلك المخرج الأيسر نحو {street}.",
            "merge": "اندمج في {street}.",
            "merge-right": "اندمج إلى اليمين في {street}.",
            "merge-left": "اندمج إلى اليسار في {street}.",
            "roundabout": "عند الدوار، اسلك المخرج رقم {exit} نحو {street}.",
            "roundabout-exit": "اخرج من الدوار نحو {street}.",
            "ferry": "استقل العبّارة: {street}.",
        }
    ),
    joined="/",
)
