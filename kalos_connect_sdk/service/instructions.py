"""Instructions in the languages we write ourselves: one sentence a manoeuvre, from its kind and street.

Engines differ in the languages they know (Valhalla has no Chinese and answers in English without saying so),
so English and simplified Chinese are rendered here from the kinds of manoeuvre, the same for every engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["KINDS", "Catalogue", "catalogue", "has"]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One language. ``plain`` has a sentence for every kind, ``onto`` for those that lead onto a named street."""

    locale: str
    plain: Mapping[str, str]
    onto: Mapping[str, str]
    joined: str

    def say(self, kind: str, *, streets: tuple[str, ...] = (), exit_number: int | None = None) -> str:
        """The sentence for a manoeuvre. ``exit_number`` counts the exits of a roundabout, from 1."""
        if kind == "roundabout" and exit_number is None:
            kind = "roundabout-uncounted"
        kind = kind if kind in self.plain else "continue"
        street = self.joined.join(streets[:2])
        pattern = self.onto.get(kind, self.plain[kind]) if street else self.plain[kind]
        return pattern.format(street=street, exit=self._exit(exit_number))

    def _exit(self, number: int | None) -> str:
        if number is None:
            return ""
        if self.locale == "en":
            ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
            return f"{number}{ending}"
        return str(number)


_EN: Final = Catalogue(
    locale="en",
    plain=MappingProxyType(
        {
            "depart": "Set off.",
            "arrive": "You have arrived.",
            "arrive-left": "You have arrived. Your destination is on the left.",
            "arrive-right": "You have arrived. Your destination is on the right.",
            "continue": "Continue straight on.",
            "slight-right": "Bear right.",
            "right": "Turn right.",
            "sharp-right": "Turn sharp right.",
            "slight-left": "Bear left.",
            "left": "Turn left.",
            "sharp-left": "Turn sharp left.",
            "u-turn": "Make a U-turn where it is allowed.",
            "keep-right": "Keep right.",
            "keep-left": "Keep left.",
            "keep-straight": "Keep straight on.",
            "ramp": "Take the slip road.",
            "ramp-right": "Take the slip road on the right.",
            "ramp-left": "Take the slip road on the left.",
            "exit-right": "Take the exit on the right.",
            "exit-left": "Take the exit on the left.",
            "merge": "Merge.",
            "merge-right": "Merge to the right.",
            "merge-left": "Merge to the left.",
            "roundabout": "At the roundabout, take the {exit} exit.",
            "roundabout-uncounted": "Enter the roundabout.",
            "roundabout-exit": "Leave the roundabout.",
            "ferry": "Take the ferry.",
            "ferry-exit": "Leave the ferry.",
        }
    ),
    onto=MappingProxyType(
        {
            "depart": "Set off on {street}.",
            "continue": "Continue on {street}.",
            "slight-right": "Bear right onto {street}.",
            "right": "Turn right onto {street}.",
            "sharp-right": "Turn sharp right onto {street}.",
            "slight-left": "Bear left onto {street}.",
            "left": "Turn left onto {street}.",
            "sharp-left": "Turn sharp left onto {street}.",
            "u-turn": "Make a U-turn onto {street} where it is allowed.",
            "keep-right": "Keep right onto {street}.",
            "keep-left": "Keep left onto {street}.",
            "keep-straight": "Keep straight on, onto {street}.",
            "ramp": "Take the slip road to {street}.",
            "ramp-right": "Take the slip road on the right to {street}.",
            "ramp-left": "Take the slip road on the left to {street}.",
            "exit-right": "Take the exit on the right to {street}.",
            "exit-left": "Take the exit on the left to {street}.",
            "merge": "Merge onto {street}.",
            "merge-right": "Merge to the right onto {street}.",
            "merge-left": "Merge to the left onto {street}.",
            "roundabout": "At the roundabout, take the {exit} exit onto {street}.",
            "roundabout-exit": "Leave the roundabout onto {street}.",
            "ferry": "Take the {street}.",
        }
    ),
    joined="/",
)

_ZH_CN: Final = Catalogue(
    locale="zh-CN",
    plain=MappingProxyType(
        {
            "depart": "出发。",
            "arrive": "您已到达目的地。",
            "arrive-left": "您已到达，目的地在左侧。",
            "arrive-right": "您已到达，目的地在右侧。",
            "continue": "继续直行。",
            "slight-right": "向右前方行驶。",
            "right": "右转。",
            "sharp-right": "向右后方转弯。",
            "slight-left": "向左前方行驶。",
            "left": "左转。",
            "sharp-left": "向左后方转弯。",
            "u-turn": "请在允许处掉头。",
            "keep-right": "靠右行驶。",
            "keep-left": "靠左行驶。",
            "keep-straight": "保持直行。",
            "ramp": "进入匝道。",
            "ramp-right": "从右侧进入匝道。",
            "ramp-left": "从左侧进入匝道。",
            "exit-right": "从右侧出口驶出。",
            "exit-left": "从左侧出口驶出。",
            "merge": "汇入主路。",
            "merge-right": "向右汇入主路。",
            "merge-left": "向左汇入主路。",
            "roundabout": "进入环岛，从第{exit}个出口驶出。",
            "roundabout-uncounted": "进入环岛。",
            "roundabout-exit": "驶出环岛。",
            "ferry": "乘坐渡轮。",
            "ferry-exit": "驶离渡轮。",
        }
    ),
    onto=MappingProxyType(
        {
            "depart": "出发，沿{street}行驶。",
            "continue": "继续沿{street}行驶。",
            "slight-right": "向右前方驶入{street}。",
            "right": "右转，进入{street}。",
            "sharp-right": "向右后方转弯，进入{street}。",
            "slight-left": "向左前方驶入{street}。",
            "left": "左转，进入{street}。",
            "sharp-left": "向左后方转弯，进入{street}。",
            "u-turn": "请在允许处掉头，进入{street}。",
            "keep-right": "靠右行驶，进入{street}。",
            "keep-left": "靠左行驶，进入{street}。",
            "keep-straight": "保持直行，进入{street}。",
            "ramp": "经匝道驶入{street}。",
            "ramp-right": "从右侧匝道驶入{street}。",
            "ramp-left": "从左侧匝道驶入{street}。",
            "exit-right": "从右侧出口驶出，前往{street}。",
            "exit-left": "从左侧出口驶出，前往{street}。",
            "merge": "汇入{street}。",
            "merge-right": "向右汇入{street}。",
            "merge-left": "向左汇入{street}。",
            "roundabout": "进入环岛，从第{exit}个出口驶出，进入{street}。",
            "roundabout-exit": "驶出环岛，进入{street}。",
            "ferry": "乘坐渡轮：{street}。",
        }
    ),
    joined="／",
)

KINDS: Final = frozenset(_EN.plain)
"""Every kind of manoeuvre there is a sentence for."""


def has(locale: str) -> bool:
    """True when we write this language ourselves."""
    return _language(locale) in ("en", "zh")


def catalogue(locale: str) -> Catalogue:
    """The catalogue for a language tag; English for a language we do not write."""
    return _ZH_CN if _language(locale) == "zh" else _EN


def _language(locale: str) -> str:
    parts = locale.replace("_", "-").lower().split("-")
    if parts[0] == "zh" and ("hant" in parts or {"tw", "hk", "mo"} & set(parts[1:])):
        return "zh-hant"  # another script: not ours to pretend
    return parts[0]
