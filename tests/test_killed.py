"""`dvc repro` killed with SIGKILL at any moment goes on at the next `make repro`, and ends with the same bytes.

CYCLE_SOUND_KILLS says how often one build is killed: a few times by default, since the stage that is killed runs again.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from pipelines import copied, digests, environment, run, steps
from ruamel.yaml import YAML

from cycle_sound.io import stage as start

ROOT = Path(__file__).resolve().parents[1]
KILLS = int(os.environ.get("CYCLE_SOUND_KILLS", "3"))
REPRO = (sys.executable, "-m", "dvc", "repro")
WRITES = 100  # to kill before one of so many
REFUSED = r"ERROR: .*(is busy, it is being blocked by|Unable to acquire lock)"

LAUNCHER = """
import runpy
import sys

from cycle_sound.training import resume

resume.SECONDS = 0.0
resume.FRACTION = 1.0
_, module, *words = sys.argv[1:]
sys.argv[1:] = words
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""  # starts a training as `python -m MODULE` does, but one that keeps its state after each step

STOPPER = """
import os
import signal
import sys

folder, written, stage, last = os.environ["STOPPED"].split(os.pathsep)


def count(event, words):
    if event in ("os.mkdir", "os.rename", "os.remove") or (event == "open" and words[2] & (os.O_WRONLY | os.O_RDWR)):
        if isinstance(words[0], (str, os.PathLike)) and os.path.abspath(words[0]).startswith(folder):
            handle = os.open(written, os.O_WRONLY | os.O_APPEND)
            os.write(handle, b".")
            if os.fstat(handle).st_size >= int(last):
                os.killpg(0, signal.SIGSTOP)
            os.close(handle)


if " ".join(sys.orig_argv).endswith(stage):
    open(written, "w").close()
sys.addaudithook(lambda event, words: os.path.exists(written) and count(event, words))
"""  # stops the build that a process is a part of, whole, before a write to its folder after a stage has begun


@pytest.fixture
def project(built: Path, write_tiny: Callable[..., None], tmp_path: Path) -> Path:
    """A copy of a build, as if it had been launched so that trainings keep their state after each step."""
    folder = shutil.copytree(built, tmp_path / "project")
    write_tiny(folder, launcher="python launcher.py")
    (folder / "launcher.py").write_text(LAUNCHER, encoding="utf-8")
    lock = (folder / "dvc.lock").read_text(encoding="utf-8")
    (folder / "dvc.lock").write_text(
        re.sub(r"python -m stages\.(?!download|shard|report)", "python launcher.py -m stages.", lock), encoding="utf-8"
    )
    return folder


def forget(folder: Path, stages: set[str]) -> None:
    """Leave nothing of what some stages have made, nor a word of it."""
    lock = YAML(typ="safe").load(folder / "dvc.lock")
    for stage in stages & lock["stages"].keys():
        for out in lock["stages"].pop(stage)["outs"]:
            path = folder / out["path"]
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    YAML().dump(lock, folder / "dvc.lock")
    shutil.rmtree(folder / ".dvc/cache/runs", ignore_errors=True)


