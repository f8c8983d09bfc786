"""Ctrl-C, which a terminal sends to all processes of a command: one line, and on to the same bytes."""

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
from interrupting import NEVER, said, started
from pipelines import digests

from cycle_sound import paths
from cycle_sound.io import interrupts

MOMENTS = {
    "torch_is_imported": ("train_vae image", "train_vae", "import", "torch"),
    "a_worker_starts": ("download", "loky", "import", "numpy"),
    "a_worker_writes": ("download", "loky", "os.rename", ".part"),
    "the_manifest_is_written": ("download", "stages.download", "os.rename", ".part"),
}


@pytest.mark.parametrize(
    "moment",
    [pytest.param(one, marks=[pytest.mark.slow] if one.endswith(("writes", "written")) else []) for one in MOMENTS],
)
def test_a_stage_that_is_interrupted_says_one_line_and_goes_on(
    moment: str, tmp_path: Path, write_tiny: Callable[..., None]
) -> None:
    stage, *strike = MOMENTS[moment]
    words = ["-m", *f"stages.{stage}".split()]
    alone, struck = tmp_path / "alone", tmp_path / "struck"
    for folder in (alone, struck):
        folder.mkdir()
        write_tiny(folder)
    process = started(struck, *words, strike=(strike[0], strike[1], strike[2]))
    assert said(process) == [interrupts.SAID]
    assert process.returncode == -signal.SIGINT
    if stage == "download":
        for folder in (alone, struck):
            assert said(started(folder, *words, strike=NEVER)) == []
        assert digests(struck) == digests(alone)


def test_a_stage_whose_work_is_done_ends_as_if_it_were_not_interrupted(
    tmp_path: Path, write_tiny: Callable[..., None]
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    write_tiny(folder)
    for stage in ("download", "shard"):
        process = started(folder, "-m", f"stages.{stage}", strike=(f"stages.{stage}", "end", ""))
        assert said(process) == []
        assert process.returncode == 0


def test_a_command_that_is_interrupted_says_one_line_and_leaves_nothing(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    soundfile.write(folder / "long.wav", 0.1 * np.random.default_rng(0).normal(size=16_000 * 30), 16_000)
    words = ["-m", "cycle_sound", "image", "long.wav", "-o", "out", "--models", str(data)]
    process = started(folder, *words, strike=("cycle_sound", "os.rename", ".part"))
    assert [line for line in said(process) if not line.startswith("using ")] == ["interrupted"]
    assert process.returncode == 128 + signal.SIGINT
    assert not list((folder / "out").rglob("*"))


@pytest.mark.parametrize("module", ["typer", "click.core", "cycle_sound.inference.licenses"])
@pytest.mark.parametrize("words", ["--version", "image long.wav -o out"])
def test_a_command_that_is_interrupted_while_it_is_loaded_says_one_line(
    module: str, words: str, tmp_path: Path
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    process = started(folder, "-m", "cycle_sound", *words.split(), strike=("cycle_sound", "import", module))
    assert said(process) == ["interrupted"]
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize(("words", "code"), [("--version", 0), ("cycle nothing.wav -o out", 1), ("cycle", 2)])
def test_a_command_whose_work_is_done_ends_as_if_it_were_not_interrupted(words: str, code: int, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    strikes = (NEVER, ("cycle_sound", "end", ""))
    alone, struck = (started(folder, "-m", "cycle_sound", *words.split(), strike=one) for one in strikes)
    assert said(struck) == said(alone) != []
    assert (struck.returncode, alone.returncode) == (code, code)


# --- a training


def contents(folder: Path) -> Mapping[str, str]:
    """SHA-256 of what a training leaves behind."""
    files = [paths.vae("image"), paths.metrics("train_vae", "image"), paths.curve("train_vae", "image")]
    return {str(path): hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_a_training_interrupted_at_ten_random_moments_ends_with_the_same_bytes(
    tmp_path: Path, write_tiny: Callable[..., None]
) -> None:
    folder, begun, words = tmp_path / "here", tmp_path / "begun", ["-m", "stages.train_vae", "image"]
    folder.mkdir()
    vae = {"optimizer": {"steps": 300, "valid_every": 20}}
    write_tiny(folder, vae={"image": vae}, loader={"workers": 1})
    for stage in ("download", "shard"):
        assert said(started(folder, "-m", f"stages.{stage}", strike=NEVER)) == []

    def run(seconds: float | None) -> tuple[int, list[str], float]:
        """Run the training, interrupted so long after it has begun; its code, what it said, how long it took."""
        begun.unlink(missing_ok=True)
        process = started(folder, *words, strike=("train_vae", "import", "torch"), BEGUN=str(begun))
        while not begun.exists() and process.poll() is None:
            time.sleep(0.01)
        start = time.monotonic()
        if seconds is not None:
            try:
                process.wait(seconds)  # the whole one may have run on a machine that was busier
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGINT)
        lines = said(process)
        return process.returncode, lines, time.monotonic() - start

    code, _, whole = run(None)
    assert code == 0
    alone, rng, interrupted, from_nothing = contents(folder), np.random.default_rng(0), 0, True
    while interrupted < 10:
        code, lines, seconds = run(rng.uniform(0, whole))
        if code:
            interrupted, from_nothing = interrupted + 1, False
            assert code in (128 + signal.SIGINT, -signal.SIGINT), lines
            *others, last = lines
            assert last.startswith(("interrupted; ", "stopped by SIGINT; ")), lines
            assert all(": going on after step" in line for line in others)
        else:
            assert contents(folder) == alone
            whole = seconds if from_nothing else whole  # the machine may have been busier before
            from_nothing = True
            (folder / paths.vae("image")).unlink()
    assert run(None)[0] == 0
    assert contents(folder) == alone
