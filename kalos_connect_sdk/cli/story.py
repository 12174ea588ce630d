"""The demo's sentences, in the languages the notice ships in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..model.consent import Precision

__all__ = ["Story", "story_for"]


@dataclass(frozen=True, slots=True)
class Story:
    """One language's sentences; braces are filled in by the demo."""

    opening: str
    service: str
    service_value: str
    state: str
    state_value: str
    asked: str
    allowed: str
    precision: dict[Precision, str]
    not_allowed: str
    typed_route: str
    from_to: str
    your_route: str
    no_route: str
    recording: str
    streaming: str
    positions: str
    lost: str
    withdrawing: str
    withdrawn: str
    complete: str
    incomplete: str
    numbers: str
    accepted: str
    sent: str
    dropped: str
    aborted: str
    possibly: str
    held_before: str
    held_after: str
    after: str
    after_note: str
    one_more: str
    refused: str
    not_refused: str
    receipt: str
    closing: str
    closing_bad: str


_ENGLISH: Final = Story(
    opening="kalos-connect: location leaves only while you allow it",
    service="service",
    service_value="{url}: a real one, behind a link as slow as a mobile network",
    state="state",
    state_value="a temporary directory, keys in memory",
    asked="1  The question",
    allowed="You allowed {precision} location.",
    precision={Precision.PRECISE: "precise", Precision.APPROXIMATE: "approximate"},
    not_allowed="No consent, no location: nothing was sent. Everything that needs no location still works:",
    typed_route="Without your location",
    from_to="{origin} to {destination}",
    your_route="2  The way",
    no_route="The demo's map (Helsinki) does not cover this recording, so there is no route to show.",
    recording="the recording {name}",
    streaming="3  The drive, {speed:g} times faster than life",
    positions="positions",
    lost="Consent ended. The car drives on, its location stays.",
    withdrawing="4  Halfway, you withdraw",
    withdrawn="withdraw() returned after {elapsed_ms:.1f} ms: {complete}.",
    complete="complete",
    incomplete="NOT complete",
    numbers="What happened to the positions",
    accepted="accepted while you allowed it",
    sent="acknowledged by the service before you withdrew",
    dropped="dropped on this device, their keys destroyed",
    aborted="requests cut while in flight",
    possibly="of these, whose positions may have arrived",
    held_before="held by the service when you withdrew",
    held_after="held by the service now",
    after="bytes of positions received after withdraw() returned",
    after_note="The last three numbers were counted by the service, not by the SDK.",
    one_more="5  One more position",
    refused="submit() refused it: ConsentRequired, reason {reason}.",
    not_refused="submit() accepted it. That must never happen.",
    receipt="6  The evidence",
    closing="Verified offline with the public key alone. Nothing of this demo stays on your disk.",
    closing_bad="Something above is not as promised.",
)

_CHINESE: Final = Story(
    opening="kalos-connect：只有在您允许时，位置信息才会离开设备",
    service="服务",
    service_value="{url}（真实服务，链路延迟如同移动网络）",
    state="状态",
    state_value="临时目录，密钥仅在内存中",
    asked="1  询问",
    allowed="您已允许使用{precision}位置。",
    precision={Precision.PRECISE: "精确", Precision.APPROXIMATE: "大致"},
    not_allowed="没有同意，就没有位置：未发送任何数据。不需要位置的功能照常可用：",
    typed_route="不使用您的位置",
    from_to="{origin} 至 {destination}",
    your_route="2  路线",
    no_route="演示地图（赫尔辛基）不包含此记录所在区域，因此没有路线可显示。",
    recording="记录 {name}",
    streaming="3  行驶，速度为实际的 {speed:g} 倍",
    positions="位置",
    lost="同意已结束。车辆继续行驶，位置不再外发。",
    withdrawing="4  途中，您撤回同意",
    withdrawn="withdraw() 在 {elapsed_ms:.1f} 毫秒后返回：{complete}。",
    complete="已完成",
    incomplete="未完成",
    numbers="这些位置的去向",
    accepted="同意期间接受的位置",
    sent="撤回之前服务已确认收到的位置",
    dropped="在设备上丢弃的位置，其密钥已销毁",
    aborted="传输中被切断的请求",
    possibly="其中位置可能已送达的请求",
    held_before="撤回时服务持有的位置",
    held_after="服务现在持有的位置",
    after="withdraw() 返回之后服务收到的位置字节数",
    after_note="最后三个数字由服务统计，而非由 SDK 统计。",
    one_more="5  再提交一个位置",
    refused="submit() 已拒绝：ConsentRequired，原因 {reason}。",
    not_refused="submit() 接受了它。这绝不应发生。",
    receipt="6  凭证",
    closing="仅凭公钥即可离线验证。本演示不会在您的磁盘上留下任何内容。",
    closing_bad="以上结果与承诺不符。",
)


def story_for(locale: str) -> Story:
    """The sentences for a locale; English where there are none."""
    return _CHINESE if locale.lower().startswith("zh") else _ENGLISH
