"""Instructions in simplified Chinese. Reviewed."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from .words import Catalogue

__all__ = ["WORDS"]

WORDS: Final = Catalogue(
    locale="zh-CN",
    reviewed=True,
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
