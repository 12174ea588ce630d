"""Instructions in Spanish. A draft that nobody has reviewed: used where the engine does not speak it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from .words import Catalogue

__all__ = ["WORDS"]

WORDS: Final = Catalogue(
    locale="es",
    reviewed=False,
    plain=MappingProxyType(
        {
            "depart": "Inicie la marcha.",
            "arrive": "Ha llegado a su destino.",
            "arrive-left": "Ha llegado. Su destino está a la izquierda.",
            "arrive-right": "Ha llegado. Su destino está a la derecha.",
            "continue": "Continúe recto.",
            "slight-right": "Gire ligeramente a la derecha.",
            "right": "Gire a la derecha.",
            "sharp-right": "Haga un giro cerrado a la derecha.",
            "slight-left": "Gire ligeramente a la izquierda.",
            "left": "Gire a la izquierda.",
            "sharp-left": "Haga un giro cerrado a la izquierda.",
            "u-turn": "Cambie de sentido donde esté permitido.",
            "keep-right": "Manténgase a la derecha.",
            "keep-left": "Manténgase a la izquierda.",
            "keep-straight": "Siga recto.",
            "ramp": "Tome la vía de acceso.",
            "ramp-right": "Tome la vía de acceso de la derecha.",
            "ramp-left": "Tome la vía de acceso de la izquierda.",
            "exit-right": "Tome la salida de la derecha.",
            "exit-left": "Tome la salida de la izquierda.",
            "merge": "Incorpórese a la vía.",
            "merge-right": "Incorpórese a la vía por la derecha.",
            "merge-left": "Incorpórese a la vía por la izquierda.",
            "roundabout": "En la rotonda, tome la {exit}.ª salida.",
            "roundabout-uncounted": "Entre en la rotonda.",
            "roundabout-exit": "Salga de la rotonda.",
            "ferry": "Tome el transbordador.",
            "ferry-exit": "Salga del transbordador.",
        }
    ),
    onto=MappingProxyType(
        {
            "depart": "Inicie la marcha por {street}.",
            "continue": "Continúe por {street}.",
            "slight-right": "Gire ligeramente a la derecha hacia {street}.",
            "right": "Gire a la derecha hacia {street}.",
            "sharp-right": "Haga un giro cerrado a la derecha hacia {street}.",
            "slight-left": "Gire ligeramente a la izquierda hacia {street}.",
            "left": "Gire a la izquierda hacia {street}.",
            "sharp-left": "Haga un giro cerrado a la izquierda hacia {street}.",
            "u-turn": "Cambie de sentido hacia {street} donde esté permitido.",
            "keep-right": "Manténgase a la derecha hacia {street}.",
            "keep-left": "Manténgase a la izquierda hacia {street}.",
            "keep-straight": "Siga recto hacia {street}.",
            "ramp": "Tome la vía de acceso hacia {street}.",
            "ramp-right": "Tome la vía de acceso de la derecha hacia {street}.",
            "ramp-left": "Tome la vía de acceso de la izquierda hacia {street}.",
            "exit-right": "Tome la salida de la derecha hacia {street}.",
            "exit-left": "Tome la salida de la izquierda hacia {street}.",
            "merge": "Incorpórese a {street}.",
            "merge-right": "Incorpórese por la derecha a {street}.",
            "merge-left": "Incorpórese por la izquierda a {street}.",
            "roundabout": "En la rotonda, tome la {exit}.ª salida hacia {street}.",
            "roundabout-exit": "Salga de la rotonda hacia {street}.",
            "ferry": "Tome el transbordador: {street}.",
        }
    ),
    joined="/",
)
