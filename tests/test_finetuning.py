"""Fine-tuning: a training goes on from models that fit, and says in one line why from others it cannot."""

import re
import shutil
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import write_shards

from benchmarks import finetuning as benchmark
from cycle_sound import paths
from cycle_sound.errors import BadCheckpoint, MisplacedInit, MixedInit, NotEmptied, OtherInit, ParamsError
from cycle_sound.io import files, params_file
from cycle_sound.nn import checkpoint
from cycle_sound.params import DIRECTIONS, MODALITIES, Modality, Params
from cycle_sound.training import init
from stages import import_models, train_vae

ROOT = Path(__file__).resolve().parents[1]


Project = Callable[..., Params]


def over(tree: dict[str, Any], deeper: dict[str, Any]) -> dict[str, Any]:
    """A tree with the leaves of another in it, of which it need not have the branches."""
    both = {key: over(tree.get(key, {}), value) for key, value in deeper.items() if isinstance(value, dict)}
    return {**tree, **deeper, **both}


@pytest.fixture
def project(data: Path, tmp_path: Path, write_tiny: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Project:
    """`project(**changes)`: the parameters of models like those in `data`, from which all trainings go on."""
    monkeypatch.chdir(tmp_path)
    folder, vae, transformer = str(data), {"codebooks": 1}, {"condition": "encoder", "source_downsamples": 3}
    like = {
        "vae": dict.fromkeys(MODALITIES, vae),
        "transformer": dict.fromkeys(DIRECTIONS, transformer),
        "init": {
            "vae": dict.fromkeys(MODALITIES, folder),
            "transformer": dict.fromkeys(DIRECTIONS, folder),
            "vocoder": folder,
        },
    }

    def made(**changes: Any) -> Params:
        write_tiny(tmp_path, **over(like, changes))
        return params_file.load(tmp_path / "params.yaml")

    return made


def test_what_is_named_is_copied_and_all_else_is_an_empty_folder(project: Project, data: Path) -> None:
    import_models.main(project())
    for modality in MODALITIES:
        assert init.digest(paths.init("vae", modality)) == files.digest(paths.vae(modality, data))
    for direction in DIRECTIONS:
        assert init.digest(paths.init("transformer", direction)) == files.digest(paths.cycle(direction, data))
    assert init.digest(paths.init("vocoder")) == files.digest(paths.vocoder(data))
    nothing = {"vae": dict.fromkeys(MODALITIES, ""), "transformer": dict.fromkeys(DIRECTIONS, ""), "vocoder": ""}
    import_models.main(project(init=nothing))
    assert [list(folder.iterdir()) for folder in paths.inits()] == [[]] * 5


OTHERS = {
    "vae.image.width": 48,
    "vae.audio.codebook_size": 32,
    "transformer.audio_to_image.depth": 3,
    "transformer.image_to_audio.heads": 1,
    "image.size": 96,
    "audio.hop_length": 512,
    "vocoder.learned.width": 24,
}


@pytest.mark.parametrize("key", OTHERS)
def test_a_model_of_other_settings_is_refused_in_one_line_that_names_them(key: str, project: Project) -> None:
    *sections, last = key.split(".")
    changes = reduce(lambda tree, section: {section: tree}, reversed(sections), {last: OTHERS[key]})
    params = project(**changes, **({"data": {"clip_seconds": 2.048}} if last == "hop_length" else {}))
    with pytest.raises(OtherInit, match=r"init\..*: .*safetensors: its .* is .*; params\.yaml asks for") as refused:
        import_models.main(params)
    assert last in str(refused.value) or key == "image.size"
    assert "\n" not in str(refused.value)
    assert not paths.INIT.exists()


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_transformer_needs_the_vaes_whose_codes_it_knows(
    modality: Modality, project: Project, untrained: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = untrained(tmp_path / "other")
    path = paths.vae(modality, other)
    path.write_bytes(path.read_bytes().replace(b"of the shards", b"of new shards"))
    for folder in ("", str(other)):
        with pytest.raises(MixedInit, match=rf"another VAE than the one that init\.vae\.{modality} names"):
            import_models.main(project(init={"vae": {modality: folder}}))


def test_a_file_that_is_no_model_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="no such model"):
        import_models.main(project(init={"vocoder": str(tmp_path)}))
    files.write_bytes(paths.vocoder(tmp_path), b"\xff" * 100)
    with pytest.raises(BadCheckpoint, match="not a safetensors file"):
        import_models.main(project(init={"vocoder": str(tmp_path)}))


KINDS = {
    **{f"vae_{modality}": {"vae": {modality: "{}"}} for modality in MODALITIES},
    **{f"transformer_{direction}": {"transformer": {direction: "{}"}} for direction in DIRECTIONS},
    "vocoder": {"vocoder": "{}"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["data/init/{}", "data/init/mine", "link", "data/init/link"])
def test_a_model_in_the_folder_that_models_are_copied_to_is_refused_and_stays(
    place: str, kind: str, project: Project, data: Path
) -> None:
    named = Path(place.format(kind))
    own = {"link": paths.INIT / kind, "data/init/link": Path("elsewhere")}.get(place, named)
    if own != named:
        named.parent.mkdir(parents=True, exist_ok=True)
        named.symlink_to(own.absolute())
    shutil.copytree(data, own, ignore=shutil.ignore_patterns("shards", "raw"))
    before = {path: path.read_bytes() for path in own.rglob("*.safetensors")}
    params = project(init=filled(KINDS[kind], str(named)))
    with pytest.raises(MisplacedInit, match=r"^init\.\S+: .*: lies in data/init, .*: move it away$") as refused:
        import_models.main(params)
    assert "\n" not in str(refused.value)
    assert {path: path.read_bytes() for path in own.rglob("*.safetensors")} == before


def filled(tree: Any, value: str) -> Any:
    """A tree with a value as its one leaf."""
    return {key: filled(below, value) for key, below in tree.items()} if isinstance(tree, dict) else value


def test_a_model_that_cannot_be_removed_is_none_that_a_training_begins_from(project: Project, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / paths.INIT_NAME).write_bytes(b"of somebody")
    folder = paths.inits()[0]
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(tmp_path / "elsewhere")
    nothing = {"vae": dict.fromkeys(MODALITIES, ""), "transformer": dict.fromkeys(DIRECTIONS, ""), "vocoder": ""}
    with pytest.raises(NotEmptied, match="would begin from it"):
        import_models.main(project(init=nothing))
    assert (tmp_path / "elsewhere" / paths.INIT_NAME).read_bytes() == b"of somebody"


def test_no_steps_need_a_vae_to_leave_as_it_is(project: Project) -> None:
    vae = {"image": {"optimizer": {"steps": 0}}}
    assert project(vae=vae).vae.image.optimizer.steps == 0
    with pytest.raises(ParamsError, match=r"vae\.image\.optimizer\.steps 0 needs a trained VAE: .* init\.vae\.image"):
        project(vae=vae, init={"vae": {"image": ""}})


@pytest.mark.parametrize("steps", [0, 2])
def test_a_vae_goes_on_from_the_weights_of_another(steps: int, project: Project, data: Path, tmp_path: Path) -> None:
    write_shards(tmp_path, {"train": 8, "valid": 4, "test": 4})
    optimizer = {"steps": steps, "learning_rate": 1e-6, "weight_decay": 0.0, "valid_every": 1}
    params = project(vae={"image": {"optimizer": optimizer, "min_usage": 0.0}})
    import_models.main(params)
    train_vae.main("image", params)
    before, after = load_file(paths.vae("image", data)), load_file(paths.vae("image"))
    assert before.keys() == after.keys()
    assert all(torch.allclose(before[name], after[name], atol=1e-4) for name in before)
    assert all(torch.equal(before[name], after[name]) for name in before) == (steps == 0)
    header, *rows = paths.curve("train_vae", "image").read_text().splitlines()
    assert {"step", "train_error", "valid_loss", "valid_usage", "valid_perplexity"} <= set(header.split(","))
    assert bool(rows) == bool(steps)


def test_a_state_of_a_training_from_another_model_is_not_gone_on_with(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shards(tmp_path, {"train": 8, "valid": 4, "test": 4})
    snapshot = paths.snapshot("train_vae", "image")
    nothing = {"vae": {"image": ""}, "transformer": dict.fromkeys(DIRECTIONS, "")}
    for asked, said in (({}, ""), (nothing, "of other data, parameters or code")):
        params = project(init=asked)
        import_models.main(params)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("cycle_sound.training.resume.Snapshot.discard", lambda _: None)
            train_vae.main("image", params)
        assert said in capsys.readouterr().out
        assert snapshot.is_file()


def test_the_models_that_come_along_fit_the_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = params_file.with_preset(params_file.load(ROOT / "params.yaml"), "finetune", ROOT / "presets")
    (tmp_path / "cycle_sound").mkdir()
    (tmp_path / "cycle_sound/pretrained").symlink_to(ROOT / "cycle_sound/pretrained")
    monkeypatch.chdir(tmp_path)
    import_models.main(params)
    assert all(init.digest(folder) for folder in paths.inits())


def test_the_file_that_was_taken_is_read_as_an_untrusted_one(tmp_path: Path) -> None:
    (tmp_path / paths.INIT_NAME).write_bytes(b"nonsense")
    with pytest.raises(BadCheckpoint):
        init.begun(tmp_path, lambda: torch.nn.Linear(2, 2))
    checkpoint.save(tmp_path / paths.INIT_NAME, torch.nn.Linear(2, 3), "other", {})
    with pytest.raises(BadCheckpoint, match=re.escape("bias is [3], not [2]")):
        init.begun(tmp_path, lambda: torch.nn.Linear(2, 2))


# --- the benchmark


def test_the_benchmark_measures_the_pairs_that_this_run_has_chosen_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"{label}_{speaker}_{take}" for label in ("one", "two") for speaker in ("ann", "bob") for take in range(4)]
    for path in (tmp_path / f"pairs/train_data/{name}.{kind}" for name in ids for kind in ("jpg", "mp3")):
        files.write_bytes(path, path.name.encode())
    table = [{"id": name, "split": "train", "label": name.split("_")[0], "group": name} for name in ids]
    files.write_csv(tmp_path / "pairs/labels.csv", table)
    given: list[set[str]] = []

    def run(_tree: Any, levels: Any) -> None:
        folder = Path(levels[1].values["data.folder.path"])
        names = {path.stem for path in folder.rglob("*.mp3") if path.read_bytes() == path.name.encode()}
        assert {row["id"] for row in files.read_csv(folder / "labels.csv")} == names
        given.append(names)

    monkeypatch.setattr(benchmark, "FOLDER", tmp_path / "work")
    monkeypatch.setattr(benchmark.pipeline, "run", run)
    monkeypatch.setattr(benchmark, "measured", lambda *_: {})
    for words in ("ann --pairs 4 --test 4", "bob --pairs 4 --test 4", "ann --pairs 2 --test 2"):
        monkeypatch.setattr(sys, "argv", ["finetuning", str(tmp_path / "pairs"), "--speaker", *words.split()])
        benchmark.main()
    assert [len(names) for names in given[::3]] == [8, 8, 4]
    assert [{name.split("_")[1] for name in names} for names in given[::3]] == [{"ann"}, {"bob"}, {"ann"}]
