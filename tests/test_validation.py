"""Validations look at no more than they are given, a few pairs at a time, and two processes look at half of it each."""

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from processes import TWO, run
from torch import Tensor

from cycle_sound import params as parameters
from cycle_sound import paths
from cycle_sound.io import files
from cycle_sound.models.classifier import Classifier
from cycle_sound.models.dvae import DiscreteVAE
from cycle_sound.models.tokenizer import CodeShape
from cycle_sound.models.transformer import Shapes, Transformer
from cycle_sound.nn import rng
from cycle_sound.params import DIRECTIONS, MODALITIES, Params
from cycle_sound.training import validation
from cycle_sound.training.objectives.classifier import ClassifierObjective
from cycle_sound.training.objectives.transformer import SplitInputs, TransformerObjective
from cycle_sound.training.objectives.vae import VaeObjective
from stages import cache_tokens, train_cycle, train_transformer

COUNT, CAP = 11, 7
SHARE = """
import json
from pathlib import Path
from test_validation import BATCH, Rows, vae
from cycle_sound.io import params_file
from cycle_sound.nn import distributed
from cycle_sound.training import validation

validation.BATCH = BATCH
with distributed.process_group():
    rows = Rows()
    figures = vae(params_file.load(Path(PARAMS)), rows)()
    open(f"{distributed.rank()}.json", "w").write(json.dumps([rows.read, figures]))
"""
BATCH = 2


class Rows:
    """Stands for a split of smooth labelled pictures and for the tokens of it, and notes what is read of it."""

    labels = ["bell", "bird", "", "frog"] * 3

    def __init__(self) -> None:
        self.read: list[list[int]] = []

    def __len__(self) -> int:
        return COUNT

    def labelled(self, labels: Any) -> np.ndarray:
        return np.array([row for row, label in enumerate(self.labels) if label in labels])

    def pictures(self, _modality: str, rows: Any) -> Tensor:
        self.read.append([int(row) for row in rows])
        coarse = torch.rand(COUNT, 3, 4, 4, generator=rng.seeded(0)) * 2 - 1
        return torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear")[self.read[-1]]

    def most_likely(self, rows: Tensor) -> Tensor:
        return torch.randint(16, (COUNT, 1, 16), generator=rng.seeded(1))[rows]


def vae(params: Params, rows: Any) -> Callable[[], dict[str, float]]:
    torch.manual_seed(0)
    small = params.vae.image.model_copy(update={"width": 8, "blocks": 1, "codebook_size": 16})
    model = DiscreteVAE(small, 3).eval()
    objective = VaeObjective(model, "image", (rows, rows), params.augment.image, CAP)
    return lambda: objective.validate(model)


def classifier(params: Params, rows: Any) -> Callable[[], dict[str, float]]:
    torch.manual_seed(0)
    model = Classifier(params.classifier.model_copy(update={"width": 8}), 3, ["bell", "bird", "frog"], None).eval()
    augments = params.augment.image, params.augment.degradation
    objective = ClassifierObjective(model, "image", (rows, rows), *augments, label_smoothing=0.05, validation_pairs=CAP)
    return lambda: objective.validate(model)


def transformer(params: Params, rows: Any, pairs: int = CAP) -> Callable[[], dict[str, float]]:
    torch.manual_seed(0)
    small = {"source_width": 8, "width": 16, "depth": 1, "heads": 2, "source_downsamples": 3}
    codes = CodeShape(1, 4, 4, 16)
    model = Transformer(
        params.transformer.image_to_audio.model_copy(update=small), Shapes(codes, (3, 32, 32), codes, (1, 32, 32), None)
    ).eval()
    inputs = SplitInputs(rows, rows, rows, None)
    objective = TransformerObjective(model, "image_to_audio", rows, inputs, pairs)
    return lambda: objective.validate(model)


@pytest.mark.parametrize("objective", [vae, classifier, transformer])
def test_a_validation_reads_no_more_pairs_than_it_may_and_few_at_a_time(
    params: Params, objective: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows()
    validate = objective(params, rows)
    whole = validate()
    read = sorted(chain(*rows.read))
    assert len(read) == len(set(read)) == CAP
    rows.read.clear()
    monkeypatch.setattr(validation, "BATCH", BATCH)
    found = validate()
    assert sorted(chain(*rows.read)) == ([0] if objective is transformer else []) + read  # a last pair's floor
    assert max(map(len, rows.read)) == BATCH
    assert {**found, "shuffled": 0} == pytest.approx({**whole, "shuffled": 0}, rel=1e-5)  # by others of its batch


@pytest.mark.parametrize("pairs", [1, 2, 3, 6, 7, COUNT])
def test_no_pair_is_its_own_floor(params: Params, monkeypatch: pytest.MonkeyPatch, pairs: int) -> None:
    rows = Rows()
    monkeypatch.setattr(validation, "BATCH", BATCH)
    monkeypatch.setattr(rows, "most_likely", lambda some: some[:, None, None])
    monkeypatch.setattr(Transformer, "encode_source", lambda _, pictures: torch.tensor(rows.read[-1]))
    monkeypatch.setattr(Transformer, "log_likelihood", lambda _, source, codes: -(source != codes[:, 0, 0]).float())
    assert transformer(params, rows, pairs)() == {"loss": 0.0} | ({"shuffled": 1.0} if pairs > 1 else {})


def test_of_one_pair_the_floor_stays_empty_in_the_column_that_the_plots_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write_shards(tmp_path, {"train": 4, "valid": 2, "test": 1})
    tiny.untrained(tmp_path)
    params = parameters.parse(tiny.tree(validation={"pairs": 1}, cycle={"rounds": 1}))
    for modality in MODALITIES:
        cache_tokens.main(modality, params)
    for direction in DIRECTIONS:
        train_transformer.main(direction, params)
    train_cycle.main(params)
    for stage in ("train_transformer", "train_cycle"):
        rows = files.read_csv(paths.curve(stage, "audio_to_image"))
        assert {(bool(row["valid_loss"]), row["valid_shuffled"]) for row in rows} == {(True, "")}
    metrics = json.loads(paths.metrics("train_transformer", "audio_to_image").read_text(encoding="utf-8"))
    assert "valid_loss" in metrics
    assert "valid_shuffled" not in metrics


def test_two_processes_validate_half_each_and_both_know_what_one_finds(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows()
    monkeypatch.setattr(validation, "BATCH", BATCH)
    alone = vae(params, rows)()
    root = Path(__file__).resolve().parents[1]
    run(tmp_path, SHARE.replace("PARAMS", repr(str(root / "params.yaml"))), TWO)
    both = [json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]
    assert [read for read, _ in both] == [[[0, 1], [4, 5]], [[2, 3], [6]]]
    assert both[0][1] == both[1][1] == pytest.approx(alone, rel=1e-6)
