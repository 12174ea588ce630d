"""The default notices in Brazilian Portuguese. A draft that nobody has reviewed: used only when it is chosen."""

from __future__ import annotations

from typing import Final

from ...model.notice import NoticeText

__all__ = ["CROSS_BORDER", "NAVIGATION"]

NAVIGATION: Final = NoticeText(
    locale="pt-BR",
    reviewed=False,
    title="Compartilhar sua localização para a navegação?",
    who="Beijing ZhiJian Software Co., Ltd. (“ZhiJian”), que oferece o KALOS Connect.",
    what="Sua localização precisa: coordenadas com hora, exatidão, altitude, velocidade e direção.",
    why="Para guiar você com a função Connect, e para mais nada.",
    how_to_stop="Pare quando quiser, com a mesma facilidade. A partir daí nenhuma localização é enviada.",
    allow="Permitir",
    deny="Não permitir",
    full="""\
Sua localização no KALOS Connect

Este aviso acompanha a política de privacidade da KALOS, atualizada em 1º de fevereiro de 2024 e em vigor desde \
18 de março de 2024.

Quem. Beijing ZhiJian Software Co., Ltd. (“ZhiJian”). Contato: product@zjinnova.com.

O quê. Sua localização precisa: coordenadas com hora, exatidão, altitude, velocidade e direção do percurso. Se \
você escolher “aproximada”, apenas a área de alguns quilômetros quadrados em que está, sem altitude, velocidade \
e direção.

Por que é necessária. Para encontrar uma rota a partir de onde você está e guiar você por ela. Não é usada para \
mais nada; para qualquer outro fim, você seria consultado antes.

O que pode significar para você. Onde você está e para onde vai é uma informação sensível: pode mostrar onde \
mora, onde trabalha ou quem visita. Por isso a pergunta é feita em separado, e o recibo neste dispositivo guarda \
o que você aceitou.

Como. Este dispositivo a envia cifrada ao serviço Connect, e somente enquanto você permitir. Não são usados \
cookies. Ninguém mais a recebe se você não aceitar esse destinatário. Se a ZhiJian mudar de dono, a pergunta é \
feita de novo.

Onde. O que é coletado na República Popular da China é guardado lá. Só vai ao exterior com outro consentimento \
seu, ou depois de retirado o que mostra que é seu.

Se você disser não. Nada mais se perde: uma rota entre dois lugares que você digitar, o uso sem conexão, seus \
recibos e seus direitos funcionam sem ela.

Como parar. A qualquer momento, também ao dirigir, em um passo. A partir daí sua localização deixa de ser \
tratada. O que foi feito antes continua lícito.

Seus direitos. Você pode perguntar o que é guardado sobre você, pedir que seja corrigido, pedir que seja apagado \
pelos motivos que a política nomeia, e pedir que uma decisão automática seja explicada. Pode ser preciso \
mostrar quem você é. A resposta vem em 30 dias, com o \
motivo se for negativa.

Adultos. O serviço é para adultos. Por um menor decide o pai, a mãe ou o responsável.

Mudanças. Se mudarem o fim, os tipos de dados, a forma de tratá-los, o dono ou os principais destinatários, a \
pergunta é feita de novo. Você é avisado de outras mudanças importantes.
""",
)

CROSS_BORDER: Final = NoticeText(
    locale="pt-BR",
    reviewed=False,
    title="Enviar sua localização para fora da China continental?",
    who="ZhiJian (product@zjinnova.com), no endereço do serviço mostrado com esta pergunta.",
    what="Sua localização na China continental: coordenadas com hora, exatidão, altitude, velocidade e direção.",
    why="O serviço de navegação configurado fica fora da China continental, e guia você com ela.",
    how_to_stop="Pare quando quiser, com a mesma facilidade. Sua localização lá deixa então de ser enviada.",
    allow="Permitir",
    deny="Não permitir",
    full="""\
Sua localização sai da China continental

Este aviso acompanha a política de privacidade da KALOS, atualizada em 1º de fevereiro de 2024 e em vigor desde \
18 de março de 2024. Soma-se ao seu consentimento para a navegação e pode ser recusado por si só.

Quem a recebe. Beijing ZhiJian Software Co., Ltd. (“ZhiJian”), no endereço do serviço mostrado com esta \
pergunta, fora da China continental. Contato: product@zjinnova.com.

O quê. Sua localização enquanto você está na China continental: coordenadas com hora, exatidão, altitude, \
velocidade e direção do percurso, com a exatidão que você permitiu para a navegação.

Por que e como. Para guiar você, porque o serviço de navegação configurado neste dispositivo fica lá. É enviada \
cifrada e usada somente para a navegação.

O que pode significar para você. Onde você está e para onde vai é uma informação sensível, e lá podem valer \
outras leis.

Se você disser não. Nenhuma localização na China continental é enviada a esse serviço. Fora dela a navegação \
continua, e uma rota entre dois lugares que você digitar funciona em toda parte.

Como parar. A qualquer momento, também ao dirigir, em um passo.

Seus direitos. Pelo contato acima, como para a navegação: perguntar o que é guardado sobre você, pedir que seja \
corrigido, pedir que seja apagado pelos motivos que a política nomeia, pedir que uma decisão automática seja \
explicada. A resposta vem em 30 dias.

Adultos. O serviço é para adultos. Por um menor decide o pai, a mãe ou o responsável.
""",
)
