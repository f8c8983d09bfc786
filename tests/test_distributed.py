"""Two processes learn what one learns: every model, by its own stage, over gloo."""

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# small steps: rounding may let the hard choice of a code fall the other way, and larger ones make much of that
OPTIMIZER = {"steps": 6, "batch_size": 8, "valid_every": 2, "learning_rate": 2e-3, "warmup": 50}
SMALL = {
    "classifier": {"dropout": 0.0, "optimizer": OPTIMIZER},  # dropout alone draws per process
    "vae": {"image": {"optimizer": OPTIMIZER}, "audio": {"optimizer": OPTIMIZER}},
    "transformer": {"audio_to_image": {"optimizer": OPTIMIZER}},
}
PREPARE = """
from cycle_sound.params import MODALITIES, load
from stages import cache_tokens, download, shard, train_vae

if __name__ == "__main__":
    download.main(load())
    shard.main(load())
    for modality in MODALITIES:
        train_vae.main(modality, load())
        cache_tokens.main(modality, load())
"""
TRAIN = """
import torch

from cycle_sound import device, distributed
from cycle_sound.params import load
from stages import train_classifier, train_transformer, train_vae

device.dtype = lambda where: torch.PRECISION
with distributed.joined():
    train_classifier.main("audio", load())
    train_transformer.main("audio_to_image", load())
    train_vae.main("image", load())
"""
TRAINED = ("train_classifier_audio", "train_transformer_audio_to_image", "train_vae_image")


def run(folder: Path, script: str, *launcher: str) -> None:
    (folder / "script.py").write_text(script, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, *launcher, "script.py"]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def curves(folder: Path) -> dict[str, list[dict[str, float]]]:
    """The learning curves: name → rows."""
    rows = {}
    for name in TRAINED:
        with (folder / f"metrics/plots/{name}.csv").open(encoding="utf-8") as file:
            rows[name] = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return rows


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.15)])
def test_two_processes_learn_what_one_learns(
    tmp_path: Path, write_tiny: Callable[..., None], precision: str, tolerance: float
) -> None:
    train = TRAIN.replace("PRECISION", precision)
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    write_tiny(one, **SMALL)
    run(one, PREPARE)
    shutil.copytree(one, two)
    run(one, train)
    run(two, train, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    alone, together = curves(one), curves(two)
    for name in TRAINED:
        assert len(alone[name]) == len(together[name]) == 3
        for row, other in zip(alone[name], together[name], strict=True):
            assert other == pytest.approx(row, rel=tolerance, abs=tolerance), name
    for made in ("classifier/audio", "transformer/audio_to_image", "vae/image"):
        assert (two / f"data/{made}.safetensors").is_file()
