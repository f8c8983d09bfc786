"""The wheel holds the whole package and its models: once it is installed, it makes pictures and sounds by itself."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image
from pipelines import environment

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "cycle_sound"
RUN = """
import socket

def refused(*words):
    raise OSError("no network")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused
from cycle_sound.app.cli import app
app()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (folder / "project").mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, folder / "project")
    for name in (PACKAGE, "stages"):
        shutil.copytree(ROOT / name, folder / "project" / name, ignore=shutil.ignore_patterns("__pycache__"))
    words = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w"]
    words += [str(folder / "dist"), str(folder / "project")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = (folder / "dist").glob("*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package_and_no_other_package(wheel: Path) -> None:
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {str(path.relative_to(ROOT)) for path in (ROOT / PACKAGE).rglob("*") if path.is_file()}
    assert held == {name for name in wanted if "__pycache__" not in name}
    assert {".py", ".j2", ".css", ".safetensors", ".mp3"} <= {Path(name).suffix for name in held}
    assert f"{PACKAGE}/py.typed" in held  # so that type checkers read the annotations


@pytest.mark.slow
def test_an_installed_wheel_makes_its_first_picture_and_sound_offline(wheel: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target"]
    subprocess.run([*words, str(tmp_path / "installed"), str(wheel)], check=True)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")

    def run(*command: str) -> None:
        path = str(tmp_path / "installed")
        done = subprocess.run(
            [sys.executable, "-c", RUN, *command],
            cwd=tmp_path,
            env=environment(tmp_path) | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "using the bundled models. These models know 8 kinds: bell, bird, drum" in done.stderr

    run("image", "examples/sounds/low_bell.mp3", "-o", "seen")
    run("sound", "examples/pictures/low_bell.jpg", "-o", "heard")
    assert Image.open(tmp_path / "seen/low_bell.png").size == (96, 96)
    assert (tmp_path / "heard/low_bell.wav").stat().st_size > 10_000
