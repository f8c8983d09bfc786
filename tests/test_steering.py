"""The benchmark of what other sources do to a draw, which nobody runs for months, still draws, and as it is told."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import steering
from benchmarks.steering import DRAWS, Measure
from cycle_sound.inference.system import CycleSound
from cycle_sound.nn.rng import seeded
from cycle_sound.params import Params


def test_the_mean_of_logits_draws_where_the_models_are(
    data: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, asked = CycleSound.load(data, "cpu"), list[Any]()

    def noted(*numbers: int, device: Any = None) -> torch.Generator:
        asked.append(device)
        return seeded(*numbers, device=device or "cpu")

    monkeypatch.setattr(steering, "seeded", noted)
    models: Any = SimpleNamespace(engine=system.engine)
    recorded: Any = None
    measure = Measure(models, recorded, {}, params.sampling.audio_to_image)
    rng = np.random.default_rng(0)
    sounds = system.engine.log_mels(
        rng.normal(0, 0.1, (3, round(system.seconds * system.sample_rate))).astype(np.float32)
    )
    pictures = steering.mean_of_logits(measure, sounds[:2], sounds[2:])
    assert pictures.shape == (2 * DRAWS, 3, system.size, system.size)
    assert asked == [system.engine.models.device] * 2 * DRAWS


def test_a_guidance_that_is_given_counts_nought_too(params: Params) -> None:
    own = params.sampling.audio_to_image
    assert steering.sampling_at(own, None, None, "blend") == own
    assert steering.sampling_at(own, None, 8, "blend") == own.model_copy(update={"candidates": 8})
    assert [steering.sampling_at(own, one, None, "blend").guidance for one in (0.0, 1.0, 2.5)] == [0, 1, 2.5]


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0])
def test_unlike_is_not_measured_where_it_takes_no_part(guidance: float, params: Params) -> None:
    assert steering.sampling_at(params.sampling.audio_to_image, 1.5, None, "unlike").guidance == 1.5
    with pytest.raises(ValueError, match="unlike"):
        steering.sampling_at(params.sampling.audio_to_image, guidance, None, "unlike")
