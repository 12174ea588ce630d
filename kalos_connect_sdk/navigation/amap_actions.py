"""What AMap calls its driving actions, as kinds of manoeuvre.

A step ends with an ``action`` and, besides, an ``assistant_action``. Both are documented lists of Chinese words; either
may be empty. Where the second says more than a direction (a ramp, an exit, a ferry, a roundabout) it decides.
"""

from __future__ import annotations

from typing import Final

__all__ = ["kind_of"]

_ACTIONS: Final = {
    "左转": "left",
    "右转": "right",
    "向左前方行驶": "slight-left",
    "向右前方行驶": "slight-right",
    "向左后方行驶": "sharp-left",
    "向右后方行驶": "sharp-right",
    "左转调头": "u-turn",
    "直行": "continue",
    "靠左": "keep-left",
    "靠右": "keep-right",
    "进入环岛": "roundabout",
    "离开环岛": "roundabout-exit",
    "减速行驶": "continue",
}
_DECIDES: Final = {
    "进入轮渡": "ferry",
    "驶离轮渡": "ferry-exit",
    "进入调头专用路": "u-turn",
    "绕环岛左转": "roundabout",
    "绕环岛右转": "roundabout",
    "绕环岛直行": "roundabout",
    "绕环岛调头": "roundabout",
    "小环岛不数出口": "roundabout",
}
_WITH_A_SIDE: Final = {"进入匝道": "ramp", "到达出口": "exit"}
_ALONE: Final = {
    "进入主路": "merge",
    "进入高速": "merge",
    "进入右岔路": "keep-right",
    "进入左岔路": "keep-left",
    "进入中间岔道": "keep-straight",
    "进入右转专用道": "keep-right",
    "进入左转专用道": "keep-left",
    "进入中间道路": "keep-straight",
    "进入右侧道路": "keep-right",
    "进入左侧道路": "keep-left",
    "靠右行驶进入辅路": "keep-right",
    "靠左行驶进入辅路": "keep-left",
    "靠右行驶进入主路": "keep-right",
    "靠左行驶进入主路": "keep-left",
    "靠右行驶进入右转专用道": "keep-right",
}
"""Where there is no action besides."""
_JUNCTION: Final = {"到达复杂路口,走右边": "keep-right", "到达复杂路口,走左边": "keep-left"}
"""A complicated junction; which exit on that side follows."""


def kind_of(action: str, assistant: str) -> str:
    """The kind for an action and an assistant action; ``continue`` for words that are new."""
    if assistant in _DECIDES:
        return _DECIDES[assistant]
    if assistant in _WITH_A_SIDE:
        what = _WITH_A_SIDE[assistant]
        side = "left" if "左" in action else "right" if "右" in action else ""
        return f"{what}-{side}" if side else "ramp"
    if action in _ACTIONS:
        return _ACTIONS[action]
    if assistant in _ALONE:
        return _ALONE[assistant]
    plain = assistant.replace("，", ",").replace(" ", "")
    return next((kind for words, kind in _JUNCTION.items() if plain.startswith(words)), "continue")
