"""The notice that the service publishes: asked for once in a run, kept, and obeyed where it closes (R14).

What a person is shown is the app's own notice, always. Its absence, and an answer that cannot be read, change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..config import Config
from ..core.notices.published import concerns, dump, load, read_published
from ..model.consent import Purpose
from ..model.decision import Reason
from ..model.notice import Notice
from ..storage.failure import StorageFailure
from .causes import CAUSES, Cause
from .published import setting
from .state import State
from .view import View
from .worker import Worker

if TYPE_CHECKING:
    from ..transport.client import ServiceClient
    from ..transport.flight import Flight

__all__ = ["CLOSES", "Bulletin"]

CLOSES = {
    Reason.NOTICE_CHANGED: CAUSES["service-notice"],
    Reason.CONTROLLER_CHANGED: CAUSES["service-controller"],
}


class Bulletin:
    """Hears of the service's notice. Network on the courier's thread, commits on the keeper."""

    def __init__(
        self,
        state: State,
        config: Config,
        keeper: Worker,
        view: View,
        notices: Callable[[Purpose], Notice],
        client: Callable[[str], ServiceClient],
        end: Callable[[Purpose, Cause, int], None],
    ) -> None:
        self._state = state
        self._config = config
        self._keeper = keeper
        self._view = view
        self._notices = notices
        self._client = client
        self._end = end

    def ask(self, flight: Callable[[], Flight] | None = None) -> None:
        """Ask and obey. Raises :class:`TransportError` without an answer; the date of any answer counts, too (R13)."""
        url = self._config.service_url
        if not url:
            return
        client = self._client(url)
        if flight is not None:
            client.resolve()
        document = client.notice(self._config.locale, flight() if flight is not None else None)
        theirs = read_published(document) if document is not None else None
        if theirs is None:
            return
        purpose = concerns(theirs, {each.value: self._notices(each) for each in Purpose})
        if purpose is not None:
            self._keeper.call(lambda: self._hear(Purpose(purpose), theirs))
            self._obey(Purpose(purpose))

    def _hear(self, purpose: Purpose, theirs: Notice) -> None:
        """On the keeper: kept for receipts, for the next run, and for the other programs of this state."""
        said = dump(self._config.origin, theirs)
        if self._state.snapshot.published.get(purpose) == said or self._state.unreadable is not None:
            return
        if load(said, self._config.origin) is None:
            return  # it would not be believed when it is read again
        try:
            self._state.commit(meta={setting(purpose): said})
        except StorageFailure:
            pass  # the next run asks again

    def _obey(self, purpose: Purpose) -> None:
        reason = self._view.outdated(purpose)
        record = self._state.snapshot.records[purpose]
        if reason is not None and record.status.active:
            self._end(purpose, CLOSES[reason], record.epoch)
