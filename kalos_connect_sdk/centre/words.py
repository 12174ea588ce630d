"""The labels of the consent centre."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from ..prompts.catalogue import N_, in_language

__all__ = ["CentreWords", "ReviewWords", "centre_words", "review_words"]


@dataclass(frozen=True, slots=True)
class CentreWords:
    """One language's labels. ``asked`` takes ``{date}`` and ``{state}``, ``due`` and ``until`` ``{date}``, ``allowed``
    ``{purpose}`` and ``{precision}``, ``positions`` ``{purpose}`` and ``{n}``."""

    title: str = N_("Your location")
    sharing: str = N_("Location is being sent now.")
    granted: str = N_("Location is allowed. Nothing is being sent at the moment.")
    off: str = N_("Location is off. Nothing precise is sent.")
    deferred: str = N_("Location is off. You are asked when parked.")
    denied: str = N_("Location is off: the system or the vehicle does not allow it.")
    unavailable: str = N_("Location is off: it cannot be used on this device at the moment.")
    allowed: str = N_("Allowed for {purpose}: {precision}")
    until: str = N_("Until {date}")
    stop: str = N_("Stop sharing my location")
    stopped: str = N_("Stopped. Nothing precise leaves this device any more, and what was waiting is gone.")
    stopping: str = N_("Stopped here. Another program has not let go yet; it goes on in the background.")
    ask: str = N_("Ask me")
    ask_when_parked: str = N_("Ask when parked")
    last_day: str = N_("Sent in the last 24 hours")
    last_week: str = N_("Sent in the last 7 days")
    positions: str = N_("{purpose}: {n} positions")
    receipts: str = N_("Receipts")
    given: str = N_("agreed")
    renewed: str = N_("agreed again")
    withdrawn: str = N_("withdrawn")
    revoked: str = N_("revoked")
    expired: str = N_("expired")
    invalidated: str = N_("no longer valid")
    no_receipt: str = N_("You were never asked, or never agreed.")
    rights: str = N_("Your rights")
    copy: str = N_("Save a copy of everything kept here")
    delete: str = N_("Have everything deleted")
    explain: str = N_("Ask how decisions are made")
    asked: str = N_("Asked on {date}: {state}")
    due: str = N_("an answer is owed by {date}")
    pending: str = N_("not yet heard by the service")
    received: str = N_("received")
    identity: str = N_("the service has to know who is asking")
    completed: str = N_("done")
    refused: str = N_("refused")
    deletion: str = N_("Deletion")
    access: str = N_("Access")
    explanation: str = N_("Explanation")
    parked_only: str = N_("The rest is shown when parked.")
    failed: str = N_("That did not work. Please try again.")
    gone: str = N_("This page is no longer connected.")


@dataclass(frozen=True, slots=True)
class ReviewWords:
    """One language's words for the review after a drive, by outcome. ``times`` takes ``{n}``."""

    title: str = N_("While you were driving")
    seen: str = N_("I have read this")
    deferred: str = N_("A question about your location was put off.")
    closed: str = N_("A question about your location was closed because the vehicle left park.")
    dismissed: str = N_("A question about your location was closed without an answer.")
    failed: str = N_("A question about your location could not be asked.")
    refused: str = N_("Location was refused.")
    allowed: str = N_("Location was allowed.")
    changed: str = N_("What is allowed of your location was changed.")
    withdrawn: str = N_("Sharing your location was stopped.")
    revoked: str = N_("Your consent was revoked.")
    revoked_by_service: str = N_("The service ended your consent.")
    revoked_by_os: str = N_("The system took the location permission away, and your consent ended.")
    revoked_by_vehicle: str = N_("The vehicle's privacy switch ended your consent.")
    revoked_by_profile: str = N_("Your consent ended: this profile needs a guardian's.")
    expired: str = N_("Your consent ran out.")
    invalidated: str = N_("Your consent ended because what it was given for has changed.")
    reset: str = N_("The record of your consent was begun anew.")
    abroad: str = N_("Transfer abroad")
    times: str = N_("{n} times")


@cache
def centre_words(locale: str) -> CentreWords:
    """The labels for ``locale``; English where there are none."""
    return in_language(CentreWords(), locale)


@cache
def review_words(locale: str) -> ReviewWords:
    """The words for ``locale``; English where there are none."""
    return in_language(ReviewWords(), locale)
