"""Holding groups out by a hash of their name: stable when clips come or go, and never a group on two sides."""

import hashlib
from collections.abc import Iterable


def order(name: str) -> str:
    """A fixed pseudo-random sort key of a name."""
    return hashlib.sha256(name.encode()).hexdigest()


def held_out(groups: Iterable[str], share: float) -> set[str]:
    """About `share` of the groups: those whose hash falls below it; of two groups or more at least one, never all."""
    ordered = sorted(set(groups), key=order)
    below = sum(int(order(group)[:8], 16) < share * 16**8 for group in ordered)
    if share > 0:
        below = max(below, 1)
    return set(ordered[: min(below, len(ordered) - 1)])
