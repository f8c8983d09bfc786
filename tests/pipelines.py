"""Copies of the project in which a test runs the pipeline."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
MADE = ("data", "metrics")
LEFT = (*MADE, "cycle_sound/pretrained")  # a project uses models of its own
REGISTER = ".claimed"
GIVEN = ("data/.gitignore", "data/README.md")  # stand in git
BUILD = """
from cycle_sound.io.params_file import load
from cycle_sound.params import DIRECTIONS, MODALITIES
from stages import audit_pairs, cache_features, cache_tokens, download, drop_pairs, evaluate, export, finetune_decoder
from stages import fit_confidence, import_models, report, shard, sweep_sampling, train_classifier, train_cycle
from stages import train_judge, train_transformer, train_vae, train_vocoder

params = load()
import_models.main(params)
download.main(params)
shard.main(params)
for stage in (train_vae, finetune_decoder, cache_tokens, cache_features, train_classifier, train_judge):
    for modality in MODALITIES:
        stage.main(modality, params)
train_vocoder.main(params)
audit_pairs.main(params)
drop_pairs.main(params)
for direction in DIRECTIONS:
    train_transformer.main(direction, params)
train_cycle.main(params)
for stage in (sweep_sampling, fit_confidence, evaluate):
    for direction in DIRECTIONS:
        stage.main(direction, params)
report.main(params)
export.main(params)
"""
IDENTITY = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")


def environment(folder: Path) -> dict[str, str]:
    """This Python first in PATH, nothing of the repository around, nothing kept outside the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder.parent / "dvc-site"),
        "DVC_GLOBAL_CONFIG_DIR": str(folder.parent / "dvc-global"),
    }


def run(folder: Path, *words: str, **more: str) -> str:
    """Run a command in a folder and return what it says. Fails with it where the command does."""
    done = subprocess.run(
        words, cwd=folder, env=environment(folder) | more, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def dvc(project: Path, *words: str) -> str:
    """Run DVC in a project; the code that it starts is the project's own."""
    return run(project, sys.executable, "-m", "dvc", *words, PYTHONPATH=str(project))


def build(folder: Path, before: str = "") -> None:
    """Run a script and all stages in one process, in a folder: most of what a tiny stage takes alone is its start.

    The code is that of a copy of the project in the folder, or else that of the project itself.
    """
    run(folder, sys.executable, "-c", before + BUILD)


def copied(project: Path) -> Path:
    """The working tree as git sees it, without what DVC makes, as a repository of its own."""
    for name in run(ROOT, "git", "ls-files", "-co", "--exclude-standard").splitlines():
        made = name == "dvc.lock" or (name.startswith(LEFT) and name not in GIVEN)
        if (ROOT / name).is_file() and not made:
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project / name)
    run(project, "git", "init", "-q")
    run(project, "git", "add", "--all")
    run(project, "git", *IDENTITY, "commit", "-qm", "The project")
    return project


def steps(project: Path) -> dict[str, dict[str, Any]]:
    """What DVC has noted of each instance of a stage, in an order in which they may run."""
    return YAML(typ="safe").load(project / "dvc.lock")["stages"]


def untimed(path: Path) -> bytes:
    """What a file holds; of the register of a folder of pairs all but the times of its files."""
    content = path.read_bytes()
    return re.sub(rb":\d+(?=[ \n])", b"", content) if path.name == REGISTER else content


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that the stages made, as `untimed` has it."""
    made = [path for name in MADE for path in sorted((folder / name).rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): hashlib.sha256(untimed(path)).hexdigest()
        for path in made
        if path.name != ".gitignore" and str(path.relative_to(folder)) not in GIVEN
    }
