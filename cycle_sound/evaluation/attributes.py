"""What sound and picture share beside the kind, read back by analysis: pitch ↔ hue, loudness ↔ size, …

And what a sound says to ears that nobody here has trained: its pitch and, where it is speech, its word.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from cycle_sound.evaluation import analysis, judges, metrics
from cycle_sound.evaluation.scores import DirectionModels, Generated, agreement, consistency, named
from cycle_sound.training import fidelity

SHARED = {  # figure: attribute
    "pitch_hue_correlation": "pitch",
    "pitch_hue_correlation_swiftf0": "pitch",
    "loudness_size_correlation": "loudness",
    "strokes_things_correlation": "strokes",
}
SPEECH = 0.5  # share of real sounds whose label is heard in them; where the labels name what sounds, it is chance

Measured = dict[str, list[float]]  # figure: one value per sample


def of_pictures(pictures: Tensor) -> Measured:
    """Hue, size and number of things of pictures (n, 3, h, w)."""
    arrays = pictures.numpy()
    measures: dict[str, Callable[[np.ndarray], float]] = {
        "pitch_hue_correlation": analysis.hue,
        "loudness_size_correlation": analysis.size,
        "strokes_things_correlation": analysis.things,
    }
    return {figure: [float(measure(array)) for array in arrays] for figure, measure in measures.items()}


def of_waveforms(waveforms: np.ndarray, sample_rate: int) -> Measured:
    """Pitch, loudness and number of strokes of waveforms (n, samples); the pitch by a judge, too, if it is there."""
    measures: dict[str, Callable[[np.ndarray, int], float]] = {
        "pitch_hue_correlation": analysis.pitch,
        "loudness_size_correlation": lambda wave, _rate: analysis.loudness(wave),
        "strokes_things_correlation": analysis.strokes,
    }
    if not judges.missing(judges.PITCH):
        measures["pitch_hue_correlation_swiftf0"] = judges.PitchDetector(analysis.LOWEST, analysis.HIGHEST).pitch
    return {figure: [float(measure(wave, sample_rate)) for wave in waveforms] for figure, measure in measures.items()}


def correlations(generated: Measured, tokenized: Measured, given: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Rank correlation of each attribute of the sources with what the samples show; empty without attributes.

    The ceiling is that of the real targets through the tokenizer alone.
    """
    figures: dict[str, float | None] = {}
    for figure, attribute in SHARED.items():
        if figure not in generated or not all(attribute in one for one in given):
            continue
        wanted = [one[attribute] for one in given]
        figures |= metrics.correlation_interval(figure, generated[figure], wanted)
        figures[f"{figure}_ceiling"] = metrics.rank_correlation(tokenized[figure], wanted)
    return {name: value for name, value in figures.items() if value is not None}


def heard(models: DirectionModels, generated: Generated, real: Tensor) -> dict[str, float]:
    """The vocoder's ceiling, and the classes of what was generated as it is heard.

    `real`: the first targets' log-mels through a waveform and back, (m, 1, mels, frames).
    """
    audio, count = models.engine.models.audio, len(real)
    some = models.first(count)
    distance = fidelity.log_spectral_distance(real, some.target.pictures, audio.max_db - audio.min_db)
    classifier = models.classifiers["audio"]
    ceiling = consistency("vocoder_consistency", some, classifier, real).get("vocoder_consistency")
    return {
        "vocoder_log_spectral_distance": distance,
        **({} if ceiling is None else {"vocoder_consistency": ceiling}),
        **consistency("class_consistency_heard", models, classifier, generated.perceived),
    }


def words(labels: Sequence[str], generated: np.ndarray, real: np.ndarray, sample_rate: int) -> dict[str, float]:
    """Share of generated waveforms (n, samples) in which a recogniser of speech hears the label that the pair has.

    The ceiling is that of real log-mels through the same vocoder. Empty where no recogniser is installed, where the
    labels are not words that it knows, or where it does not hear them in real sounds, which then are no speech.
    """
    rows = [row for row, label in enumerate(labels) if label]
    if judges.missing(judges.WORDS) or not rows:
        return {}
    recogniser = judges.WordRecogniser(sorted({labels[row] for row in rows}))
    if not recogniser.knows_all:
        return {}
    wanted = [recogniser.words[labels[row]] for row in rows]
    ceiling = agreement([recogniser.word(real[row], sample_rate) for row in rows], wanted).value
    if ceiling < SPEECH:
        return {}
    found = [recogniser.word(generated[row], sample_rate) for row in rows]
    return {
        **named("words_recognised", agreement(found, wanted)),
        "words_recognised_floor": metrics.chance_agreement(found, wanted),
        "words_recognised_ceiling": ceiling,
    }


def figures(models: DirectionModels, generated: Generated, waveforms: int) -> dict[str, float]:
    """The figures of shared attributes, and for sounds the vocoder's ceiling and the words that are heard.

    Of sounds only the first `waveforms` are measured.
    """
    engine, target = models.engine, models.target
    if target.modality == "image":
        tokenized = engine.decode("image", target.codes)
        return correlations(of_pictures(generated.samples[0]), of_pictures(tokenized), models.attributes)
    some, rate = models.first(waveforms), engine.models.audio.sample_rate
    made, real = generated.waveforms[:waveforms], engine.waveforms(some.target.pictures)
    ceiling = of_waveforms(engine.waveforms(engine.decode("audio", some.target.codes)), rate)
    return {
        **heard(models, generated, engine.log_mels(real)),
        **correlations(of_waveforms(made, rate), ceiling, some.attributes),
        **words(some.labels, made, real, rate),
    }
