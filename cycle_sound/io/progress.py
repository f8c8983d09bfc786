"""Progress of a long loop: a bar in a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

INTERVAL = 10.0  # seconds between two lines of a log


def track(iterable: Iterable[T], total: int, what: str, note: Callable[[], str] | None = None) -> Iterator[T]:
    """Yield the items of `iterable`, `total` of them, and report the rate and the time left on stderr.

    `what` names the work; `note` is called for each report, for a few words to show after it (such as a loss).
    """
    return _bar(iterable, total, what, note) if sys.stderr.isatty() else _lines(iterable, total, what, note)


def _bar(iterable: Iterable[T], total: int, what: str, note: Callable[[], str] | None) -> Iterator[T]:
    with tqdm(total=total, desc=what, dynamic_ncols=True) as bar:
        for item in iterable:
            yield item
            if bar.update() and note:  # true when the bar was redrawn: a note that reads a loss may cost a sync
                bar.set_postfix_str(note(), refresh=False)


def _lines(iterable: Iterable[T], total: int, what: str, note: Callable[[], str] | None) -> Iterator[T]:
    start = last = time.monotonic()
    for done, item in enumerate(iterable, 1):
        yield item
        now = time.monotonic()
        if now - last >= INTERVAL or done == total:
            last = now
            rate = done / max(now - start, 1e-9)
            left = f"{(total - done) / rate:.0f} s left" if done < total else f"{now - start:.0f} s in all"
            parts = [f"{what}: {done}/{total} ({100 * done // total} %)", f"{rate:.1f}/s", left]
            print(", ".join([*parts, note()] if note else parts), file=sys.stderr, flush=True)
