"""Experiments and plots as DVC's users make them: queued, on pairs of their own, and looked at."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipelines import IDENTITY, copied, dvc, run, steps
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
PLOTS = YAML(typ="safe").load(ROOT / "dvc.yaml")["plots"]
TARGET = "train_vae@image"


def made(project: Path) -> dict[str, list[dict[str, Any]]]:
    """What DVC has noted of the outs of each step, by their digests."""
    return {name: step["outs"] for name, step in steps(project).items()}


@pytest.mark.slow
def test_queued_experiments_on_own_pairs_give_the_bytes_of_a_plain_run(
    built: Path, tmp_path: Path, write_tiny: Callable[..., None]
) -> None:
    """Each in a copy of the project: the folder copied along, or named by its absolute path."""

    def project(name: str) -> Path:
        folder = copied(tmp_path / name)
        for split in ("train_data", "test_data"):
            shutil.copytree(built / "data/raw" / split, folder / "data/folder" / split)
        write_tiny(folder, data={"source": "folder"})
        run(folder, "git", *IDENTITY, "commit", "-qam", "Own pairs")
        return folder

    queueing = project("queueing")
    elsewhere = str(queueing / "data/folder")
    asked = {
        "first": ["-C", "data/folder", "-S", "seed=1"],
        "second": ["-C", "data/folder", "-S", "seed=2"],
        "third": ["-S", "seed=3", "-S", f"data.folder.path={elsewhere}"],
    }
    for name, words in asked.items():
        dvc(queueing, "exp", "run", "--queue", "-n", name, *words, TARGET)
    dvc(queueing, "exp", "run", "--run-all")
    for seed, name in enumerate(asked, 1):
        dvc(queueing, "exp", "apply", "--force", name)
        plain = project(f"plain_{name}")
        write_tiny(plain, seed=seed, data={"source": "folder"})
        dvc(plain, "repro", TARGET)
        assert made(queueing) == made(plain), name


@pytest.mark.slow
def test_the_plots_shown_are_those_meant_and_each_is_drawn(built: Path, tmp_path: Path) -> None:
    said = json.loads(dvc(built, "plots", "show", "--json", "-o", str(tmp_path)))
    pictures = {"metrics/plots/audio_to_image.png", "metrics/plots/image_to_audio.png"}
    assert said.keys() == {"data"}  # no errors
    assert said["data"].keys() == {name for plot in PLOTS for name in plot} | pictures
    empty = {name for name, shown in said["data"].items() if not shown}
    assert empty <= {"train_cycle", "finetune_decoder"}  # no steps of these
    vl_convert = pytest.importorskip("vl_convert")
    for name in said["data"].keys() - pictures - empty:
        (shown,) = said["data"][name]
        drawn = vl_convert.vegalite_to_svg(shown["content"], vl_version="5.20")
        assert (
            'aria-roledescription="rule mark"' in drawn or 'aria-roledescription="line mark"' in drawn or "bar" in drawn
        )
