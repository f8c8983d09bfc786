"""The experiment on cycle training: what it runs, in which folders, what it keeps, and the tables that it writes."""

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from benchmarks import cycle, pipeline
from cycle_sound import params as parameters
from cycle_sound.io import files, params_file
from cycle_sound.params import DIRECTIONS

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = [
    *("data", "share", "cycle", "seed", "class_consistency", "class_consistency_low", "class_consistency_high"),
    *("pitch_hue_correlation", "cross_entropy", "frechet_distance"),
]
ROUNDS = params_file.preset("cycle", ROOT / params_file.PRESETS)["cycle.rounds"]
Ran = list[tuple[str, str]]  # in which folder what ran


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """`measure(*words, stop)`: run the experiment, whose stages leave a word each, or end it at the n-th; what ran."""

    def run(*words: str, stop: int = -1) -> Ran:
        ran: Ran = []

        def stage(command: list[str], cwd: Path, env: dict[str, str], check: bool) -> None:
            if len(ran) == stop:
                raise KeyboardInterrupt
            name = " ".join(command[2:]).removeprefix("stages.")
            ran.append((str(cwd.relative_to(tmp_path / "work")), name))
            for out in pipeline.STAGES[name.split()[0]]["outs"]:
                path = cwd / (next(iter(out)) if isinstance(out, dict) else out)
                files.write_bytes(Path(str(path).replace("${item.modality}", "image")) / "made", name.encode())
            if name.startswith("evaluate"):
                values = YAML(typ="safe").load(cwd / "params.yaml")
                taught = values["cycle"]["lone_share"] > 0
                figures = {name: 0.5 + 0.3 * taught for name in cycle.FIGURES if name != "pitch_hue_correlation"}
                files.write_json(cwd / f"metrics/evaluate_{name.split()[1]}.json", figures)

        monkeypatch.setattr(pipeline.subprocess, "run", stage)
        monkeypatch.setattr(sys, "argv", ["cycle", *words])
        cycle.main()
        return ran

    monkeypatch.setattr(cycle, "FOLDER", tmp_path / "work")
    monkeypatch.setattr(cycle.paths, "PLOTS", tmp_path / "plots")  # absolute: not under the project
    return run


def test_vaes_are_shared_by_all_shares_and_transformers_by_both_arms(measure: Callable[..., Ran]) -> None:
    ran = measure("--shares", "0.02", "0.1", "1", "--seeds", "3")
    assert max(Counter(ran).values()) == 1
    folders = {name: [folder for folder, one in ran if one == name] for _, name in ran}
    assert folders["train_vae image"] == ["synthetic"]
    assert folders["cache_tokens image"] == ["synthetic/0.02", "synthetic/0.1", "synthetic/1"]
    seeds = ["synthetic/0.02/0", "synthetic/0.1/0", "synthetic/1/0", "synthetic/0.02/1", "synthetic/0.02/2"]
    assert folders["train_transformer audio_to_image"] == seeds
    arms = [f"{seed}/{rounds}" for seed in seeds for rounds in ((0,) if "/1/" in seed else (0, ROUNDS))]
    assert folders["train_cycle"] == folders["evaluate audio_to_image"] == arms


def test_a_level_has_what_is_around_it_and_its_own(measure: Callable[..., Ran], tmp_path: Path) -> None:
    measure("--shares", "0.1", "--seeds", "1")
    level, around = tmp_path / f"work/synthetic/0.1/0/{ROUNDS}/data", tmp_path / "work/synthetic"
    assert (level / "vae").resolve() == around / "data/vae"
    assert (level / "shards").resolve() == around / "0.1/data/shards"
    assert (level / "transformer").resolve() == around / "0.1/0/data/transformer"
    assert not (level / "cycle").is_symlink()


