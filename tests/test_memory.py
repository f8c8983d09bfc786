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
HOLES = """
import sys
import numpy as np
from cycle_sound.nn.measures import outside_heap
def held():
    lines = dict(line.split(":") for line in open("/proc/self/status"))
    return sum(int(lines[name].split()[0]) << 10 for name in ("RssAnon", "RssShmem"))
np.ones(3 << 20)  # freed, it moves the threshold up
before, kept, blocks = held(), [], []
for _ in range(200):
    blocks.append(np.ones(1 << 18))  # 2 MiB
    small = {"small": np.ones(1 << 10)}
    kept.append(outside_heap(small) if "outside" in sys.argv else small)
del blocks, small
print(held() - before)
"""


def told(program: str, *words: str) -> int:
    done = subprocess.run([sys.executable, "-c", program, *words], check=True, capture_output=True, text=True)
    return int(done.stdout)


glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")


@glibc
def test_what_is_freed_is_kept_for_what_is_asked_for_next() -> None:
    pages = 10 * (64 << 20) // resource.getpagesize()
    assert told(PROGRAM, "keep_freed") < pages / 20 < told(PROGRAM)


@glibc
def test_values_outside_the_heap_let_go_of_the_large_blocks_that_lay_between_them() -> None:
    large = 200 * (2 << 20)
    top = 2 * (24 << 20)  # bytes that glibc keeps at the end of its heap: twice the threshold
    assert told(HOLES, "outside") < top + large / 20 < large * 0.9 < told(HOLES)


@pytest.mark.parametrize(("given", "found"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_soon_sleep_unless_the_user_says_else(given: dict[str, str], found: str) -> None:
    program, environment = "import os, cycle_sound; print(os.environ['GOMP_SPINCOUNT'])", {"PYTHONPATH": ROOT, **given}
    told = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert told.stdout.strip() == found
