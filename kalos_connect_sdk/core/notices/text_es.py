"""The default notices in Spanish. A draft that nobody has reviewed: used only when it is chosen."""

from __future__ import annotations

from typing import Final

from ...model.notice import NoticeText

__all__ = ["CROSS_BORDER", "NAVIGATION"]

NAVIGATION: Final = NoticeText(
    locale="es",
    reviewed=False,
    title="¿Compartir su ubicación para la navegación?",
    who="Beijing ZhiJian Software Co., Ltd. («ZhiJian»), que ofrece KALOS Connect.",
    what="Su ubicación precisa: coordenadas con hora, exactitud, altitud, velocidad y rumbo.",
    why="Para guiarle con la función Connect, y para nada más.",
    how_to_stop="Puede parar cuando quiera, con la misma facilidad. Desde entonces no se envía ninguna ubicación.",
    allow="Permitir",
    deny="No permitir",
    full="""\
Su ubicación en KALOS Connect

Este aviso acompaña a la política de privacidad de KALOS, actualizada el 1 de febrero de 2024 y vigente desde el \
18 de marzo de 2024.

Quién. Beijing ZhiJian Software Co., Ltd. («ZhiJian»). Contacto: product@zjinnova.com.

Qué. Su ubicación precisa: coordenadas con su hora, exactitud, altitud, velocidad y dirección de marcha. Si \
elige «aproximada», solo la zona de unos kilómetros cuadrados en la que se encuentra, sin altitud, velocidad ni \
dirección.

Por qué hace falta. Para encontrar una ruta desde donde está y guiarle por ella. No se usa para nada más; para \
cualquier otro fin se le preguntaría antes.

Qué puede suponer para usted. Dónde está y adónde va es información delicada: puede mostrar dónde vive, dónde \
trabaja o a quién visita. Por eso se le pregunta por separado, y el recibo de este dispositivo guarda lo que \
aceptó.

Cómo. Este dispositivo la envía cifrada al servicio Connect, y solo mientras usted lo permita. No se usan \
cookies. Nadie más la recibe si usted no acepta a ese destinatario. Si ZhiJian cambia de dueño, se le pregunta \
de nuevo.

Dónde. Lo que se recoge en la República Popular China se guarda allí. Sale al extranjero solo con otro \
consentimiento suyo, o después de quitar lo que indica que es suyo.

Si dice que no. No se pierde nada más: una ruta entre dos lugares que usted escriba, el uso sin conexión, sus \
recibos y sus derechos funcionan sin ella.

Cómo parar. En cualquier momento, también al volante, en un paso. Desde entonces su ubicación deja de tratarse. \
Lo que se hizo antes sigue siendo lícito.

Sus derechos. Puede preguntar qué se guarda sobre usted, pedir que se corrija, pedir que se borre por \
los motivos que nombra la política, y pedir que se explique una decisión automática. Puede que deba mostrar \
quién es. Recibe respuesta en 30 días, y un motivo si \
es negativa.

Personas adultas. El servicio es para personas adultas. Por un menor decide su padre, madre o tutor.

Cambios. Si cambian el fin, los tipos de datos, la forma de tratarlos, el dueño o los destinatarios principales, \
se le pregunta de nuevo. De otros cambios importantes se le informa.
""",
)

CROSS_BORDER: Final = NoticeText(
    locale="es",
    reviewed=False,
    title="¿Enviar su ubicación fuera de China continental?",
    who="ZhiJian (product@zjinnova.com), en la dirección del servicio que se muestra con esta pregunta.",
    what="Su ubicación en China continental: coordenadas con hora, exactitud, altitud, velocidad y rumbo.",
    why="El servicio de navegación configurado está fuera de China continental, y con ella le guía.",
    how_to_stop="Puede parar cuando quiera, con la misma facilidad. Su ubicación allí deja entonces de enviarse.",
    allow="Permitir",
    deny="No permitir",
    full="""\
Su ubicación sale de China continental

Este aviso acompaña a la política de privacidad de KALOS, actualizada el 1 de febrero de 2024 y vigente desde el \
18 de marzo de 2024. Se añade a su consentimiento para la navegación y puede rechazarse por sí solo.

Quién la recibe. Beijing ZhiJian Software Co., Ltd. («ZhiJian»), en la dirección del servicio que se muestra con \
esta pregunta, fuera de China continental. Contacto: product@zjinnova.com.

Qué. Su ubicación mientras está en China continental: coordenadas con su hora, exactitud, altitud, velocidad y \
dirección de marcha, con la exactitud que permitió para la navegación.

Por qué y cómo. Para guiarle, porque el servicio de navegación configurado en este dispositivo está allí. Se \
envía cifrada y se usa solo para la navegación.

Qué puede suponer para usted. Dónde está y adónde va es información delicada, y allí pueden regir otras leyes.

Si dice que no. Ninguna ubicación en China continental se envía a ese servicio. Fuera de ella la navegación \
continúa, y una ruta entre dos lugares que usted escriba funciona en todas partes.

Cómo parar. En cualquier momento, también al volante, en un paso.

Sus derechos. Por el contacto de arriba, como para la navegación: preguntar qué se guarda sobre usted, pedir que \
se corrija, pedir que se borre por los motivos que nombra la política, pedir que se explique una decisión \
automática. Recibe respuesta en 30 días.

Personas adultas. El servicio es para personas adultas. Por un menor decide su padre, madre o tutor.
""",
)