def test_what_was_measured_can_be_read_before_the_end(measure: Callable[..., Ran], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        measure("--shares", "0.1", "--seeds", "1", stop=22)  # in the second of two evaluations
    table = files.read_csv(tmp_path / "plots/cycle_image_to_audio.csv")
    assert [(row["cycle"], row["class_consistency"]) for row in table] == [("0", "0.5")]


def test_stopped_it_goes_on_where_it_was(measure: Callable[..., Ran]) -> None:
    with pytest.raises(KeyboardInterrupt):
        measure("--shares", "0.1", "--seeds", "1", stop=20)
    rest = measure("--shares", "0.1", "--seeds", "1")
    assert rest
    assert measure("--shares", "0.1", "--seeds", "1") == []
    assert len(measure("--shares", "0.1", "0.2", "--seeds", "1")) < 20


def test_another_parameter_runs_what_reads_it_and_what_follows(
    measure: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    measure("--shares", "0.1", "--seeds", "1")
    preset = cycle.params_file.preset
    monkeypatch.setattr(cycle.params_file, "preset", lambda *given: {**preset(*given), "cycle.keep": 0.3})
    assert {name.split()[0] for _, name in measure("--shares", "0.1", "--seeds", "1")} == {"train_cycle", "evaluate"}


@pytest.mark.parametrize("change", ["another size", "another time", "a new file", "one less", "behind a link"])
def test_a_source_that_has_changed_is_downloaded_again(
    change: str, measure: Callable[..., Ran], tmp_path: Path
) -> None:
    folder, words = tmp_path / "digits/train_data", ("--shares", "0.1", "--seeds", "1", "--folder")
    for name in ("digits/train_data/a.jpg", "digits/train_data/a.mp3", "elsewhere.jpg"):
        files.write_bytes(tmp_path / name, b"as it was")
    (folder / "link.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    assert ("digits", "download") in measure(*words, str(folder.parent))
    assert measure(*words, str(folder.parent)) == []
    match change:
        case "another size":
            (folder / "a.jpg").write_bytes(b"as it is now")
        case "another time":
            os.utime(folder / "a.jpg", ns=(1, 1))
        case "a new file":
            (folder / "b.jpg").write_bytes(b"")
        case "one less":
            (folder / "a.mp3").unlink()
        case _:
            os.utime(tmp_path / "elsewhere.jpg", ns=(1, 1))
    assert ("digits", "download") in measure(*words, str(folder.parent))


@pytest.mark.parametrize(("one", "other"), [("here/data", "there/data"), ("", "there/synthetic")])
def test_data_do_not_take_the_name_of_others_whose_rows_they_would_replace(
    one: str, other: str, measure: Callable[..., Ran], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--shares", "0.1", "--seeds", "1")
    measure(*words, *(["--folder", str(tmp_path / one)] if one else []))
    with pytest.raises(SystemExit, match="2"):
        measure(*words, "--folder", str(tmp_path / other))
    of = str(tmp_path / one) if one else "the toy orchestra"
    line = f"{Path(other).name}: rows of this name are of {of}: rename the folder"
    assert line in " ".join(capsys.readouterr().err.split())


def test_the_tables_and_the_picture_hold_all_sets_of_data(measure: Callable[..., Ran], tmp_path: Path) -> None:
    measure("--shares", "0.1", "1", "--seeds", "2")
    measure("--shares", "0.1", "--seeds", "1", "--folder", str(tmp_path / "digits"))
    for direction in DIRECTIONS:
        rows = files.read_csv(tmp_path / f"plots/cycle_{direction}.csv")
        assert list(rows[0]) == COLUMNS
        assert [(row["data"], row["share"], row["cycle"], row["seed"]) for row in rows] == [
            *(("digits", "0.1", rounds, "0") for rounds in ("0", f"{ROUNDS}")),
            *(("synthetic", "0.1", rounds, seed) for seed in "01" for rounds in ("0", f"{ROUNDS}")),
            ("synthetic", "1.0", "0", "0"),
        ]
        assert {(row["cycle"], row["class_consistency"]) for row in rows} == {("0", "0.5"), (f"{ROUNDS}", "0.8")}
    assert sorted(path.name for path in (tmp_path / "plots").glob("*.png")) == [
        "cycle_digits.png",
        "cycle_synthetic.png",
    ]


def test_rows_of_other_data_and_seeds_stay_and_nothing_but_this_runs_measures_is_added(
    measure: Callable[..., Ran], tmp_path: Path
) -> None:
    measure("--shares", "0.1", "1", "--seeds", "2")
    left = tmp_path / "work/synthetic/0.5/0/0"  # by other code, perhaps
    for direction in DIRECTIONS:
        files.write_json(left / f"metrics/evaluate_{direction}.json", dict.fromkeys(cycle.FIGURES, 0.9))
        path = tmp_path / f"plots/cycle_{direction}.csv"
        older, other = files.read_csv(path)[0], files.read_csv(path)[-1]
        rows = [older | {"cycle": "3"}, *({**other, "data": data, "cross_entropy": ""} for data in ("2024", "voices"))]
        files.write_csv(path, [{**row, "class_consistency": "0.123"} for row in [*files.read_csv(path)[:-1], *rows]])
    before = (tmp_path / "plots/cycle_audio_to_image.csv").read_text().splitlines()
    measure("--shares", "0.1", "--seeds", "1")
    after = (tmp_path / "plots/cycle_audio_to_image.csv").read_text().splitlines()
    assert sorted(set(after) & set(before)) == sorted(
        line for line in before if not line.startswith("synthetic,0.1,") or line.split(",")[3] == "1"
    )
    new = [line.split(",")[:5] for line in after if line not in before]
    assert new == [["synthetic", "0.1", "0", "0", "0.5"], ["synthetic", "0.1", f"{ROUNDS}", "0", "0.8"]]


def test_every_path_leads_from_the_folders_of_the_experiment_to_where_it_led(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "data.vggsound.list": "list.csv",
        "data.vggsound.test_list": "../test.csv",
        "data.vggsound.moments": "~/moments.json",
        "data.vggsound.cookies": "",
        "data.videos.labels": str(tmp_path / "labels.csv"),
        "features.source.image.network": "resnet18",
        "features.source.image.weights": "weights.pth",
        "vae.audio.perceptual_weights": "vgg16.pth",
        "init.vocoder": "models",
    }
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    params_file.put(tree, given)
    before = flat(tree)
    pipeline.make_absolute(tree, parameters.parse(tree))
    paths = {"data.folder.path", "data.videos.path", "data.vggsound.path"} | given.keys()
    wanted = {name: str(ROOT / before[name]) for name in paths} | {
        "data.vggsound.moments": str(tmp_path / "home/moments.json"),
        **{name: given[name] for name in ("data.vggsound.cookies", "features.source.image.network")},
    }
    assert flat(tree) == before | wanted


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of a tree by dotted key."""
    parts = [
        flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
        for key, value in tree.items()
    ]
    return {key: value for part in parts for key, value in part.items()}
