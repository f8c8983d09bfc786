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
from cycle_sound.io import memory
def anonymous():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("RssAnon"))
for word in sys.argv[1:]:
    getattr(memory, word)()
np.ones(3 << 20)  # freed, it moves the threshold up
before = anonymous()
blocks = [np.ones(size) for size in 40 * (1 << 18, 1 << 10)]  # of 2 MiB each, and small ones between them
del blocks[::2]
print(anonymous() - before)
"""
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")


def told(program: str, *words: str) -> int:
    done = subprocess.run([sys.executable, "-c", program, *words], check=True, capture_output=True, text=True)
    return int(done.stdout)


@glibc
@pytest.mark.parametrize("words", [["keep_freed"], ["give_back", "keep_freed"]])
def test_what_is_freed_is_kept_for_what_is_asked_for_next(words: list[str]) -> None:
    pages = 10 * (64 << 20) // resource.getpagesize()
    assert told(PROGRAM, *words) < pages / 20 < told(PROGRAM)


@glibc
@pytest.mark.parametrize("words", [["give_back"], ["keep_freed", "give_back"]])
def test_large_blocks_that_are_freed_are_given_back_whatever_lies_between_them(words: list[str]) -> None:
    large = 40 * (2 << 20)
    assert told(HOLES, *words) < large / 20 < large * 0.9 < told(HOLES)


@pytest.mark.parametrize(("given", "found"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_soon_sleep_unless_the_user_says_else(given: dict[str, str], found: str) -> None:
    program, environment = "import os, cycle_sound; print(os.environ['GOMP_SPINCOUNT'])", {"PYTHONPATH": ROOT, **given}
    told = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert told.stdout.strip() == found
