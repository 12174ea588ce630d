"""Instructions in English. Reviewed."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from .words import Catalogue

__all__ = ["WORDS"]

WORDS: Final = Catalogue(
    locale="en",
    reviewed=True,
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
