"""What sound and picture share beside the kind, read back by analysis: pitch ↔ hue, loudness ↔ size, …"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from cycle_sound.evaluation import analysis, metrics
from cycle_sound.evaluation.scores import DirectionModels, Generated, consistency
from cycle_sound.training import fidelity

SHARED = {"pitch_hue": "pitch", "loudness_size": "loudness", "strokes_things": "strokes"}  # figure: attribute

Measured = dict[str, list[float]]  # figure: one value per sample


def of_pictures(pictures: Tensor) -> Measured:
    """Hue, size and number of things of pictures (n, 3, h, w)."""
    arrays = pictures.numpy()
    measures: dict[str, Callable[[np.ndarray], float]] = {
        "pitch_hue": analysis.hue,
        "loudness_size": analysis.size,
        "strokes_things": analysis.things,
    }
    return {figure: [float(measure(array)) for array in arrays] for figure, measure in measures.items()}


def of_waveforms(waveforms: np.ndarray, sample_rate: int) -> Measured:
    """Pitch, loudness and number of strokes of waveforms (n, samples)."""
    return {
        "pitch_hue": [analysis.pitch(wave, sample_rate) for wave in waveforms],
        "loudness_size": [analysis.loudness(wave) for wave in waveforms],
        "strokes_things": [float(analysis.strokes(wave, sample_rate)) for wave in waveforms],
    }


def correlations(generated: Measured, tokenized: Measured, given: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Rank correlation of each attribute of the sources with what the samples show; empty without attributes.

    The ceiling is that of the real targets through the tokenizer alone.
    """
    figures: dict[str, float | None] = {}
    for figure, attribute in SHARED.items():
        if not all(attribute in one for one in given):
            continue
        wanted = [one[attribute] for one in given]
        figures |= metrics.correlation_interval(f"{figure}_correlation", generated[figure], wanted)
        figures[f"{figure}_correlation_ceiling"] = metrics.rank_correlation(tokenized[figure], wanted)
    return {name: value for name, value in figures.items() if value is not None}


def heard(models: DirectionModels, generated: Generated, real: Tensor) -> dict[str, float]:
    """The vocoder's ceiling, and the classes of what was generated as it is heard.

    `real`: the first targets' log-mels through a waveform and back, (m, 1, mels, frames).
    """
    audio, count = models.engine.models.audio, len(real)
    some = models.first(count)
    distance = fidelity.log_spectral_distance(real, some.target.pictures, audio.max_db - audio.min_db)
    ceiling = consistency("vocoder_consistency", some, "audio", real).get("vocoder_consistency")
    return {
        "vocoder_log_spectral_distance": distance,
        **({} if ceiling is None else {"vocoder_consistency": ceiling}),
        **consistency("class_consistency_heard", models, "audio", generated.perceived),
    }


def figures(models: DirectionModels, generated: Generated, waveforms: int) -> dict[str, float]:
    """The figures that ask no model: shared attributes, and for sounds the vocoder's ceiling.

    Of sounds only the first `waveforms` are measured.
    """
    engine, target = models.engine, models.target
    if target.modality == "image":
        tokenized = engine.decode("image", target.codes)
        return correlations(of_pictures(generated.samples[0]), of_pictures(tokenized), models.attributes)
    some, rate = target.first(waveforms), engine.models.audio.sample_rate
    measured = of_waveforms(generated.waveforms[:waveforms], rate)
    ceiling = of_waveforms(engine.waveforms(engine.decode("audio", some.codes)), rate)
    shared = correlations(measured, ceiling, models.attributes[:waveforms])
    return {**heard(models, generated, engine.as_perceived("audio", some.pictures)), **shared}
