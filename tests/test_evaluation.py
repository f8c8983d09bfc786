"""Floors are floors: what makes each one of them can be seen to be there."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from cycle_sound.evaluation import examples, scores
from cycle_sound.evaluation.scores import DirectionModels, Generated, ModalityData
from cycle_sound.media import spectrogram
from cycle_sound.params import Params

COUNT = 12


class KnownEngine:
    """Stands for an engine: a source is its number, and so are a target's codes."""

    def __init__(self, common: Tensor, match: float = 2.0) -> None:
        self.common, self.match = common, match  # log p(target | null), (n,); what its own source adds

    def prefixes(self, _direction: str, sources: Tensor) -> Tensor:
        return sources.view(-1, 1, 1)

    def null_prefixes(self, _direction: str, count: int) -> Tensor:
        return torch.full((count, 1, 1), -1.0)

    def log_likelihood(self, _direction: str, prefixes: Tensor, codes: Tensor) -> Tensor:
        own = prefixes.flatten() == codes.flatten()
        return self.common[codes.flatten().long()] + self.match * own


class Names(nn.Linear):
    """Stands for a classifier: it reads a picture's label off its first pixel."""

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(1, 1)  # there is a weight to say on which device it is
        self.labels = list(labels)

    def features(self, pictures: Tensor) -> Tensor:
        return pictures.flatten(1)[:, :1]

    def head(self, features: Tensor) -> Tensor:
        return F.one_hot(features[:, 0].long(), len(self.labels)).float()


def direction(engine: object, labels: Sequence[str] = ("a",) * COUNT) -> DirectionModels:
    rows = torch.arange(float(len(labels)))
    data = ModalityData("image", rows.view(-1, 1, 1, 1), rows.view(-1, 1, 1, 1))
    plain = None
    return DirectionModels(engine, "audio_to_image", plain, plain, data, data, list(labels), [], [], {})  # type: ignore[arg-type]


def test_a_target_that_is_likely_under_any_source_wins_no_retrieval(params: Params) -> None:
    """Without log p(target | null) the likely one would come first for every source."""
    common = torch.zeros(COUNT)
    common[3] = 10.0
    config = params.evaluate.model_copy(update={"retrieval_pool": COUNT, "retrieval_queries": COUNT})
    found = scores.retrieval(direction(KnownEngine(common)), config)
    assert found["recall_at_1"] == 1.0
    assert found["recall_at_1_floor"] == pytest.approx(1 / COUNT)


def test_a_model_that_does_not_hear_its_source_retrieves_by_chance_and_gains_nothing(params: Params) -> None:
    common = torch.randn(COUNT, generator=torch.Generator().manual_seed(0))
    deaf = direction(KnownEngine(common, match=0.0))
    likelihood = scores.likelihood(deaf)
    assert likelihood["cross_entropy"] == likelihood["cross_entropy_shuffled"]
    hearing = scores.likelihood(direction(KnownEngine(common)))
    assert hearing["cross_entropy"] == pytest.approx(hearing["cross_entropy_shuffled"] - 2.0)


@pytest.mark.parametrize("labels", [["a", "b", "c", "d"] * 5, sorted(["a", "b", "c", "d"] * 5)])
def test_the_floor_of_a_consistency_is_what_chance_gives_in_whatever_order(labels: list[str]) -> None:
    models, names = direction(None, labels), Names(["a", "b", "c", "d"])
    right = torch.tensor([float("abcd".index(label)) for label in labels]).view(-1, 1, 1, 1)
    found = scores.consistency("x", models, names, right)
    assert found["x"] == 1.0
    assert found["x_floor"] == 0.25
    one_for_all = scores.consistency("x", models, names, torch.zeros_like(right))
    assert one_for_all["x"] == one_for_all["x_floor"] == 0.25  # a sample that fits anything is no better than its floor


@pytest.mark.parametrize("labels", [["", "", ""], ["unknown", "", "other"]])
def test_pairs_without_a_label_that_the_classifier_knows_have_no_consistency(labels: list[str]) -> None:
    assert scores.consistency("x", direction(None, labels), Names(["a", "b"]), torch.zeros(3, 1, 1, 1)) == {}


def test_of_partly_labelled_pairs_the_labelled_ones_count() -> None:
    labels = ["a", "", "b", "unknown"]
    found = scores.consistency("x", direction(None, labels), Names(["a", "b"]), torch.zeros(4, 1, 1, 1))
    assert found["x"] == 0.5


def test_the_judge_says_what_it_sees_whatever_the_classifier_says() -> None:
    models = direction(None, ["a", "b", "c", "d"])._replace(judges={"image": Names(["a", "b", "c", "e"])})
    made = torch.tensor([0.0, 1.0, 0.0, 3.0]).view(-1, 1, 1, 1)
    generated = Generated(made[:, None], torch.zeros(4, 1), np.empty((0, 0)), made, made, models.target.codes)
    found = scores.judged(models, generated)
    assert found["class_consistency_judge"] == pytest.approx(2 / 3)  # of those whose label it knows
    assert found["class_consistency_judge_ceiling"] == found["judge_accuracy"] == 1.0
    assert scores.judged(models._replace(judges={"image": None}), generated) == {}


@pytest.mark.parametrize("label", ["Ba$$in", "$", "a $5 bell, a $9 drum", "$\\frac{$", "$x^{$ & _{", "\\$x$"])
def test_a_label_is_drawn_letter_by_letter_and_never_as_mathematics(label: str, tmp_path: Path) -> None:
    models = direction(None, [label, "plain"])
    pictures = torch.zeros(2, 3, 8, 8)
    models = models._replace(
        source=models.source._replace(pictures=pictures), target=models.target._replace(pictures=pictures)
    )
    generated = Generated(pictures[:, None], torch.zeros(2, 1), np.empty((0, 0)), *[pictures] * 3)
    examples.contact_sheet(tmp_path / "sheet.png", models, generated, [0, 1])
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], label=label)
    axes.set_xlabel(label)
    axes.set_xticks([0], [label])
    axes.legend()
    figure.suptitle(label)
    figure.text(0, 0, label)
    spectrogram.save(figure, tmp_path / "plot.png")
