"""Who may lead, told from a Lease alone (design 9, KEP-589): no clock of another machine is ever compared with ours.

Promises: a lease that somebody holds is taken only after it was seen unchanged for its whole duration and the time that
a request of its holder may still be under way; a released one at once.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Held:
    """What a Lease object says.

    Args:
        holder: identity of who holds it, "" for nobody.
        duration: seconds for which it is held after each renewal.
        transitions: how often it changed hands.
        version: its resourceVersion: another one means that it was renewed.
    """

    holder: str
    duration: float
    transitions: int
    version: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """A Lease as it was first seen in this version; `since` in seconds of CLOCK_BOOTTIME, which no one sets."""

    held: Held
    since: float


def seen(before: Sighting | None, held: Held, now: float) -> Sighting:
    """The sighting after a look: the old one as long as nothing changed."""
    return before if before is not None and before.held == held else Sighting(held, now)


def takeable_in(sighting: Sighting, me: str, now: float, request_seconds: float) -> float:
    """Seconds until it may be taken, 0 for now.

    Args:
        me: our identity; a lease of ours is one whose answer did not reach us.
        request_seconds: time limit of one request: what its holder sent last may take so long to arrive.
    """
    if sighting.held.holder in ("", me):
        return 0.0
    return max(0.0, sighting.since + sighting.held.duration + request_seconds - now)


def valid(renewed_at: float | None, duration: float, now: float, request_seconds: float) -> bool:
    """Whether a write that is sent now arrives while we lead.

    Args:
        renewed_at: when the last renewal that succeeded was sent, in seconds of CLOCK_BOOTTIME; None: none did.
    """
    return renewed_at is not None and now + request_seconds < renewed_at + duration
