"""The wheel holds the whole package: what is exported runs on it alone."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cycle_sound", "stages")


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path):
    project = tmp_path / "project"
    project.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, project)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    words = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w"]
    done = subprocess.run([*words, str(tmp_path / "dist"), str(project)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    held = {name for name in ZipFile(wheel).namelist() if name.startswith(PACKAGES) and ".dist-info/" not in name}
    wanted = {str(path.relative_to(ROOT)) for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()}
    assert held == {name for name in wanted if "__pycache__" not in name}
    assert {".py", ".j2", ".css"} <= {Path(name).suffix for name in held}
