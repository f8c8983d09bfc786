"""How the memory is used that a process frees again and again: by glibc's allocator; elsewhere nothing is done.

By default its threshold, from which on a block is one of the system's own, moves up with what is freed, to 32 MB. Of
`keep_freed` and `give_back` the later call holds.
"""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of mallopt's parameters in glibc's malloc.h
LARGEST_BLOCK = 32 << 20  # bytes: the most that glibc takes for MMAP_THRESHOLD
MOST_KEPT = 2**31 - 1  # bytes, in each of its arenas: the most that mallopt takes
LARGE_BLOCK = 1 << 20  # bytes; from 2 MiB on, an evaluation of 2,000 pairs takes 850 MB in place of 590
LEAST_KEPT = 128 << 10  # bytes: glibc's own, at first


def keep_freed() -> None:
    """Keep what this process frees, for what it asks for next.

    It gives blocks of megabytes back to the system else, and getting one again costs a page fault for every 4 kB of it:
    a tenth of a training's time, and a fifth of sharding's.
    """
    _set(MOST_KEPT, LARGEST_BLOCK)


def give_back() -> None:
    """Give blocks of a MiB and more straight back to the system when they are freed.

    Else they lie in the heap, where the few values that stay of each batch cut up the room: an evaluation of 4,000
    pairs took 1,348 MB for 616 now, one of 400 took 676 for 577. It costs page faults, on a virtual machine a third
    more processor time, and what other stages free leaves no such holes. All figures: benchmarks/README.md.
    """
    _set(LEAST_KEPT, LARGE_BLOCK)


def _set(kept: int, block: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(TRIM_THRESHOLD, kept)
        mallopt(MMAP_THRESHOLD, block)
