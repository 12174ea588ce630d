"""AsyncConnect: the same surface for asyncio, and a withdrawal that nothing holds up (R11)."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kalos_connect_sdk import (
    AssertedParked,
    AsyncConnect,
    Config,
    Connect,
    ConsentLost,
    ConsentRequired,
    KalosConnectError,
    Place,
    Position,
    Progress,
    PromptAnswer,
    Reason,
)
from kalos_connect_sdk.sources import PushSource
from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.testing import ScriptedPrompter

HERE = (60.1699, 24.9384)


@pytest.fixture
def opened(tmp_path: Path, service) -> Callable[..., Any]:
    @asynccontextmanager
    async def one(**options: Any) -> AsyncIterator[AsyncConnect]:
        config = Config(service_url=service.url, state_dir=tmp_path / "state", vault=f"file:{tmp_path / 'vault'}")
        options.setdefault("prompter", ScriptedPrompter(PromptAnswer.allow()))
        connect = AsyncConnect("com.example.async", config=config, vehicle=AssertedParked("a test bench"), **options)
        async with connect:
            yield connect
        directory = StateDirectory.open("com.example.async", None, str(tmp_path / "state"))
        DataKeys.choose(directory, None).remove()

    return one


def run(main: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 30))


def walk(count: int) -> list[Position]:
    begun = datetime.now(UTC) - timedelta(seconds=5)
    return [Position(60 + i * 1e-4, 24.9, time=begun + timedelta(milliseconds=i)) for i in range(count)]


def test_the_surface_is_that_of_connect():
    names = {name for name in vars(Connect) if not name.startswith("_")} - {"request_permission_future"}
    assert names <= set(dir(AsyncConnect))
    for name in names:
        one, other = getattr(Connect, name), getattr(AsyncConnect, name)
        if inspect.isfunction(one):
            assert list(inspect.signature(one).parameters) == list(inspect.signature(other).parameters), name


def test_the_whole_path(opened, service):
    async def main() -> None:
        async with opened() as connect:
            assert (await connect.permission()).reason is Reason.NOT_ASKED
            heard: asyncio.Queue = asyncio.Queue()
            unsubscribe = connect.on_change(heard.put_nowait)
            assert (await connect.request_permission(user_action=True)).granted
            assert (await heard.get()).granted, "told on the loop"
            assert (await connect.submit(Position(*HERE))).accepted
            assert connect.sharing
            assert (await connect.flush()).sent == 1
            assert len((await connect.route(Place(60.2, 24.9), locale="en")).line) > 1
            assert len((await connect.route(Place(60.2, 24.9), origin=Place(60.1, 24.9))).line) > 1
            assert (await connect.withdraw()).complete
            while (await heard.get()).reason is not Reason.WITHDRAWN:
                pass
            unsubscribe()
            assert await connect.wait_for_notices()
            assert len(await connect.receipts()) == 1
            assert {row["name"] for row in await connect.doctor()} >= {"state", "vault", "clock", "service"}
            assert os.path.isdir(connect.state_path)
            await connect.reset()
            assert (await connect.request_permission(user_action=True)).epoch == 2
            with pytest.raises(ConsentRequired):
                await connect.withdraw()
                await connect.submit(Position(*HERE))

    run(main)
    assert [w["epoch"] for w in service.withdrawals] == [1, 2]


def test_a_drive_is_an_asynchronous_iterable(opened, service):
    async def main() -> None:
        async with opened() as connect:
            await connect.request_permission(user_action=True)
            source = PushSource()
            async with connect.drive(source) as drive:
                assert drive.running
                for position in walk(5):
                    source.put(position)
                source.close()
                events = [event async for event in drive]
                assert events and all(isinstance(event, Progress) for event in events)
                assert await drive.wait(5) and not drive.running
                assert drive.stats.sent == 5

    run(main)


def test_leaving_the_block_stops_the_drive_also_by_an_error(opened):
    async def main() -> None:
        async with opened() as connect:
            await connect.request_permission(user_action=True)
            with pytest.raises(KeyError):
                async with connect.drive(PushSource()) as drive:
                    raise KeyError
            assert not drive.running

    run(main)


def test_a_withdrawal_reaches_whoever_iterates(opened):
    async def main() -> None:
        async with opened() as connect:
            await connect.request_permission(user_action=True)
            async with connect.drive(PushSource()) as drive:
                listening = asyncio.create_task(collect(drive))
                assert (await connect.withdraw()).complete
                lost = [event for event in await listening if isinstance(event, ConsentLost)]
                assert [event.reason for event in lost] == [Reason.WITHDRAWN]

    run(main)


async def collect(drive: Any) -> list[Any]:
    return [event async for event in drive]


def test_r11_a_cancelled_withdrawal_still_completes(opened, service):
    async def main() -> None:
        async with opened() as connect:
            await connect.request_permission(user_action=True)
            await connect.submit(Position(*HERE))
            withdrawing = asyncio.create_task(connect.withdraw())
            await asyncio.sleep(0)  # it has begun
            withdrawing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await withdrawing
            assert await asyncio.to_thread(service.wait_for, lambda s: s.withdrawals)
            assert (await connect.permission()).reason is Reason.WITHDRAWN
            assert (await connect.flush()).sent == 0

    run(main)
    assert service.positions == []


def test_r11_a_loop_that_ends_at_once_does_not_stop_a_withdrawal(opened, service, tmp_path):
    async def main() -> None:
        async with opened() as connect:
            await connect.request_permission(user_action=True)
            withdrawing = asyncio.ensure_future(connect.withdraw())
            await asyncio.sleep(0)
            raise KeyError(withdrawing)

    with pytest.raises(KeyError):
        run(main)

    async def later() -> None:  # closing came in between: then the next to open tells the service
        async with opened() as connect:
            assert (await connect.permission()).reason is Reason.WITHDRAWN
            assert await connect.wait_for_notices()

    run(later)
    assert [w["epoch"] for w in service.withdrawals] == [1]


def test_r11_withdrawing_waits_for_no_call_that_fills_the_loops_pool(opened):
    async def main() -> None:
        async with opened() as connect:
            await connect.request_permission(user_action=True)
            await connect.permission()
            release = threading.Event()
            busy = [asyncio.create_task(asyncio.to_thread(release.wait, 20)) for _ in range(64)]
            await asyncio.sleep(0)
            try:
                assert (await asyncio.wait_for(connect.withdraw(), 5)).complete
            finally:
                release.set()
                await asyncio.gather(*busy)

    run(main)


def test_a_cancelled_request_leaves_the_prompt_to_the_others(opened):
    prompter = ScriptedPrompter(None)

    async def main() -> None:
        async with opened(prompter=prompter) as connect:
            first = asyncio.create_task(connect.request_permission(user_action=True))
            second = asyncio.create_task(connect.request_permission(user_action=True))
            while not prompter.requests:
                await asyncio.sleep(0.005)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            prompter.requests[0].answer(PromptAnswer.allow())
            assert (await second).granted and len(prompter.requests) == 1

    run(main)


def test_a_future_of_a_prompt_cannot_be_cancelled_for_everybody(make):
    prompter = ScriptedPrompter(None)
    connect = make(prompter=prompter)
    future = connect.request_permission_future(user_action=True)
    assert not future.cancel()
    while not prompter.requests:
        threading.Event().wait(0.005)
    prompter.requests[0].answer(PromptAnswer.allow())
    assert future.result(5).granted


def test_a_loop_that_is_closed_is_told_nothing_more(opened):
    connects = []

    async def main() -> None:
        connect = AsyncConnect("com.example.async", config=Config(vault="memory", state_dir=connects[0]))
        connect.on_change(lambda permission: None)
        connects.append(connect)

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        connects.append(os.path.join(folder, "state"))
        run(main)
        inner = connects[1]._connect
        from kalos_connect_sdk.aio import _soon

        loop = asyncio.new_event_loop()
        loop.close()
        _soon(loop, lambda permission: None, inner.permission())
        inner.withdraw()
        inner.close()


def test_a_closed_facade_says_so(opened):
    async def main() -> None:
        async with opened() as connect:
            await connect.permission()
            await connect.close()
            await connect.close()
            with pytest.raises(KalosConnectError, match="closed"):
                await connect.permission()

    run(main)
