"""Validations look at no more than they are given, a few pairs at a time, and two processes look at half of it each."""

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_distributed import TWO, run
from torch import Tensor

from cycle_sound.models.classifier import Classifier
from cycle_sound.models.dvae import DiscreteVAE
from cycle_sound.models.tokenizer import CodeShape
from cycle_sound.models.transformer import Shapes, Transformer
from cycle_sound.nn import rng
from cycle_sound.params import Params
from cycle_sound.training import validation
from cycle_sound.training.objectives.classifier import ClassifierObjective
from cycle_sound.training.objectives.transformer import SplitInputs, TransformerObjective
from cycle_sound.training.objectives.vae import VaeObjective

COUNT, CAP = 11, 7
SHARE = """
import json
from pathlib import Path
from test_validation import BATCH, Rows, vae
from cycle_sound import params
from cycle_sound.nn import distributed
from cycle_sound.training import validation

validation.BATCH = BATCH
with distributed.process_group():
    rows = Rows()
    figures = vae(params.load(Path(PARAMS)), rows)()
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
    model = Classifier(params.classifier.model_copy(update={"width": 8}), 3, ["bell", "bird", "frog"]).eval()
    settings = params.augment.image, params.augment.degradation, CAP
    objective = ClassifierObjective(model, "image", (rows, rows), *settings)
    return lambda: objective.validate(model)


def transformer(params: Params, rows: Any) -> Callable[[], dict[str, float]]:
    torch.manual_seed(0)
    small = {"source_width": 8, "width": 16, "depth": 1, "heads": 2, "source_downsamples": 3}
    codes = CodeShape(1, 4, 4, 16)
    model = Transformer(
        params.transformer.image_to_audio.model_copy(update=small), Shapes(codes, (3, 32, 32), codes, (1, 32, 32), None)
    ).eval()
    inputs = SplitInputs(rows, rows, rows, None)
    objective = TransformerObjective(model, "image_to_audio", rows, inputs, CAP)
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
    assert sorted(chain(*rows.read)) == read
    assert max(map(len, rows.read)) == BATCH
    assert {**found, "shuffled": 0} == pytest.approx({**whole, "shuffled": 0}, rel=1e-5)  # by others of its batch


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
