"""The way out of a locked state (R8): tombstone, notice, archive, new record. Runs on the keeper."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from ..errors import StateError, StateUnreadable, VaultUnavailable
from ..model.consent import Purpose
from ..model.rights import MarkedBy
from ..storage.ledger import NAME, Ledger, NoticeRow
from ..storage.locks import Lease
from ..storage.page import Page
from ..storage.salvage import readable_notices
from .causes import CAUSES
from .engine import Engine
from .evidence import signed
from .rights import PREFIX
from .state import State

__all__ = ["reset"]

_LOCK_WAIT_S = 1.0


def reset(engine: Engine) -> None:
    """End everything, keep the old files aside, begin anew. No notice or request is lost; the epoch goes on above."""
    state = engine.state
    engine.ending.end(list(Purpose), CAUSES["subject"], 5.0)
    lease = _alone(state)
    try:
        _replace(engine)
    finally:
        if lease is not None:
            lease.release()
    engine.ending.unfinished.clear()


def _alone(state: State) -> Lease | None:
    """Behind the barrier no other program grants: what it recorded meanwhile would go into the archive, and its notice
    with it. None when one stands still there: reset() leads out all the same."""
    try:
        return state.barrier.exclusive(_LOCK_WAIT_S)
    except StateError:
        return None


def _replace(engine: Engine) -> None:
    state = engine.state
    notices, requests = _pending(engine), _requests(engine)
    highest = {purpose: _highest(engine, purpose, notices) for purpose in Purpose}
    stamp = datetime.fromtimestamp(time.time(), UTC).strftime("%Y%m%dT%H%M%S")
    if not state.page.intact():
        page = Page.renew(state.directory, stamp, highest)
        for purpose in Purpose:
            page.count_withdrawal(purpose)  # as on the old one: an Allow that was given before is void (R11)
        state.page = page
    for purpose, epoch in highest.items():
        if epoch:
            state.page.set_granted(purpose, epoch)
            state.page.end(purpose, epoch)
            _count_in_ram(engine, purpose, epoch)
    _begin_anew(state, stamp, notices, requests, _marked_by(engine))
    _raise_vault(state, highest)


def _begin_anew(
    state: State, stamp: str, notices: Sequence[NoticeRow], settings: Mapping[str, str], minor: str | None
) -> None:
    """A fresh history that keeps the pending notices and requests, and a minor's mark, put in the old one's place when
    it holds them, so that a power cut loses none (R5). Raises :class:`StateError`; then the old one stands."""
    old, draft = state.ledger, Ledger.draft(state.directory)
    state.ledger = draft
    done = False
    try:
        state.forget_history()
        state.reload()
        kinds = [("reset", "subject"), *([("minor", minor)] if minor else [])]
        state.commit(
            [state.event(kind, purpose, 0, cause=cause) for kind, cause in kinds for purpose in Purpose],
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
    """Every notice that can still be read: all that was granted is over now. Of a damaged ledger, the signed rows."""
    state = engine.state
    try:
        rows = state.ledger.notices()
        state.ledger.events()  # as a whole, or row by row
    except StateError:
        rows = [row for row in readable_notices(state.directory.path / NAME) if signed(row)]
    return [row._replace(awake=True, withdrawn_at=row.withdrawn_at or state.stamp()) for row in rows]


def _marked_by(engine: Engine) -> str | None:
    """R17: who marked the profile as a minor. A history that does not verify counts as well: a mark only tightens."""
    known = {by.value for by in MarkedBy}
    try:
        bodies = [json.loads(row.body) for row in engine.state.ledger.events() if b'"minor"' in row.body]
    except (StateError, ValueError, RecursionError):
        bodies = []
    causes = [body.get("cause") for body in bodies if isinstance(body, dict) and body.get("kind") == "minor"]
    if causes or any(record.minor for record in engine.state.snapshot.records.values()):
        return next((cause for cause in causes if cause in known), MarkedBy.APP.value)
    return None


def _requests(engine: Engine) -> dict[str, str]:
    try:
        return engine.state.ledger.settings(PREFIX)
    except StateError:
        return {}


def _count_in_ram(engine: Engine, purpose: Purpose, epoch: int) -> None:
    """The counter in RAM; an entry that is not ours makes way, and one out of reach leaves it to page and vault."""
    keys = engine.state.keys
    try:
        try:
            keys.raise_counter(purpose, epoch)
        except StateUnreadable:
            keys.remove()
            keys.raise_counter(purpose, epoch)
    except StateError:
        return


def _highest(engine: Engine, purpose: Purpose, notices: list[NoticeRow]) -> int:
    state = engine.state
    try:
        ended = state.page.highest_ended(purpose)
    except StateError:
        ended = 0
    known = [ended, state.page.granted(purpose), state.snapshot.records[purpose].epoch, state.snapshot.floor[purpose]]
    known += [row.epoch for row in notices if row.purpose is purpose]
    return max(*known, state.keys.epoch() if purpose is Purpose.NAVIGATION else 0)
