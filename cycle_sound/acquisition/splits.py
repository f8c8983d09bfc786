"""Shares of the groups by a hash of their names: stable when clips come or go, and no group on two sides."""

import hashlib
from collections.abc import Iterable, Mapping


def order(name: str) -> str:
    """A pseudo-random sort key of a name: its SHA-256 in hex."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()  # a file's name may be no UTF-8


def paired(groups: Iterable[str], share: float) -> set[str]:
    """About `share` (0 < share <= 1) of the groups, at least one, chosen by their own hash.

    A smaller share is a subset of a larger one.
    """
    hashes = {group: order(f"paired {group}") for group in groups}
    below = {group for group, found in hashes.items() if int(found[:8], 16) < share * 16**8}
    return below or set(sorted(hashes, key=hashes.__getitem__)[:1])


def tested(groups: Iterable[str], share: float) -> set[str]:
    """Like `held_out` with another hash, so that validation can be held out of the rest independently."""
    return _smallest({group: order(f"tested {group}") for group in groups}, share)


def held_out(groups: Iterable[str], share: float) -> set[str]:
    """About `share` (0 to 1) of the groups: those whose hash falls below it; of two or more at least one, never all."""
    return _smallest({group: order(group) for group in groups}, share)


def _smallest(hashes: Mapping[str, str], share: float) -> set[str]:
    """The groups whose hashes, scaled to [0, 1), are below `share`: at least one if `share` is above 0, never all."""
    ordered = sorted(hashes, key=hashes.__getitem__)
    below = sum(int(found[:8], 16) < share * 16**8 for found in hashes.values())
    if share > 0:
        below = max(below, 1)
    return set(ordered[: min(below, len(ordered) - 1)])