@contextmanager
def stopped(folder: Path, stage: str, write: int, hooks: Path) -> Iterator[bool]:
    """Start `dvc repro`, which holds still before the n-th write after a stage began, and is killed in the end.

    False where it has ended before.
    """
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(STOPPER, encoding="utf-8")
    around = {
        "PYTHONPATH": os.pathsep.join([str(hooks), str(folder)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "STOPPED": os.pathsep.join([f"{folder}{os.sep}", str(hooks / "written"), stage.replace("@", " "), str(write)]),
    }
    process = subprocess.Popen(
        REPRO,
        cwd=folder,
        env=environment(folder) | around,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        yield os.WIFSTOPPED(status)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def repro(folder: Path) -> None:
    """`make repro` with the packages that are here."""
    python = Path(sys.executable).parent
    run(folder, "make", "-o", ".venv/installed", "repro", f"BIN={python}", PYTHONPATH=str(folder))


def killed_beside_another(folder: Path, stage: str, write: int, hooks: Path) -> bool:
    """Kill a build before the n-th write after a stage began, once another was refused; False where it ended before."""
    forget(folder, {stage})
    with stopped(folder, stage, write, hooks) as held:
        if held:
            around = environment(folder) | {"PYTHONPATH": str(folder)}
            second = subprocess.run(REPRO, cwd=folder, env=around, capture_output=True, text=True, check=False)
            assert second.returncode
            assert re.search(REFUSED, second.stderr)
            assert "Traceback" not in second.stderr
    return held


@pytest.mark.slow
def test_a_build_killed_beside_another_that_is_refused_ends_with_the_same_bytes(
    built: Path, project: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    order = list(steps(built))
    killed = [order[place] for place in sorted(rng.integers(len(order), size=KILLS))]
    forget(project, set(killed))
    for number, (stage, write) in enumerate(zip(killed, rng.integers(1, WRITES, KILLS).tolist(), strict=True)):
        while not killed_beside_another(project, stage, write, tmp_path / f"{number} {write}"):
            write //= 2  # where no other stage was left to run, there are fewer
            assert write
    repro(project)
    assert digests(project) == digests(built)
    assert not list((project / "data/work").rglob("*.safetensors"))


KILLED = """
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from cycle_sound.io import files

with ExitStack() as stack:
    for path in map(Path, sys.argv[1:]):
        stack.enter_context(files.replacing(path)).write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
HALVES = {  # an instance of a stage → what it may have been writing
    "download": ("data/raw/manifest.csv", "data/raw/.claimed", "data/work/download.jsonl", "metrics/download.json"),
    "shard": ("data/shards/train-000000.tar", "data/shards/index.json", "data/work/shards/train-000000"),
    "train_vae image": ("data/vae/image.safetensors", "data/work/train_vae_image.safetensors"),
    "cache_tokens audio": ("data/tokens/audio/train.json", "data/work/cache_tokens_audio/train-000000.tar.receipt"),
    "audit_pairs": ("data/audit/train.npy", "data/work/audit_pairs_1.safetensors"),
    "train_cycle": ("data/cycle/image_to_audio.safetensors", "data/work/train_cycle/1_audio_to_image.csv"),
    "evaluate image_to_audio": ("metrics/evaluate_image_to_audio.json", "metrics/plots/image_to_audio.png"),
}
OTHERS = (".notes.part", ".x.0123ABCD.part", "x.0123abcd.part", ".0123abcd.part", ".x.0123abcd.part.txt")


@pytest.mark.parametrize("instance", HALVES)
def test_what_a_kill_leaves_half_written_is_gone_after_the_next_run_of_the_same_stage(
    instance: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *(path for paths in HALVES.values() for path in paths)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    halves = {path for path in tmp_path.rglob("*.part")}
    assert len(halves) == sum(map(len, HALVES.values()))
    for folder in {path.parent for path in halves}:
        for other in OTHERS:
            (folder / other).write_bytes(b"somebody's")
    monkeypatch.chdir(tmp_path)
    given = start.params_file.load(ROOT / "params.yaml")
    monkeypatch.setattr(start.params_file, "load", lambda: given)
    name, *word = instance.split()
    monkeypatch.setattr(sys, "argv", [f"stages/{name}.py", *word])
    monkeypatch.setenv("RANK", "1")
    start.run(lambda *_: None, choices=word)
    assert all(path.exists() for path in halves)  # of several processes the first tidies
    monkeypatch.setenv("RANK", "0")
    start.run(lambda *_: None, choices=word)
    gone = {path for path in halves if not path.exists()}
    written = {str(path.with_name(path.name[1:-14]).relative_to(tmp_path)) for path in gone}
    assert written == set(HALVES[instance])
    assert all((path.parent / other).exists() for path in halves for other in OTHERS)


def test_a_mistake_in_dvc_yaml_costs_no_record(tmp_path: Path) -> None:
    project = copied(tmp_path / "project")
    (project / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n", encoding="utf-8")
    (project / "dvc.yaml").write_text("stages: {", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"dvc\.yaml' is invalid"):
        repro(project)
    assert (project / "dvc.lock").read_text(encoding="utf-8") == "schema: '2.0'\nstages: {}\n"


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_half_a_record_of_dvc_is_mended(built: Path, tmp_path: Path, share: float) -> None:
    folder = shutil.copytree(built, tmp_path / "project")
    for name in ("dvc.lock", ".dvc/tmp/rwlock"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: int(share * len(whole))] + b"- {")
    repro(folder)
    assert digests(folder) == digests(built)
