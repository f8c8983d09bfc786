"""Tuning of glibc's allocator for memory that is freed again and again; elsewhere a no-op."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of mallopt's parameters in glibc's malloc.h
LARGEST_BLOCK = 32 << 20  # bytes: the most that glibc takes for MMAP_THRESHOLD, above which a block is the system's own
MOST_KEPT = 2**31 - 1  # bytes, in each of its arenas: the most that mallopt takes


def keep_freed() -> None:
    """Keep what this process frees, for what it asks for next.

    Otherwise large blocks are returned to the system, and each reallocation costs a page fault per 4 kB: a tenth of a
    training's time, and a fifth of sharding's.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(TRIM_THRESHOLD, MOST_KEPT)
        mallopt(MMAP_THRESHOLD, LARGEST_BLOCK)
