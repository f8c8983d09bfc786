"""The classifier learns from what is labelled and is judged by what is labelled, whatever else the data hold."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import sharded

from cycle_sound import paths
from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.tars import Sample
from cycle_sound.inference import bundle
from cycle_sound.io import params_file
from cycle_sound.models import classifier
from cycle_sound.nn.rng import seeded
from cycle_sound.params import Params
from cycle_sound.training.objectives.classifier import Batch, ClassifierObjective
from stages import train_classifier, train_judge

LABELLED = ["bell", "bird", "drum", "bird", "drum", "bell", "bell", "bird"]
BRIGHTNESS = {"bell": 40, "bird": 120, "drum": 210}

Train = Callable[[Sequence[str], Sequence[str]], Path]


def samples(split: str, labels: Sequence[str]) -> list[Sample]:
    """Pairs whose pictures show their label; the picture of a labelled one depends on its rank among these alone."""
    made: list[Sample] = []
    for number, label in enumerate(labels):
        rank = sum(before in BRIGHTNESS for before in labels[:number])
        rng = np.random.default_rng(rank if label else 1000 + number)
        picture = np.clip(rng.normal(BRIGHTNESS.get(label, 0), 20, (3, 32, 32)), 0, 255).astype(np.uint8)
        facts = {"id": f"{split}{number}", "label": label, "group": "", "attributes": {}}
        made.append(Sample(picture, np.zeros((1, 32, 32), np.float16), facts))
    return made


@pytest.fixture
def train(tmp_path: Path, write_tiny: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Train:
    """`train(labels, valid_labels)`: run the stage on pictures so labelled; the folder in which it ran."""
    runs = iter(range(9))

    def trained(labels: Sequence[str], valid_labels: Sequence[str]) -> Path:
        folder = tmp_path / str(next(runs))
        folder.mkdir()
        monkeypatch.chdir(folder)
        write_tiny(folder)
        made = {"train": samples("train", labels), "valid": samples("valid", valid_labels)}
        sharded(paths.SHARDS, **{split: [some] for split, some in made.items()})
        params = params_file.load()
        train_classifier.main("image", params)
        train_judge.main("image", params)
        return folder

    return trained


def figures(folder: Path) -> dict[str, float]:
    return json.loads((folder / paths.metrics("train_classifier", "image")).read_text(encoding="utf-8"))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / paths.curve("train_classifier", "image")).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def same(one: Path, other: Path) -> bool:
    """Whether the classifiers of two folders have the same weights."""
    a, b = (classifier.load(folder / paths.classifier("image")) for folder in (one, other))
    assert a is not None
    assert b is not None
    return all(torch.equal(a.state_dict()[name], b.state_dict()[name]) for name in a.state_dict())


def test_unlabelled_clips_change_nothing(train: Train) -> None:
    labels = ["", *LABELLED[:3], "", "", *LABELLED[3:], ""]
    valid = ["", "drum", "bell", "", "bird"]
    among, alone = train(labels, valid), train(LABELLED, ["drum", "bell", "bird"])
    assert figures(among) == figures(alone)
    assert same(among, alone)
    assert figures(among).keys() >= {"labels", "valid_loss", "valid_accuracy"}


def test_a_label_that_valid_alone_has_is_not_judged(train: Train) -> None:
    more, without = train(LABELLED, ["drum", "frog", "bell"]), train(LABELLED, ["drum", "bell"])
    assert figures(more) == figures(without)
    assert same(more, without)


@pytest.mark.parametrize("valid", [["", "", ""], ["frog", "", "frog"]])
def test_where_valid_has_no_known_label_nothing_is_claimed_and_the_last_weights_are_kept(
    train: Train, valid: list[str]
) -> None:
    folder = train(LABELLED, valid)
    assert figures(folder).keys() == {"labels", "step", "train_loss"}
    assert figures(folder)["step"] == 3
    assert [(row["step"], row["valid_loss"]) for row in rows(folder)] == [("2.0", ""), ("3.0", "")]
    model = classifier.load(folder / paths.classifier("image"))
    assert model is not None
    assert model.labels == ["bell", "bird", "drum"]


@pytest.mark.parametrize("labels", [["bell"] * 8, ["bell", *[""] * 7], [""] * 8])
def test_with_fewer_than_two_labels_there_is_no_classifier_and_no_figure(train: Train, labels: list[str]) -> None:
    folder = train(labels, labels[:3])
    assert figures(folder) == {"labels": len(set(labels) - {""})}
    assert classifier.load(folder / paths.classifier("image")) is None
    assert rows(folder) == []


def test_the_judge_is_another_network_than_the_classifier_and_stands_apart_from_what_is_exported(train: Train) -> None:
    folder = train(LABELLED, LABELLED[:3])
    named, judge = (classifier.load(folder / path("image")) for path in (paths.classifier, paths.judge))
    assert named is not None
    assert judge is not None
    assert judge.labels == named.labels
    assert judge.config.architecture != named.config.architecture
    exported = bundle.model_files(folder / "data", params_file.load(folder / "params.yaml").vocoder)
    assert folder / paths.judge("image") not in exported


@pytest.mark.parametrize("architecture", ["max_pooling", "residual"])
@pytest.mark.parametrize("size", [(32, 32), (64, 48)])
def test_a_classifier_of_either_architecture_is_rebuilt_from_its_file(
    architecture: str, size: tuple[int, int], params: Params, tmp_path: Path
) -> None:
    config = params.classifier.model_copy(update={"architecture": architecture})
    model = classifier.Classifier(config, 3, ["bell", "bird", "drum"], None).eval()
    classifier.save(tmp_path / "model.safetensors", model)
    again = classifier.load(tmp_path / "model.safetensors")
    assert again is not None
    pictures = torch.rand(2, 3, *size)
    assert torch.equal(again(pictures), model(pictures))


def test_labels_are_smoothed_as_far_as_params_yaml_says_and_no_file_tells(params: Params, tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    sharded(tmp_path / "shards", train=[samples("train", LABELLED)])
    split, losses, contents = Split(tmp_path / "shards", "train"), [], []
    for smoothing in (0.0, 0.3):
        torch.manual_seed(0)
        config = params.classifier.model_copy(update={"width": 8, "label_smoothing": smoothing})
        model = classifier.Classifier(config, 3, ["bell", "bird", "drum"], None).eval()
        shifts, degradation = params.augment.image, params.augment.degradation
        objective = ClassifierObjective(
            model, "image", (split, split), shifts, degradation, label_smoothing=smoothing, validation_pairs=8
        )
        batch = Batch(torch.rand(2, 3, 32, 32, generator=seeded(0)), torch.tensor([0, 2]))
        logits = model(batch.pictures)
        wanted = F.cross_entropy(logits, batch.targets, label_smoothing=smoothing)
        losses.append(objective.loss(batch, 0, None)["loss"])
        assert torch.isclose(losses[-1], wanted)
        classifier.save(tmp_path / "model.safetensors", model)
        contents.append((tmp_path / "model.safetensors").read_bytes())
    assert losses[0] != losses[1]
    assert contents[0] == contents[1]
