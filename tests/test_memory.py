"""What a process frees and asks for again."""

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[1])
BLOCKS = "[np.ones(1 << 20) for _ in range(8)]"  # of 8 MB each
PROGRAM = f"""
import resource, sys
import numpy as np
from cycle_sound.io import memory
for word in sys.argv[1:]:
    getattr(memory, word)()
{BLOCKS}
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    {BLOCKS}
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def told(*words: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_what_is_freed_is_kept_for_what_is_asked_for_next() -> None:
    pages = 10 * (64 << 20) // resource.getpagesize()
    assert told("keep_freed") < pages / 20 < told()


@pytest.mark.parametrize(("given", "found"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_soon_sleep_unless_the_user_says_else(given: dict[str, str], found: str) -> None:
    program, environment = "import os, cycle_sound; print(os.environ['GOMP_SPINCOUNT'])", {"PYTHONPATH": ROOT, **given}
    told = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert told.stdout.strip() == found
