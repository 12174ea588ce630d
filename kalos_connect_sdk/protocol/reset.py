"""The way out of a locked state (R8): tombstone, notice, archive, new record. Runs on the keeper."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from ..errors import StateError, VaultUnavailable
from ..model.consent import Purpose
from ..storage.ledger import Ledger, NoticeRow
from ..storage.page import Page
from .ending import CAUSES
from .engine import Engine
from .rights import PREFIX
from .state import State

__all__ = ["reset"]


def reset(engine: Engine) -> None:
    """End everything, keep the old files aside, begin anew. No notice or request is lost; the epoch goes on above."""
    state = engine.state
    engine.ending.end(list(Purpose), CAUSES["subject"], 5.0)
    notices, requests = _pending(engine), _requests(engine)
    highest = {purpose: _highest(engine, purpose) for purpose in Purpose}
    stamp = datetime.fromtimestamp(time.time(), UTC).strftime("%Y%m%dT%H%M%S")
    if not state.page.intact():
        state.page = Page.renew(state.directory, stamp, highest)
    for purpose, epoch in highest.items():
        if epoch:
            state.page.set_granted(purpose, epoch)
            state.page.end(purpose, epoch)
            state.keys.raise_counter(purpose, epoch)
    _begin_anew(state, stamp, notices, requests)
    _raise_vault(state, highest)
    engine.ending.unfinished.clear()


def _begin_anew(state: State, stamp: str, notices: Sequence[NoticeRow], settings: Mapping[str, str]) -> None:
    """A fresh history that keeps the pending notices and requests, put in the old one's place when it holds them, so
    that a power cut loses none (R5). Raises :class:`StateError`; then the old one stands."""
    old, draft = state.ledger, Ledger.draft(state.directory)
    state.ledger = draft
    done = False
    try:
        state.forget_history()
        state.reload()
        state.commit(
            [state.event("reset", purpose, 0, cause="subject") for purpose in Purpose],
            add_notices=notices,
            meta={**settings, "ram": state.keys.location},
        )
        old.close()
        draft.take_place(stamp)
        done = True
    finally:
        if not done:
            draft.discard()
            state.ledger = old
            state.forget_history()
            state.reload()


def _raise_vault(state: State, ended: Mapping[Purpose, int]) -> None:
    """R7: the counters go on above, in the vault too."""
    try:
        state.secret = state.identity.load()
    except VaultUnavailable:
        return  # the counter in the page and in RAM stands; the next withdrawal raises the vault's
    if state.secret is not None:
        state.save_secret(state.secret.raised(ended))


def _pending(engine: Engine) -> list[NoticeRow]:
    try:
        rows = engine.state.ledger.notices()
        due = [row for row in rows if row.awake or engine.state.page.ended(row.purpose, row.epoch)]
        return [row._replace(awake=True, withdrawn_at=row.withdrawn_at or engine.state.stamp()) for row in due]
    except StateError:
        return []  # the ledger cannot be read at all: its archive keeps what it holds


def _requests(engine: Engine) -> dict[str, str]:
    try:
        return engine.state.ledger.settings(PREFIX)
    except StateError:
        return {}


def _highest(engine: Engine, purpose: Purpose) -> int:
    state = engine.state
    try:
        ended = state.page.highest_ended(purpose)
    except StateError:
        ended = 0
    return max(ended, state.page.granted(purpose), state.snapshot.records[purpose].epoch, state.snapshot.floor[purpose])
