"""Models are shared as DVC's users share them: by a remote, as one folder that works where it is put."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pipelines import IDENTITY, dvc, run

from cycle_sound import paths
from cycle_sound.inference import export

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def shared(built: Path, tmp_path: Path) -> Path:
    """A project that was built, registered as models@v1.0.0 and pushed to a remote, as a bare repository."""
    project = shutil.copytree(built, tmp_path / "project", symlinks=True)
    dvc(project, "remote", "add", "--default", "store", str(tmp_path / "store"))
    run(project, "git", "add", "--all")
    run(project, "git", *IDENTITY, "commit", "-qm", "Built")
    run(project, "git", *IDENTITY, "tag", "-a", "models@v1.0.0", "-m", "The first")
    dvc(project, "push")
    run(tmp_path, "git", "clone", "-q", "--bare", str(project), "shared.git")
    shutil.rmtree(project)
    return tmp_path / "shared.git"


def same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files."""
    contents = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (one, other)
    ]
    return contents[0] == contents[1] != {}


@pytest.mark.slow
def test_one_folder_comes_out_of_a_repository_and_works(shared: Path, built: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    models = built / paths.MODELS
    dvc(elsewhere, "get", str(shared), "data/models", "--out", "got")
    dvc(elsewhere, "artifacts", "get", str(shared), "models", "--out", "artifact")
    assert same(elsewhere / "got", models)
    assert same(elsewhere / "artifact", models)
    shutil.copy2(next((built / "data/raw/test_data").glob("*.mp3")), elsewhere / "bell.mp3")
    run(elsewhere, sys.executable, "-m", "cycle_sound", "image", "bell.mp3", "-o", "out", "--models", "got")
    assert (elsewhere / "out/bell.png").is_file()


@pytest.mark.slow
def test_a_clone_pulls_what_was_built_and_has_nothing_to_do(shared: Path, built: Path, tmp_path: Path) -> None:
    run(tmp_path, "git", "clone", "-q", str(shared), "clone")
    clone = tmp_path / "clone"
    dvc(clone, "pull")
    assert same(clone / paths.MODELS, built / paths.MODELS)
    assert "up to date" in dvc(clone, "status")


@pytest.mark.slow
def test_the_stage_writes_what_the_command_does(built: Path, tmp_path: Path) -> None:
    export.export(built / "data", tmp_path / "models")
    assert same(tmp_path / "models", built / paths.MODELS)


def test_without_a_repository_make_says_so_in_one_line(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy2(ROOT / name, tmp_path)
    for target in ("repro", "test"):
        done = subprocess.run(["make", "-s", target], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        first, *rest = done.stderr.splitlines()
        assert first.startswith("DVC needs a git repository")
        assert all(re.match(r"make(\[\d+\])?: \*\*\*", line) for line in rest)  # with its depth, below a make
    assert not (tmp_path / ".venv").exists()
