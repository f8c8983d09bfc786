"""The benchmark of memory, which nobody runs for months, still goes over a corpus with every stage of inference."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.inference_memory import STAGES

ROOT = Path(__file__).resolve().parents[1]


def most(stage: str, pairs: int) -> float:
    """Bytes."""
    return float(run(stage, str(pairs)).splitlines()[-1])


def run(*words: str) -> str:
    """What the benchmark says that a user runs in the root of the project, where nothing else says what to import."""
    around = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "benchmarks.inference_memory", *words]
    done = subprocess.run(command, cwd=ROOT, env=around, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_that_is_documented_starts_without_the_tests() -> None:
    assert "evaluate" in run("--help")


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_the_memory_of_inference_is_measured(stage: str) -> None:
    assert most(stage, 8) > 1e8  # torch alone takes more


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_an_evaluation_of_many_pairs_takes_hardly_more_memory_than_one_of_few() -> None:
    assert most("evaluate", 1500) < 1.1 * most("evaluate", 300)
