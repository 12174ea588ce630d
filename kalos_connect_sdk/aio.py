"""AsyncConnect: the same surface for asyncio. Work runs on the facade's own threads; the loop never blocks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .connect import Connect
from .model.consent import Permission, Precision, Purpose
from .model.position import Place, Position
from .model.reports import FlushReport, Submission, WithdrawalReport
from .model.review import DriveReview
from .model.rights import DeletionReason, MarkedBy, PrivacyReport, RightsRequest
from .model.route import Route
from .protocol.one_process import OneProcess

if TYPE_CHECKING:
    from .core.record import Receipt
    from .model.events import DriveEvent, DriveStats, Guidance
    from .ports import LocationSource
    from .protocol.driving import Drive
    from .sources.push import PushSource

__all__ = ["AsyncConnect", "AsyncDrive", "AsyncPrivacy"]


class AsyncDrive:
    """A running drive as an asynchronous iterable of events."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive

    async def __aiter__(self) -> AsyncIterator[DriveEvent]:
        events = iter(self._drive)
        while (event := await asyncio.to_thread(next, events, None)) is not None:
            yield event

    @property
    def running(self) -> bool:
        """See :attr:`Drive.running`."""
        return self._drive.running

    @property
    def stats(self) -> DriveStats:
        """See :attr:`Drive.stats`."""
        return self._drive.stats

    @property
    def ahead(self) -> Guidance | None:
        """See :attr:`Drive.ahead`."""
        return self._drive.ahead

    async def follow(self, route: Route, *, reroute: bool = True) -> None:
        """See :meth:`Drive.follow`."""
        await asyncio.to_thread(partial(self._drive.follow, route, reroute=reroute))

    async def stop(self) -> None:
        """See :meth:`Drive.stop`."""
        await asyncio.to_thread(self._drive.stop)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """See :meth:`Drive.wait`."""
        return await asyncio.to_thread(self._drive.wait, timeout_s)


