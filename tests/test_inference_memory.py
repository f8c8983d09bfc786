"""The benchmark of memory, which nobody runs for months, still goes over a corpus with every stage of inference."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.inference_memory import STAGES

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_the_memory_of_inference_is_measured(stage: str) -> None:
    around = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    words = [sys.executable, "-m", "benchmarks.inference_memory", stage, "8"]
    done = subprocess.run(words, cwd=ROOT, env=around, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) > 1e8  # bytes, of which torch alone takes more
