"""Instructions in Brazilian Portuguese. A draft that nobody has reviewed: used where the engine does not speak it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from .words import Catalogue

__all__ = ["WORDS"]

WORDS: Final = Catalogue(
    locale="pt-BR",
    reviewed=False,
    plain=MappingProxyType(
        {
            "depart": "Inicie o trajeto.",
            "arrive": "Você chegou ao destino.",
            "arrive-left": "Você chegou. Seu destino está à esquerda.",
            "arrive-right": "Você chegou. Seu destino está à direita.",
            "continue": "Siga em frente.",
            "slight-right": "Vire levemente à direita.",
            "right": "Vire à direita.",
            "sharp-right": "Faça uma curva fechada à direita.",
            "slight-left": "Vire levemente à esquerda.",
            "left": "Vire à esquerda.",
            "sharp-left": "Faça uma curva fechada à esquerda.",
            "u-turn": "Faça o retorno onde for permitido.",
            "keep-right": "Mantenha-se à direita.",
            "keep-left": "Mantenha-se à esquerda.",
            "keep-straight": "Continue em frente.",
            "ramp": "Pegue a alça de acesso.",
            "ramp-right": "Pegue a alça de acesso à direita.",
            "ramp-left": "Pegue a alça de acesso à esquerda.",
            "exit-right": "Pegue a saída à direita.",
            "exit-left": "Pegue a saída à esquerda.",
            "merge": "Entre na via.",
            "merge-right": "Entre na via à direita.",
            "merge-left": "Entre na via à esquerda.",
            "roundabout": "Na rotatória, pegue a {exit}ª saída.",
            "roundabout-uncounted": "Entre na rotatória.",
            "roundabout-exit": "Saia da rotatória.",
            "ferry": "Pegue a balsa.",
            "ferry-exit": "Saia da balsa.",
        }
    ),
    onto=MappingProxyType(
        {
            "depart": "Inicie o trajeto por {street}.",
            "continue": "Siga por {street}.",
            "slight-right": "Vire levemente à direita em {street}.",
            "right": "Vire à direita em {street}.",
            "sharp-right": "Faça uma curva fechada à direita em {street}.",
            "slight-left": "Vire levemente à esquerda em {street}.",
            "left": "Vire à esquerda em {street}.",
            "sharp-left": "Faça uma curva fechada à esquerda em {street}.",
            "u-turn": "Faça o retorno para {street} onde for permitido.",
            "keep-right": "Mantenha-se à direita para {street}.",
            "keep-left": "Mantenha-se à esquerda para {street}.",
            "keep-straight": "Continue em frente por {street}.",
            "ramp": "Pegue a alça de acesso para {street}.",
            "ramp-right": "Pegue a alça de acesso à direita para {street}.",
            "ramp-left": "Pegue a alça de acesso à esquerda para {street}.",
            "exit-right": "Pegue a saída à direita para {street}.",
            "exit-left": "Pegue a saída à esquerda para {street}.",
            "merge": "Entre em {street}.",
            "merge-right": "Entre à direita em {street}.",
            "merge-left": "Entre à esquerda em {street}.",
            "roundabout": "Na rotatória, pegue a {exit}ª saída para {street}.",
            "roundabout-exit": "Saia da rotatória para {street}.",
            "ferry": "Pegue a balsa: {street}.",
        }
    ),
    joined="/",
)
