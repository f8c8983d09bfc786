"""What sound and picture share beside the kind, read back by analysis: pitch ↔ hue, loudness ↔ size, …"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from cycle_sound import analysis, audio, device, metrics, vocoder
from cycle_sound.evaluation import Side, agreement, judged, named
from cycle_sound.params import Audio
from cycle_sound.shards import Split

SHARED = {"pitch_hue": "pitch", "loudness_size": "loudness", "strokes_things": "strokes"}  # figure: attribute

Measured = dict[str, list[float]]  # figure: one value per sample


def of_pictures(pictures: Tensor) -> Measured:
    """Hue, size and number of things of pictures (n, 3, h, w)."""
    arrays = pictures.numpy()
    ways: dict[str, Callable[[np.ndarray], float]] = {
        "pitch_hue": analysis.hue,
        "loudness_size": analysis.size,
        "strokes_things": analysis.things,
    }
    return {figure: [float(measure(array)) for array in arrays] for figure, measure in ways.items()}


def of_waveforms(waveforms: Sequence[np.ndarray], sample_rate: int) -> Measured:
    """Pitch, loudness and number of strokes of waveforms, each (samples,)."""
    return {
        "pitch_hue": [analysis.pitch(wave, sample_rate) for wave in waveforms],
        "loudness_size": [analysis.loudness(wave) for wave in waveforms],
        "strokes_things": [float(analysis.strokes(wave, sample_rate)) for wave in waveforms],
    }


def correlations(made: Measured, tokenized: Measured, given: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Rank correlation of each attribute of the sources with what the samples show; empty without attributes.

    The ceiling is that of the real targets through the tokenizer alone, the floor that of shuffled sources.
    """
    figures: dict[str, float | None] = {}
    for figure, attribute in SHARED.items():
        if not all(attribute in one for one in given):
            continue
        wanted = [one[attribute] for one in given]
        figures |= metrics.correlation_interval(f"{figure}_correlation", made[figure], wanted)
        figures[f"{figure}_correlation_floor"] = metrics.rank_correlation(made[figure], metrics.shuffled(wanted))
        figures[f"{figure}_correlation_ceiling"] = metrics.rank_correlation(tokenized[figure], wanted)
    return {name: value for name, value in figures.items() if value is not None}


def inverted(log_mels: Tensor, config: Audio) -> tuple[list[np.ndarray], Tensor]:
    """Waveforms of log-mels (n, 1, mels, frames), and the log-mels of those waveforms: what is heard of them."""
    waves = list(vocoder.waveforms(log_mels.to(device.best()), config).cpu().numpy())
    return waves, torch.from_numpy(np.stack([audio.log_mel(wave, config) for wave in waves]))


def ceiling(target: Side, heard: Mapping[str, Tensor], labels: Sequence[str], config: Audio) -> dict[str, float]:
    """The vocoder's ceiling: what real log-mels, and the generated ones' classes, lose on the way to a waveform.

    `heard`: log-mels of the waveforms of `real` and `generated` log-mels, (n, 1, mels, frames).
    """
    count = len(heard["real"])
    distance = metrics.log_spectral_distance(heard["real"], target.pictures[:count], config.max_db - config.min_db)
    figures = {"vocoder_log_spectral_distance": distance}
    if target.judge is not None:
        wanted = list(labels[:count])
        figures["vocoder_consistency"] = agreement(judged(target.judge, heard["real"]).labels, wanted).share
        found = judged(target.judge, heard["generated"]).labels
        figures |= named("class_consistency_heard", agreement(found, wanted))
    return figures


def figures(target: Side, samples: Tensor, pairs: Split, config: Audio, waveforms: int) -> dict[str, float]:
    """The figures that ask no model: shared attributes, and for sounds the vocoder's ceiling.

    `samples`: generated target pictures (n, c, h, w). Of sounds only the first `waveforms` are inverted.
    """
    if target.modality == "image":
        return correlations(of_pictures(samples), of_pictures(target.decoded(target.tokens)), pairs.attributes)
    part = slice(0, waveforms)
    made, heard_made = inverted(samples[part], config)
    tokenized, _ = inverted(target.decoded(target.tokens[part]), config)
    _, heard_real = inverted(target.pictures[part], config)
    rate = config.sample_rate
    shared = correlations(of_waveforms(made, rate), of_waveforms(tokenized, rate), pairs.attributes[part])
    return {**ceiling(target, {"real": heard_real, "generated": heard_made}, pairs.labels, config), **shared}
