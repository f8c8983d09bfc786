"""The whole pipeline, tiny: by `dvc repro` in a copy of the project, and all stages in one process on any source."""

import csv
import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pipelines
import pytest
from pipelines import copied, digests, dvc, environment, run, steps
from ruamel.yaml import YAML
from shared import DIGITS, VGGSOUND, needs

from cycle_sound.acquisition import manifest
from cycle_sound.evaluation import attributes, generation, metrics
from cycle_sound.inference import fixed_batches
from cycle_sound.io import params_file
from cycle_sound.params import DIRECTIONS, MODALITIES

ROOT = Path(__file__).resolve().parents[1]
VIDEOS = VGGSOUND / "videos"
STAGES: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
MOUNTING = ("unshare", "--user", "--map-root-user", "--mount")
FIXED_BATCH = dict(fixed_batches.FIXED_BATCH)  # of a build: larger ones than those of other tests
INTERVAL = ("", "_low", "_high")

SMALL_NETWORKS = """
import torch
import torchvision.models
from torch import nn
from torchvision.models.vgg import make_layers

from cycle_sound.models import features


class SmallVgg16(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = make_layers([4, 4, "M", 4, 4, "M", 4, 4, 4])  # as in VGG16, but for the widths


torchvision.models.vgg16 = SmallVgg16
torch.save(SmallVgg16().state_dict(), "vgg16.pth")
features._torchvision = lambda name: nn.Sequential(nn.Conv2d(3, 8, 32, stride=32), nn.ReLU())
torch.save(features._torchvision("resnet18").state_dict(), "resnet18.pth")
"""

REFUSED = """
import json
import resource
import runpy
import shutil
import sys
from pathlib import Path


def limited(room):
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))


def full(room):
    Path("rest").unlink(missing_ok=True)
    if room != resource.RLIM_INFINITY:
        Path("rest").write_bytes(bytes(shutil.disk_usage(".").free - room))


leave = {"limited": limited, "full": full}[sys.argv[1]]
rooms, stages = map(json.loads, sys.argv[2:4])
for name, *words in stages:
    for room in (*rooms, resource.RLIM_INFINITY):  # bytes
        leave(room)
        sys.argv = [f"stages/{name}.py", *words]
        code = 0
        try:
            runpy.run_module(f"stages.{name}", run_name="__main__")
        except SystemExit as end:
            code = end.code
        print(f"ended: {name} {room} {code}", flush=True)
"""

ON_A_SMALL_DISK = """
mount -t tmpfs -o size=64m tmpfs "$0" && cp -R . "$0" && work="$PWD" && cd "$0" && "$@" && cp -R data metrics "$work"
"""

LIKELIHOOD = {"pairs", "cross_entropy", "cross_entropy_shuffled"}
RETRIEVAL = {f"recall_at_{k}{end}" for k in (1, 5) for end in (*INTERVAL, "_floor")}
CLASSES = {f"class_consistency{by}{end}" for by in ("", "_judge") for end in (*INTERVAL, "_floor", "_ceiling")} | {
    "classifier_accuracy",
    "judge_accuracy",
    "frechet_distance",
    "frechet_distance_ceiling",
    "diversity",
    "cycle_consistency",
}
VOCODER = {"vocoder_log_spectral_distance"}
SHARPNESS = {"gradient_ratio", "high_frequency_ratio"}

Write = Callable[..., None]