class AsyncPrivacy:
    """:class:`~.privacy.Privacy` for asyncio."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def report(self, days: int = 7) -> PrivacyReport:
        """See :meth:`Privacy.report`."""
        return await asyncio.to_thread(self._connect.privacy.report, days)

    async def export(self) -> dict[str, Any]:
        """See :meth:`Privacy.export`."""
        return await asyncio.to_thread(self._connect.privacy.export)

    async def request_deletion(self, reason: DeletionReason) -> RightsRequest:
        """See :meth:`Privacy.request_deletion`. Once begun it completes."""
        return await asyncio.shield(asyncio.to_thread(self._connect.privacy.request_deletion, reason))

    async def mark_as_minor(self, by: MarkedBy) -> RightsRequest | None:
        """See :meth:`Privacy.mark_as_minor`. Once begun it completes."""
        return await asyncio.shield(asyncio.to_thread(self._connect.privacy.mark_as_minor, by))

    async def request_access(self) -> RightsRequest:
        """See :meth:`Privacy.request_access`."""
        return await asyncio.to_thread(self._connect.privacy.request_access)

    async def request_explanation(self) -> RightsRequest:
        """See :meth:`Privacy.request_explanation`."""
        return await asyncio.to_thread(self._connect.privacy.request_explanation)

    async def requests(self) -> list[RightsRequest]:
        """See :meth:`Privacy.requests`."""
        return await asyncio.to_thread(self._connect.privacy.requests)


class AsyncConnect(OneProcess):
    """:class:`Connect` for asyncio. A cancelled ``withdraw()`` still completes (R11)."""

    def __init__(self, app_id: str, **options: Any) -> None:
        super().__init__()
        self._connect = Connect(app_id, **options)
        # R11: withdrawing waits for none of the calls that may fill the loop's own pool. No thread before it is used.
        self._withdrawing = ThreadPoolExecutor(1, "kalos-withdraw")

    def _after_fork(self) -> None:
        self._withdrawing = ThreadPoolExecutor(1, "kalos-withdraw")  # the parent's thread is not here

    async def __aenter__(self) -> AsyncConnect:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def permission(self, purpose: Purpose = Purpose.NAVIGATION) -> Permission:
        """See :meth:`Connect.permission`."""
        return await asyncio.to_thread(self._connect.permission, purpose)

    async def request_permission(
        self,
        purpose: Purpose = Purpose.NAVIGATION,
        *,
        precision: Precision = Precision.PRECISE,
        user_action: bool = False,
        guardian: str | None = None,
    ) -> Permission:
        """See :meth:`Connect.request_permission`."""
        ask = self._connect.request_permission_future
        asking = partial(ask, purpose, precision=precision, user_action=user_action, guardian=guardian)
        future = await asyncio.to_thread(asking)
        return await asyncio.shield(asyncio.wrap_future(future))

    async def ask_when_parked(
        self,
        purpose: Purpose = Purpose.NAVIGATION,
        *,
        precision: Precision = Precision.PRECISE,
        guardian: str | None = None,
    ) -> Permission:
        """See :meth:`Connect.ask_when_parked`; waits for the answer."""
        asking = partial(self._connect.ask_when_parked, purpose, precision=precision, guardian=guardian)
        future = await asyncio.to_thread(asking)
        return await asyncio.shield(asyncio.wrap_future(future))

    async def withdraw(self, purpose: Purpose | None = None, *, timeout_s: float = 5.0) -> WithdrawalReport:
        """See :meth:`Connect.withdraw`. Once begun it completes, whatever happens to the awaiting task."""
        withdraw = partial(self._connect.withdraw, purpose, timeout_s=timeout_s)
        try:
            work = asyncio.get_running_loop().run_in_executor(self._withdrawing, withdraw)
        except (
            RuntimeError
        ):  # the interpreter is shutting down (atexit) and gives no thread: the caller's does the work
            return withdraw()
        return await asyncio.shield(work)

    async def reset(self) -> None:
        """See :meth:`Connect.reset`."""
        await asyncio.to_thread(self._connect.reset)

    async def submit(self, position: Position) -> Submission:
        """See :meth:`Connect.submit`."""
        work = asyncio.get_running_loop().run_in_executor(None, self._connect.submit, position)
        del position  # R10: what is no Position may be a bare pair of numbers
        return await work

    async def flush(self, timeout_s: float | None = None) -> FlushReport:
        """See :meth:`Connect.flush`."""
        return await asyncio.to_thread(self._connect.flush, timeout_s)

    @asynccontextmanager
    async def drive(
        self,
        source: LocationSource | AsyncIterable[Position] | str | os.PathLike[str],
        *,
        route: Route | None = None,
        reroute: bool = True,
    ) -> AsyncIterator[AsyncDrive]:
        """See :meth:`Connect.drive`; stops at the end of the block.

        ``source`` may also be an asynchronous iterable of positions, read on this loop: the drive ends with it.
        """
        pushed: PushSource | None = None
        if isinstance(source, AsyncIterable):
            from .sources import push

            stream, source = source, (pushed := push.PushSource())
        begin = partial(self._connect.drive, source, route=route, reroute=reroute)
        drive = AsyncDrive(await asyncio.to_thread(begin))
        feeding = asyncio.ensure_future(push.feed(pushed, stream)) if pushed is not None else None
        try:
            yield drive
        finally:
            await asyncio.shield(asyncio.ensure_future(drive.stop()))
            if feeding is not None:
                feeding.cancel()  # an iterable that waits for its next position does not see that nobody reads
                await asyncio.wait((feeding,))

    async def route(self, to: Place, *, origin: Place | None = None, locale: str | None = None) -> Route:
        """See :meth:`Connect.route`."""
        return await asyncio.to_thread(partial(self._connect.route, to, origin=origin, locale=locale))

    def on_change(self, callback: Callable[[Permission], None]) -> Callable[[], None]:
        """Call ``callback`` on the running loop with every changed permission; returns an unsubscribe."""
        loop = asyncio.get_running_loop()
        return self._connect.on_change(lambda permission: _soon(loop, callback, permission))

    @property
    def sharing(self) -> bool:
        """See :attr:`Connect.sharing`."""
        return self._connect.sharing

    async def parked(self) -> bool:
        """See :attr:`Connect.parked`."""
        return await asyncio.to_thread(lambda: self._connect.parked)

    async def receipts(self) -> list[Receipt]:
        """See :meth:`Connect.receipts`."""
        return await asyncio.to_thread(self._connect.receipts)

    async def drive_review(self, *, driver_facing: bool = True) -> DriveReview | None:
        """See :meth:`Connect.drive_review`."""
        return await asyncio.to_thread(partial(self._connect.drive_review, driver_facing=driver_facing))

    async def drive_review_seen(self, review: DriveReview) -> None:
        """See :meth:`Connect.drive_review_seen`."""
        await asyncio.to_thread(self._connect.drive_review_seen, review)

    @property
    def privacy(self) -> AsyncPrivacy:
        """See :attr:`Connect.privacy`."""
        return AsyncPrivacy(self._connect)

    async def doctor(self) -> list[dict[str, Any]]:
        """See :meth:`Connect.doctor`."""
        return await asyncio.to_thread(self._connect.doctor)

    async def wait_for_notices(self, timeout_s: float = 5.0) -> bool:
        """See :meth:`Connect.wait_for_notices`."""
        return await asyncio.to_thread(self._connect.wait_for_notices, timeout_s)

    @property
    def state_path(self) -> Path:
        """See :attr:`Connect.state_path`."""
        return self._connect.state_path

    async def close(self) -> None:
        """See :meth:`Connect.close`."""
        await asyncio.shield(asyncio.to_thread(self._connect.close))


def _soon(loop: asyncio.AbstractEventLoop, callback: Callable[[Permission], None], permission: Permission) -> None:
    try:
        loop.call_soon_threadsafe(callback, permission)
    except RuntimeError:
        pass  # the loop has been closed: nobody is listening any more
