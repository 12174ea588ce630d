"""The default notices in English. Reviewed."""

from __future__ import annotations

from typing import Final

from ...model.notice import NoticeText

__all__ = ["CROSS_BORDER", "NAVIGATION"]

NAVIGATION: Final = NoticeText(
    locale="en",
    title="Share your location for navigation?",
    who="Beijing ZhiJian Software Co., Ltd. (“ZhiJian”), which provides KALOS Connect.",
    what="Your precise location: coordinates with time, accuracy, altitude, speed and direction.",
    why="To give you navigation in the Connect feature, and for nothing else.",
    how_to_stop="Stop at any time, as easily as you allow it now. From then on no location is sent.",
    allow="Allow",
    deny="Don’t allow",
    full="""\
Your location in KALOS Connect

This notice goes with the KALOS privacy policy, updated 1 February 2024 and in effect since 18 March 2024.

Who. Beijing ZhiJian Software Co., Ltd. (“ZhiJian”). Contact: product@zjinnova.com.

What. Your precise location: coordinates with their time, accuracy, altitude, speed and direction of travel. If you \
choose “approximate”, only the area of a few square kilometres that you are in, without altitude, speed and direction.

Why it is needed. To find a route from where you are and to guide you along it. It is used for nothing else; for any \
other purpose you would be asked first.

What it can mean for you. Where you are and where you go is sensitive: it can show where you live, work or whom you \
visit. That is why you are asked separately, and why the receipt on this device records what you agreed to.

How. This device sends it, encrypted, to the Connect service, and only while you allow it. No cookies are used. Nobody \
else receives it unless you agree to that recipient. If ZhiJian is taken over, you are asked again.

Where. What is collected in the People’s Republic of China is stored there. It goes abroad only with a separate \
consent of yours, or after what tells that it is yours was removed.

If you say no. Nothing else is lost: a route between two places that you enter yourself, offline use, your receipts \
and your rights work without it.

How to stop. At any time, while driving too, in one step. From then on your location is no longer processed. What was \
done with it before stays lawful.

Your rights. You can ask what is held about you, have it corrected, have it deleted for the reasons that the policy \
names, and ask how an automated decision was made. You may be asked to show who you are. You get an answer \
within 30 days, and a reason if it is no.

Adults. The service is for adults. For a minor, a parent or guardian decides.

Changes. If the purpose, the kinds of data, the way they are handled, the owner or the main recipients change, you are \
asked again. You are told about other important changes.
""",
)

CROSS_BORDER: Final = NoticeText(
    locale="en",
    title="Send your location out of mainland China?",
    who="ZhiJian (product@zjinnova.com), at the service address that is shown with this question.",
    what="Your location while you are in mainland China: coordinates with time, accuracy, altitude, speed, direction.",
    why="The navigation service set up here is outside mainland China, and guides you with it.",
    how_to_stop="Stop at any time, as easily as you allow it now. Your location there is then not sent.",
    allow="Allow",
    deny="Don’t allow",
    full="""\
Your location leaves mainland China

This notice goes with the KALOS privacy policy, updated 1 February 2024 and in effect since 18 March 2024. It comes on \
top of your consent to navigation and can be refused on its own.

Who receives it. Beijing ZhiJian Software Co., Ltd. (“ZhiJian”), at the service address that is shown with this \
question, outside mainland China. Contact: product@zjinnova.com.

What. Your location while you are in mainland China: coordinates with their time, accuracy, altitude, speed and \
direction of travel, as exact as you allowed for navigation.

Why and how. To guide you, because the navigation service set up on this device stands there. It is sent encrypted and \
used for navigation only.

What it can mean for you. Where you are and where you go is sensitive, and other laws may apply to it there.

If you say no. No location in mainland China is sent to that service. Outside mainland China navigation goes on, and a \
route between two places that you enter yourself works everywhere.

How to stop. At any time, while driving too, in one step.

Your rights. Through the contact above, as for navigation: to ask what is held about you, to have it corrected, to \
have it deleted for the reasons that the policy names, to have an automated decision explained. You get an \
answer within 30 days.

Adults. The service is for adults. For a minor, a parent or guardian decides.
""",
)