def figures(folder: Path, name: str) -> dict[str, float]:
    return json.loads((folder / f"metrics/{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def build(tmp_path: Path, write_tiny: Write) -> Callable[..., Path]:
    """`build(before, **over)`: run a script and all stages in one process, in a folder of their own."""

    def made(before: str = "", **over: Any) -> Path:
        write_tiny(tmp_path, **over)
        pipelines.build(tmp_path, before)
        return tmp_path

    return made


def test_all_that_dvc_yaml_promises_is_made(built: Path):
    promised = [out["path"] for step in steps(built).values() for out in step["outs"]]
    assert len(steps(built)) == 29
    assert {path for path in promised if not (built / path).exists()} == set()
    assert [path for path in promised if path.startswith("metrics/evaluate")] == [
        f"metrics/evaluate_{direction}.json" for direction in sorted(DIRECTIONS)
    ]


@pytest.mark.parametrize(
    ("disk", "rooms", "refusal"),  # rooms: bytes for all, or for each file, at one try after another
    [
        pytest.param("limited", [100], "File too large", id="limited"),
        pytest.param(
            *("full", [0, 1 << 15], r"No space left on device: it takes [\w. -]+, but only 0\.?\d* MB are free"),
            id="full",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_disk_that_refuses_ends_every_stage_in_one_line_and_a_rerun_gives_the_same_bytes(
    disk: str, rooms: list[int], refusal: str, built: Path, tmp_path: Path
):
    folder = shutil.copytree(built, tmp_path / "project", ignore=shutil.ignore_patterns(".dvc", ".git"))
    firsts = {name.partition("@")[0]: name for name in reversed(steps(built))}
    # Without a network, a model to go on from or an audit there are empty folders alone: any disk has room for them.
    empty = {"cache_features", "audit_pairs", "drop_pairs", "import_models"}
    order = [name for name in STAGES if name in firsts and name not in empty]
    for name in order:
        for out in steps(built)[firsts[name]]["outs"]:
            path = folder / out["path"]
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / "refused.py").write_text(REFUSED, encoding="utf-8")
    names = [firsts[name].split("@") for name in order]
    words = [sys.executable, "refused.py", disk, json.dumps(rooms), json.dumps(names)]
    if disk == "full":
        (tmp_path / "disk").mkdir()
        words = [*MOUNTING, "sh", "-c", ON_A_SMALL_DISK, str(tmp_path / "disk"), *words]
    done = subprocess.run(words, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
    ended = [line.removeprefix("ended: ").split() for line in done.stdout.splitlines() if line.startswith("ended: ")]
    if not ended and "mount" in done.stderr:
        pytest.skip(f"no small disk can be had here: {done.stderr.strip()}")
    codes = {(name, int(room)): int(code) for name, room, code in ended}
    assert {name: codes[name, rooms[0]] for name in order} == dict.fromkeys(order, 1), done.stderr
    assert {name: codes[name, resource.RLIM_INFINITY] for name in order} == dict.fromkeys(order, 0), done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == sum(codes.values())
    assert all(re.fullmatch(rf"error: (\S*/)?(data|metrics)/\S+: {refusal}", line) for line in errors), errors
    assert "Traceback" not in done.stderr
    assert digests(folder) == digests(built)


def test_every_figure_that_the_design_names_is_written(built: Path):
    for direction in DIRECTIONS:
        wanted = LIKELIHOOD | RETRIEVAL | CLASSES | SHARPNESS | (VOCODER if direction == "image_to_audio" else set())
        found = figures(built, f"evaluate_{direction}")
        assert wanted <= found.keys(), wanted - found.keys()
        assert all(isinstance(value, float | int) for value in found.values())
    for modality, own in (("image", {"psnr", "ssim"}), ("audio", {"log_spectral_distance"})):
        found = figures(built, f"train_vae_{modality}")
        assert {"hard_error", "usage", "perplexity"} | SHARPNESS | own <= found.keys()


SETTINGS = {"sweep_sampling": ["guidance 1", "guidance 3"], "evaluate": ["best of 1", "best of 2"]}


@pytest.mark.parametrize("stage", SETTINGS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_way_to_draw_has_a_row(built: Path, stage: str, direction: str):
    with (built / f"metrics/plots/{stage}_{direction}.csv").open(encoding="utf-8") as file:
        rows = {row.pop("setting"): {name: float(value) for name, value in row.items()} for row in csv.DictReader(file)}
    assert list(rows) == SETTINGS[stage]
    if stage == "evaluate":
        alone, best = (row["pointwise_mutual_information"] for row in rows.values())
        assert best > alone  # of all sources one at least has a second candidate that explains it better
        found = figures(built, f"evaluate_{direction}")
        for name in ("class_consistency", "class_consistency_judge", "cycle_consistency"):
            assert rows["best of 1"][name] == found[name]  # of all test pairs, the same samples
    for row in rows.values():
        for by in ("class_consistency", "class_consistency_judge"):
            low, share, high = (row[f"{by}{end}"] for end in ("_low", "", "_high"))
            assert 0 <= low <= share <= high <= 1
        assert "cycle_consistency_floor" in row


def test_the_ceiling_of_the_shared_attributes_is_what_the_tokenizer_leaves_of_real_pictures(
    built: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(built)
    monkeypatch.setattr(fixed_batches, "FIXED_BATCH", FIXED_BATCH)
    params = params_file.load()
    models = generation.load("audio_to_image", "test", params.sampling, params.vocoder)
    pairs = models.pairs(range(len(models.split.labels)))
    real = attributes.of_pictures(pairs.target)
    tokenized = attributes.of_pictures(models.engine.decode("image", pairs.codes))
    found = figures(built, "evaluate_audio_to_image")
    assert len(real) == 3
    for figure, measured in real.items():
        wanted = [one[attributes.SHARED[figure]] for one in models.split.attributes]
        assert metrics.rank_correlation(measured, wanted) > 0.8  # what is measured is there
        ceiling = metrics.rank_correlation(tokenized[figure], wanted)  # none where all look alike
        assert found.get(f"{figure}_ceiling") == (ceiling and pytest.approx(ceiling, rel=1e-5))


@pytest.mark.parametrize(
    ("direction", "command", "source", "files"),
    [("audio_to_image", "image", "mp3", ["png"]), ("image_to_audio", "sound", "jpg", ["wav", "png"])],
)
def test_what_is_evaluated_is_what_the_command_line_makes(
    built: Path, tmp_path: Path, direction: str, command: str, source: str, files: list[str]
):
    """Of equal files and seeds equal bytes, whatever the batch."""
    given = sorted((built / f"data/samples/{direction}").glob(f"*/source.{source}"))
    assert len(given) == 3
    paths = [built / f"data/raw/test_data/{path.parent.name}.{source}" for path in given]
    words = (sys.executable, "-m", "cycle_sound.app.cli", command)
    run(built, *words, *map(str, paths), "-o", str(tmp_path / "together"), "--seed", "0")
    run(built, *words, str(paths[-1]), "-o", str(tmp_path / "alone"), "--seed", "0")
    for kind in files:
        evaluated = [(path.parent / f"generated.{kind}").read_bytes() for path in given]
        assert [(tmp_path / "together" / f"{path.stem}.{kind}").read_bytes() for path in paths] == evaluated
        assert (tmp_path / "alone" / f"{paths[-1].stem}.{kind}").read_bytes() == evaluated[-1]


def test_a_second_run_has_nothing_to_do(built: Path):
    lock = (built / "dvc.lock").read_bytes()
    assert "up to date" in dvc(built, "status")
    said = dvc(built, "repro")
    assert "Running stage" not in said
    assert "up to date" in said
    assert (built / "dvc.lock").read_bytes() == lock


@pytest.mark.slow
def test_one_command_makes_all_from_nothing_the_same_to_the_byte(built: Path, tmp_path: Path, write_tiny: Write):
    folder = copied(tmp_path / "project")
    write_tiny(folder)
    dvc(folder, "repro")
    once, again = digests(built), digests(folder)
    assert once.keys() == again.keys()
    assert [name for name in once if once[name] != again[name]] == []
    assert steps(folder) == steps(built)


def test_one_command_builds_by_a_preset(built: Path, tmp_path: Path):
    folder = shutil.copytree(built, tmp_path / "project")
    shutil.copy(ROOT / "params.yaml", folder)
    words = ("make", "-o", ".venv/installed", "repro", "preset=tiny", f"BIN={Path(sys.executable).parent}")
    assert "up to date" in run(folder, *words, PYTHONPATH=str(folder))  # since it was built by the same values
    assert params_file.load(folder / "params.yaml") == params_file.load(built / "params.yaml")


def test_another_audio_codebook_touches_only_what_hears_through_it(built: Path, tmp_path: Path, write_tiny: Write):
    shutil.copytree(built, tmp_path / "project", symlinks=True)
    write_tiny(tmp_path / "project", vae={"audio": {"codebook_size": 8}})
    changed = json.loads(dvc(tmp_path / "project", "status", "--json"))
    assert changed == {
        "import_models": [{"changed deps": {"params.yaml": {"vae.audio.codebook_size": "modified"}}}],
        "train_vae@audio": [{"changed deps": {"params.yaml": {"vae.audio": "modified"}}}],
        "export": [{"changed deps": {"params.yaml": {"vae": "modified"}}}],  # its card tells all parameters
    }
    assert after("train_vae@audio", steps(built)) == {
        "train_vae@audio",
        "finetune_decoder@audio",
        "cache_tokens@audio",
        *(
            f"{stage}@{direction}"
            for stage in ("train_transformer", "sweep_sampling", "fit_confidence", "evaluate")
            for direction in DIRECTIONS
        ),
        "train_cycle",
        "report",
        "export",
    }


def test_every_kind_of_model_and_loss_goes_all_the_way(build: Callable[..., Path]):
    vae = {"codebooks": 2, "perceptual_weight": 0.1, "perceptual_weights": "vgg16.pth"}
    network = {"image": {"network": "resnet18", "weights": "resnet18.pth"}}
    folder = build(
        SMALL_NETWORKS,
        data={"paired_share": 0.5},
        vae={modality: vae for modality in MODALITIES},
        tokens={"top": 3},
        features={"source": network, "judge": network},
        transformer={
            "audio_to_image": {"condition": "tokens", "reconstruction_weight": 0.1},
            "image_to_audio": {"condition": "features", "reconstruction_weight": 0.1},
        },
        cycle={"rounds": 1},
    )
    for modality in MODALITIES:
        codes = np.load(folder / f"data/tokens/{modality}/train.codes.npy")
        assert codes.shape[1:] == (2, 2, 64, 3)  # views, codebooks, places, codes kept
        assert (np.diff(np.sort(codes, axis=-1), axis=-1) > 0).all()  # three different ones
        assert min(learned(folder, f"train_vae_{modality}", "train_perceptual")) > 0
    for direction in DIRECTIONS:
        assert min(learned(folder, f"train_transformer_{direction}", "train_reconstruction")) > 0
        assert min(learned(folder, f"train_cycle_{direction}", "train_reconstruction")) > 0
        found = figures(folder, f"evaluate_{direction}")
        assert found.keys() >= LIKELIHOOD | RETRIEVAL | CLASSES
        assert found["cross_entropy"] == pytest.approx(np.log(16), rel=0.2)  # nats per code: next to nothing is learned
    assert np.load(folder / "data/features/image/train.features.npy").shape[1:] == (2, 8, 4, 4)
    assert (folder / "data/report/index.html").stat().st_size > 10_000


def learned(folder: Path, training: str, column: str) -> list[float]:
    """A column of a learning curve."""
    with (folder / f"metrics/plots/{training}.csv").open(encoding="utf-8") as file:
        return [float(row[column]) for row in csv.DictReader(file)]


def after(name: str, graph: dict[str, dict[str, Any]]) -> set[str]:
    """A step, and all that take something it made, directly or not."""
    outs = {out["path"] for out in graph[name]["outs"]}
    takers = {taker for taker, step in graph.items() if outs & {dep["path"] for dep in step["deps"]}}
    return {name}.union(*(after(taker, graph) for taker in takers))


@pytest.mark.slow
@needs(DIGITS)
def test_a_folder_of_real_recordings_goes_all_the_way(tmp_path: Path, build: Callable[..., Path]):
    corpus = tmp_path / "digits"
    with (DIGITS / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    train = [row for row in rows if row["split"] == "train"]
    test = [row for row in rows if row["split"] == "test"]
    taken = train[:: len(train) // 40][:40] + test[:: len(test) // 12][:12]
    for row in taken:
        place = Path(f"{row['split']}_data")
        (corpus / place).mkdir(parents=True, exist_ok=True)
        for extension in ("jpg", "mp3"):
            shutil.copy(DIGITS / place / f"{row['id']}.{extension}", corpus / place)
    with (corpus / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(taken)
    folder = build(data={"source": "folder", "folder": {"path": str(corpus)}})
    assert figures(folder, "download")["ok"] == 52
    assert figures(folder, "train_classifier_audio")["labels"] == len({row["label"] for row in taken})
    for direction in DIRECTIONS:
        assert figures(folder, f"evaluate_{direction}").keys() >= LIKELIHOOD | RETRIEVAL | CLASSES
        assert not any("correlation" in name for name in figures(folder, f"evaluate_{direction}"))


@pytest.mark.slow
@needs(VIDEOS)
def test_videos_without_labels_go_all_the_way(build: Callable[..., Path]):
    folder = build(
        data={"source": "videos", "videos": {"path": str(VIDEOS), "labels": "", "pairs_per_clip": 2, "test_share": 0.5}}
    )
    rows = manifest.read(folder / "data/raw/manifest.csv")
    deaf = [row for row in rows if row.id.startswith("0jZtLuEdjrk_000110")]
    assert [(row.status, row.picture_sha256) for row in deaf] == [("no_audio", "")] * 2
    for direction in DIRECTIONS:
        found = figures(folder, f"evaluate_{direction}")
        assert found.keys() >= LIKELIHOOD | RETRIEVAL
        assert not any("class" in name or "cycle" in name for name in found)
    page = (folder / "data/report/index.html").read_text(encoding="utf-8")
    assert "There are no class figures, since there are fewer than two labels to tell apart" in page
