"""No file that the user names as an input is, holds or lies in what the stages write: it is refused before that."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from folders import PRECIOUS, linked, made_pairs, tree
from pipelines import copied, environment

from cycle_sound import params as parameters
from cycle_sound import paths
from cycle_sound.acquisition import acquire, manifest
from cycle_sound.acquisition.sources import folder
from cycle_sound.errors import BadSource
from cycle_sound.io import files, params_file, stage
from cycle_sound.params import Params
from stages import download

ROOT = Path(__file__).resolve().parents[1]


def pairs(place: Path) -> None:
    """A folder of pairs, with all that the sources may ask for."""
    for split in ("train", "test"):
        for kind in ("jpg", "mp3", "mp4"):
            files.write_bytes(place / f"{split}_data/train_00000.{kind}", PRECIOUS)
    for name in ("labels.csv", "list.csv", "film.mp4", "aaaaaaaaaaa_000001.mp4", "cookies.txt", "moments.json"):
        files.write_bytes(place / name, PRECIOUS)


OUTPUTS = ["data/raw", "data/raw/train_data", "data/raw/mine", "data/work", "data/shards", "metrics", "data/samples"]


LINKS = {  # a link, and where it leads, so that the user's files are in an output by another name
    "to the output": ("mine", "data/raw"),
    "into the output": ("mine", "data/raw/train_data"),
    "from the output": ("data/raw", "elsewhere"),
    "from a part of it": ("data/raw/train_data", "elsewhere"),
    "of a folder around": ("data", "elsewhere"),
}


SETTINGS: list[dict[str, Any]] = [
    {"source": "folder", "folder": {"path": "{}"}},
    {"source": "videos", "videos": {"path": "{}"}},
    {"source": "videos", "videos": {"path": "films", "labels": "{}/list.csv"}},
    {"source": "vggsound", "vggsound": {"path": "{}", "url": ""}},
    {"source": "vggsound", "vggsound": {"list": "{}/list.csv", "url": ""}},
    {"source": "vggsound", "vggsound": {"test_list": "{}/list.csv", "url": ""}},
    {"source": "vggsound", "pairs": "listed", "vggsound": {"moments": "{}/moments.json", "url": ""}},
    {"source": "vggsound", "vggsound": {"cookies": "{}/cookies.txt"}},
]


def filled(settings: Any, place: str) -> Any:
    """Settings with a place in each {}."""
    if isinstance(settings, dict):
        return {key: filled(value, place) for key, value in settings.items()}
    return settings.replace("{}", place) if isinstance(settings, str) else settings


def refused(params: Params, root: Path) -> None:
    before = tree(root)
    with pytest.raises(BadSource, match="where the stages write") as error:
        download.main(params)
    assert "\n" not in str(error.value)
    assert tree(root) == before


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("place", OUTPUTS)
def test_an_input_in_an_output_is_refused_before_anything_is_touched(
    settings: Any, place: str, tmp_path: Path, tiny_params: Callable[..., Params]
):
    pairs(tmp_path / place)
    refused(tiny_params(**filled(settings, place)), tmp_path)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_an_input_that_is_a_link_to_itself_is_one_line(
    settings: Any, tmp_path: Path, tiny_params: Callable[..., Params]
):
    for one, other in (("one", "other"), ("other", "one")):
        (tmp_path / one).symlink_to(other)
    with pytest.raises(BadSource, match=r"one.* is a link that leads back to itself$|one: no such folder"):
        download.main(tiny_params(**filled(settings, "one")))


@pytest.mark.parametrize("source", ["folder", "videos", "vggsound"])
@pytest.mark.parametrize("place", ["data", ".", "data/..", "{absolute}/data", "{absolute}"])
def test_an_input_around_an_output_is_refused(
    source: str, place: str, tmp_path: Path, tiny_params: Callable[..., Params]
):
    pairs(tmp_path / "data")
    refused(tiny_params(source=source, **{source: {"path": place.format(absolute=tmp_path)}}), tmp_path)


@pytest.mark.parametrize("source", ["folder", "videos", "vggsound"])
@pytest.mark.parametrize(("link", "target"), LINKS.values(), ids=LINKS)
def test_links_hide_nothing(source: str, link: str, target: str, tmp_path: Path, tiny_params: Callable[..., Params]):
    pairs(tmp_path / target)
    linked(tmp_path / link, tmp_path / target)
    given = link if link == "mine" else target
    refused(tiny_params(source=source, **{source: {"path": given}}), tmp_path)


WEIGHTS = {
    "features.source.image.weights": "data/features/image/x.pth",
    "features.source.audio.weights": "data/decoder/audio/x.pth",
    "features.judge.image.weights": "data/judge/x.pth",
    "features.judge.audio.weights": "data/shards/deep/x.pth",
    "vae.image.perceptual_weights": "data/models/x.pth",
    "vae.audio.perceptual_weights": "metrics/x.pth",
}


def naming(tree: dict[str, Any], key: str, place: str) -> Params:
    """Parameters in which one key names a file of weights."""
    section, name = key.rsplit(".", 1)
    more = {f"{section}.network": "resnet18"} if name == "weights" else {}
    params_file.put(tree, {key: place, **more})
    return parameters.parse(tree)


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize(("key", "place"), WEIGHTS.items(), ids=WEIGHTS)
def test_weights_in_an_output_are_refused_before_any_stage_begins(
    key: str, place: str, link: bool, tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stages/report.py"])
    params = naming(tree, key, place)
    monkeypatch.setattr(stage.params_file, "load", lambda: params)
    files.write_bytes(tmp_path / ("elsewhere.pth" if link else place), PRECIOUS)
    if link:
        linked(tmp_path / place, tmp_path / "elsewhere.pth")
    with pytest.raises(SystemExit, match="2"):
        stage.run(lambda _: pytest.fail("it has begun"))
    said = capsys.readouterr().err
    assert said.startswith(f"error: {key}: {place} lies in ")
    assert said.endswith(", where a stage writes: move it away\n")


def test_weights_elsewhere_are_used(tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for place in ("x.pth", "data/x.pth", "data/weights/x.pth", str(tmp_path / "x.pth"), "nowhere/x.pth"):
        stage.keep_apart(naming(tree, "features.source.image.weights", place))


def test_dvc_keeps_weights_in_the_folder_of_features_for_the_stage_to_refuse(tmp_path: Path):
    project = copied(tmp_path / "project")
    text, none = (project / "params.yaml").read_text(encoding="utf-8"), "image: {network: '', weights: ''}"
    named = "image: {network: resnet18, weights: data/features/image/x.pth}"
    (project / "params.yaml").write_text(text.replace(none, named), encoding="utf-8")
    files.write_bytes(project / "data/features/image/x.pth", PRECIOUS)
    files.write_bytes(project / "data/shards/index.json", b"{}")  # something, which the stage depends on
    words = [sys.executable, "-m", "dvc", "repro", "--single-item", "cache_features@image"]
    more = environment(project) | {"PYTHONPATH": str(project)}
    done = subprocess.run(words, cwd=project, env=more, capture_output=True, text=True, check=False)
    assert "error: features.source.image.weights: data/features/image/x.pth lies in data/features, where" in done.stderr
    assert (project / "data/features/image/x.pth").read_bytes() == PRECIOUS


@pytest.mark.parametrize("inner", ["train_data", "train_data/train_00000.jpg"])
def test_links_inside_an_input_hide_nothing(inner: str, tmp_path: Path, tiny_params: Callable[..., Params]):
    params = tiny_params()
    download.main(params)
    raw, mine = tmp_path / paths.RAW, tmp_path / "mine"
    (mine / "train_data").mkdir(parents=True)
    if inner == "train_data":
        (mine / inner).rmdir()
    (mine / inner).symlink_to(raw / inner)
    refused(tiny_params(source="folder", folder={"path": "mine"}), tmp_path)
    data = tiny_params(source="folder", folder={"path": "mine"}).data
    before = tree(tmp_path)
    with pytest.raises(BadSource, match="where the stages write"):
        acquire.acquire(folder.clips(data), data, raw, 1)
    assert tree(tmp_path) == before


def test_folders_side_by_side_and_a_data_folder_on_another_disk_are_no_overlap(
    tmp_path: Path, tiny_params: Callable[..., Params]
):
    (tmp_path / "disk").mkdir()
    linked(tmp_path / "data", tmp_path / "disk")
    shutil.copytree(made_pairs(tmp_path), tmp_path / "data/raw-but-mine")
    for place in ("data/raw-but-mine", "data/raw/../raw-but-mine"):
        download.main(tiny_params(source="folder", folder={"path": place}, max_rejected=1.0))
        assert len(manifest.read(paths.MANIFEST)) == 2


def test_all_that_the_stages_write_lies_where_no_input_may(tiny_params: Callable[..., Params]):
    import yaml

    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    entries = [
        entry for stage in stages.values() for part in ("outs", "metrics", "plots") for entry in stage.get(part, [])
    ]
    for entry in entries:
        path = Path(entry if isinstance(entry, str) else next(iter(entry)))
        assert any(place in (path, *path.parents) for place in paths.made()), path
