"""Installing: what `make` does, also by plain commands, and with torch from another index; which Pythons are named."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from documents import ROOT
from pipelines import IDENTITY, run

LOCK = (ROOT / "requirements.txt").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FIRST_HOUR = (ROOT / "docs/first-hour.md").read_text(encoding="utf-8")


def recipe(*words: str) -> list[str]:
    """The commands by which `make` installs."""
    asked = ["make", "-n", "--always-make", *words, ".venv/installed"]
    said = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    return [line.replace(" --disable-pip-version-check", "") for line in said.stdout.splitlines()]


def pinned(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE))


def test_without_make_the_same_is_installed_in_plain_lines() -> None:
    asked = re.compile(r" -m (?:venv|pip) |dvc config ")
    made = [line.removeprefix(".venv/bin/dvc") for line in recipe() if asked.search(line)]
    lines = [re.sub("   # .*", "", line).replace("$PWD", str(ROOT)) for line in FIRST_HOUR.splitlines()]
    shown = [line.removeprefix("dvc") for line in lines if asked.search(line)]
    assert len(made) == 4
    assert made == shown


@pytest.mark.parametrize(
    ("commits", "changed", "said"), [(False, True, False), (True, True, True), (True, False, False)], ids=repr
)
def test_a_build_is_offered_as_the_baseline_where_it_differs_from_a_commit(
    tmp_path: Path, commits: bool, changed: bool, said: bool
) -> None:
    (tmp_path / "bin").mkdir()
    for program in ("dvc", "python"):
        (tmp_path / "bin" / program).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / program).chmod(0o755)
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    (tmp_path / "metrics").mkdir()
    for name in ("params.yaml", "dvc.lock", "metrics/evaluate_x.json"):
        (tmp_path / name).write_text("{}\n", encoding="utf-8")
    run(tmp_path, "git", "init", "-q")
    if commits:
        run(tmp_path, "git", "add", "--all")
        run(tmp_path, "git", *IDENTITY, "commit", "-qm", "The first")
    if changed:
        (tmp_path / "dvc.lock").write_text("other: models\n", encoding="utf-8")
    words = ["make", "-s", "-o", ".venv/installed", "repro", "BIN=bin"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ("git commit -m 'A build' params.yaml dvc.lock metrics" in done.stdout) == said
    assert done.stderr == ""


def test_of_another_index_comes_torch_alone(tmp_path: Path) -> None:
    commands = recipe("torch_index=file:///wheels")
    (filtering,) = [line for line in commands if line.startswith("awk ")]
    hashed, other = [line for line in commands if " -m pip install " in line and " -e ." not in line]
    (tmp_path / ".venv").mkdir()
    (tmp_path / "requirements.txt").write_text(LOCK, encoding="utf-8")
    subprocess.run(["sh", "-c", filtering], cwd=tmp_path, check=True)
    rest = (tmp_path / ".venv/requirements.txt").read_text(encoding="utf-8")
    assert hashed.endswith("install --require-hashes --no-deps -r .venv/requirements.txt")
    assert "install --index-url file:///wheels " in other
    left_out = pinned(LOCK) - pinned(rest)
    assert {"torch", "torchvision", "triton"} < left_out
    assert all(re.match("torch|triton|nvidia-|cuda-", name) for name in left_out)
    assert not any(re.match("torch|triton|nvidia|cuda", name) for name in pinned(rest))
    assert len(re.findall("--hash", rest)) >= len(pinned(rest))
    versions = subprocess.run(
        ["sh", "-c", "echo " + other.split("file:///wheels ")[1]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"torch==[\d.]+ torchvision==[\d.]+", versions.stdout.strip())


@pytest.mark.parametrize(("name", "title"), [("torch", "PyTorch"), ("torchvision", "torchvision")])
def test_the_lowest_version_that_was_tried_is_the_lowest_allowed(name: str, title: str) -> None:
    (bound,) = [one.removeprefix(f"{name}>=") for one in PROJECT["dependencies"] if one.startswith(f"{name}>=")]
    assert f"{title} {bound}" in FIRST_HOUR


@pytest.mark.parametrize("code", [0, 1])
def test_the_bundled_models_are_replaced_only_by_an_export_that_was_made(tmp_path: Path, code: int) -> None:
    for name in ("bin", "cycle_sound/pretrained/samples/gone", "examples/sounds", "examples/pictures"):
        (tmp_path / name).mkdir(parents=True)
    export = f'#!/bin/sh\nmkdir -p "$2" && echo "$@" > "$2/card.json" && exit {code}\n'
    (tmp_path / "bin/cycle-sound").write_text(export, encoding="utf-8")
    (tmp_path / "bin/cycle-sound").chmod(0o755)
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    for name in ("cycle_sound/pretrained/card.json", "examples/sounds/bell.mp3", "examples/pictures/bell.jpg"):
        (tmp_path / name).write_text("before", encoding="utf-8")
    words = ["make", "-o", ".venv/installed", "pretrained", "models=fine", "BIN=bin"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    pretrained = tmp_path / "cycle_sound/pretrained"
    card = (pretrained / "card.json").read_text(encoding="utf-8")
    assert (done.returncode == 0) == (code == 0)
    assert (card == "before", (pretrained / "samples/gone").exists()) == (code != 0, code != 0)
    assert code or card.endswith("--license mit --half --models fine\n")
    real = [path.read_text() for path in pretrained.glob("samples/*/bell/*")]
    assert real == ["before"] * (0 if code else 4)


def test_a_project_that_was_moved_is_installed_anew_with_its_new_path(tmp_path: Path) -> None:
    def asked() -> str:
        words = ["make", "-n", ".venv/installed"]
        return subprocess.run(words, cwd=project, capture_output=True, text=True, check=True).stdout

    project = tmp_path / "project"
    (project / ".venv").mkdir(parents=True)
    for name in ("Makefile", "requirements.txt", "pyproject.toml", ".git", ".venv/packages", ".venv/installed"):
        (project / name).write_bytes((ROOT / name).read_bytes() if name == "Makefile" else b"")
    assert "up to date" in asked()  # installed by a version that did not say where
    (project / ".venv/installed").write_text(f"{project.resolve() / '.venv'}\n", encoding="utf-8")
    assert "up to date" in asked()
    project = project.rename(tmp_path / "a new place")
    assert "-m venv --clear .venv" in asked()
    assert f'dvc config --local core.site_cache_dir "{project}/.dvc/tmp/site"' in asked()


def test_an_older_python_is_named_in_one_line(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\nexec python3 -c "import sys; sys.version_info = (3, 9); exec(sys.argv[1])" "$2"\n')
    old.chmod(0o755)
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".git").mkdir()
    done = subprocess.run(
        ["make", "-s", f"PYTHON={old}", "repro"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    first, *rest = done.stderr.splitlines()
    assert first == "Python 3.11 or later is needed: make PYTHON=..."
    assert all(re.match(r"make(\[\d+\])?: \*\*\*", line) for line in rest)  # with its depth, below a make
    assert not (tmp_path / ".venv").exists()


def test_every_python_that_is_named_is_said_to_be_tried_or_not() -> None:
    named = {word.rpartition(" ")[2] for word in PROJECT["classifiers"]}
    said = FIRST_HOUR.partition("### Which versions")[2].partition("\n## ")[0]
    assert named == set(re.findall(r"3\.1\d", said))
    assert PROJECT["requires-python"] == f">={min(named)}"


def test_an_image_holds_nothing_of_dvc_that_git_does_not_such_as_a_password() -> None:
    kept_out = (ROOT / ".dvc/.gitignore").read_text(encoding="utf-8").split()
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert "/config.local" in kept_out
    assert {f".dvc{entry}" for entry in kept_out} <= set(ignored)
