"""The few words a prompt needs around the notice, in the languages the notice ships in.

The notice itself is never translated here: it is rendered verbatim (R14).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..model.consent import Duration, DurationKind, Purpose

__all__ = ["Words", "words_for"]


@dataclass(frozen=True, slots=True)
class Words:
    """One language's labels. ``days`` takes ``{n}``, ``choose`` takes ``{last}``."""

    purpose: str
    recipient: str
    purposes: dict[Purpose, str]
    this_drive: str
    days: str
    one_day: str
    until_withdrawn: str
    exactness: str
    precise: str
    approximate: str
    only_approximate: str
    show_full: str
    choose: str
    again: str
    closed: str

    def duration(self, duration: Duration) -> str:
        """How long, as a person says it."""
        if duration.kind is DurationKind.THIS_DRIVE:
            return self.this_drive
        if duration.kind is DurationKind.UNTIL_WITHDRAWN:
            return self.until_withdrawn
        return self.one_day if duration.day_count == 1 else self.days.format(n=duration.day_count)


_ENGLISH: Final = Words(
    purpose="Purpose",
    recipient="Sent to",
    purposes={
        Purpose.NAVIGATION: "navigation",
        Purpose.CROSS_BORDER_TRANSFER: "transfer to another country",
    },
    this_drive="this drive",
    days="{n} days",
    one_day="1 day",
    until_withdrawn="until I stop it",
    exactness="How exactly?",
    precise="precise location",
    approximate="approximate location, an area of several square kilometres",
    only_approximate="approximate location",
    show_full="the full text",
    choose="Type 1 to {last} and press Enter: ",
    again="Nothing was chosen. ",
    closed="The question was closed. Nothing was allowed.",
)

_CHINESE: Final = Words(
    purpose="用途",
    recipient="接收方",
    purposes={Purpose.NAVIGATION: "导航", Purpose.CROSS_BORDER_TRANSFER: "向境外提供"},
    this_drive="本次行程",
    days="{n} 天",
    one_day="1 天",
    until_withdrawn="直到我停止",
    exactness="精确到什么程度？",
    precise="精确位置",
    approximate="大致位置（数平方公里的区域）",
    only_approximate="大致位置",
    show_full="查看全文",
    choose="请输入 1 到 {last} 并按回车：",
    again="未作选择。",
    closed="提问已关闭，未授予任何权限。",
)


def words_for(locale: str) -> Words:
    """The labels that go with a notice in ``locale``; English where there are none."""
    return _CHINESE if locale.replace("_", "-").lower().split("-")[0] == "zh" else _ENGLISH
