"""`dvc repro` killed with SIGKILL at any moment goes on at the next `make repro`, and ends with the same bytes.

CYCLE_SOUND_KILLS says how many moments are tried, each in a build of its own; a few by default, since each takes a
minute.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pipelines import copied, digests, dvc, environment, run

KILLS = int(os.environ.get("CYCLE_SOUND_KILLS", "2"))
TRIES = 5  # at a kill in the middle of a build, whose length is not known to the second
OPTIMIZER = {"steps": 60, "valid_every": 15}  # long enough for a kill to fall into a training
LAUNCHER = """
import runpy
import sys

from cycle_sound.training import resume

resume.SECONDS = 0.1
resume.FRACTION = 1.0
_, module, *words = sys.argv[1:]
sys.argv[1:] = words
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""  # starts a training as `python -m MODULE` does, but one that keeps its state every tenth of a second
SLOWER = {
    "launcher": "python launcher.py",
    "vae": {"image": {"optimizer": OPTIMIZER}, "audio": {"optimizer": OPTIMIZER}},
    "classifier": {"optimizer": OPTIMIZER},
    "transformer": {"audio_to_image": {"optimizer": OPTIMIZER}, "image_to_audio": {"optimizer": OPTIMIZER}},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, write_tiny: Callable[..., None]) -> Path:
    """A copy of the project, nothing made yet, whose trainings keep their state every tenth of a second."""
    folder = copied(tmp_path_factory.mktemp("killed") / "project")
    write_tiny(folder, **SLOWER)
    (folder / "launcher.py").write_text(LAUNCHER, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def undisturbed(project: Path) -> tuple[dict[str, str], float]:
    """The digests of all that a build left alone makes, and the seconds it takes."""
    folder = project.parent / "undisturbed"
    shutil.copytree(project, folder)
    begin = time.monotonic()
    dvc(folder, "repro")
    return digests(folder), time.monotonic() - begin


def killed_after(folder: Path, seconds: float) -> bool:
    """Start `dvc repro`, and kill it with all that it has started; False if it had ended before."""
    words = [sys.executable, "-m", "dvc", "repro"]
    around = environment(folder) | {"PYTHONPATH": str(folder)}
    process = subprocess.Popen(
        words, cwd=folder, env=around, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def repro(folder: Path) -> None:
    """`make repro` with the packages that are here."""
    python = Path(sys.executable).parent
    run(folder, "make", "-o", ".venv/installed", "repro", f"BIN={python}", PYTHONPATH=str(folder))


@pytest.mark.parametrize("moment", np.random.default_rng(0).uniform(0.02, 0.98, KILLS).round(3).tolist())
def test_a_build_killed_at_any_moment_ends_with_the_same_bytes(
    project: Path, undisturbed: tuple[dict[str, str], float], tmp_path: Path, moment: float
) -> None:
    wanted, seconds = undisturbed
    folder = tmp_path / "project"
    for number in range(TRIES):  # each a little earlier, where the one before had already ended
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(project, folder)
        if killed_after(folder, moment * seconds * 0.8**number) and digests(folder) != wanted:
            break
    else:
        pytest.fail(f"the build ended before each of {TRIES} kills")
    repro(folder)
    assert digests(folder) == wanted
    assert not list((folder / "data/work").rglob("*.safetensors"))


def test_a_mistake_in_dvc_yaml_costs_no_record(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(project, folder)
    (folder / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n", encoding="utf-8")
    (folder / "dvc.yaml").write_text("stages: {", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"dvc\.yaml' is invalid"):
        repro(folder)
    assert (folder / "dvc.lock").read_text(encoding="utf-8") == "schema: '2.0'\nstages: {}\n"


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_half_a_record_of_dvc_is_mended(
    project: Path, undisturbed: tuple[dict[str, str], float], tmp_path: Path, share: float
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(project.parent / "undisturbed", folder)
    for name in ("dvc.lock", ".dvc/tmp/rwlock"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: int(share * len(whole))] + b"- {")
    repro(folder)
    assert digests(folder) == undisturbed[0]
