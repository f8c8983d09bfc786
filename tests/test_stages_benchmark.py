"""The benchmark of whole stages: with few steps the models and their batches are still the preset's."""

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import stages
from cycle_sound import params as parameters
from cycle_sound.io import params_file

ROOT = Path(__file__).resolve().parents[1]
PRESET = params_file.preset("vggsound", ROOT / params_file.PRESETS)
TORCH = """
class cuda:
    is_initialized = staticmethod(lambda: True)
    max_memory_allocated = staticmethod(lambda: 3_000_000_000)
"""


def test_with_few_steps_every_training_keeps_the_presets_batch() -> None:
    given = stages.values("vggsound", 7, None)
    for key, value in PRESET.items():
        if key.endswith(("batch_size", "accumulation")):
            assert given[key] == value
        if key.endswith("optimizer.steps"):
            assert given[key] == 7


def test_another_batch_is_of_every_training_and_nothing_else_changes(tree: dict[str, Any]) -> None:
    given, few = stages.values("vggsound", 7, None), stages.values("vggsound", 7, 4)
    changed = {key for key in few if given.get(key) != few[key]}
    assert {key.rpartition(".")[2] for key in changed} == {"batch_size", "accumulation"}
    assert {few[key] for key in few if key.endswith("batch_size")} == {4}
    trained = {key.removesuffix("steps") for key in few if key.endswith("optimizer.steps")}
    assert {key.removesuffix("batch_size") for key in changed if key.endswith("batch_size")} == trained
    params_file.put(tree, few)
    parameters.parse(tree)


def test_the_most_memory_of_a_gpu_that_any_process_was_allotted_is_told(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(TORCH, encoding="utf-8")
    started = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import torch'], check=True)"
    assert stages.cost([sys.executable, "-c", started], tmp_path).gpu_gigabytes == pytest.approx(3.0)
    assert stages.cost([sys.executable, "-c", "pass"], tmp_path).gpu_gigabytes == 0
