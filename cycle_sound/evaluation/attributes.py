"""What sound and picture share beside the kind, read back by analysis: pitch ↔ hue, loudness ↔ size, …

And what a sound says to ears that nobody here has trained: its pitch and, where it is speech, its word.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from cycle_sound.dataset.sounds import Sounds
from cycle_sound.evaluation import analysis, judges, metrics
from cycle_sound.evaluation.examples import Examples
from cycle_sound.evaluation.generation import DirectionModels, Generated
from cycle_sound.evaluation.label_metrics import agreement, classify, consistency, fraction, named
from cycle_sound.evaluation.samples import Samples
from cycle_sound.nn import fidelity
from cycle_sound.nn.measures import Measures

SHARED = {  # figure: attribute
    "pitch_hue_correlation": "pitch",
    "pitch_hue_correlation_swiftf0": "pitch",
    "loudness_size_correlation": "loudness",
    "strokes_things_correlation": "strokes",
}
ENDS = ("", "_ceiling")  # of what was generated, and of real targets through the tokenizer
SPEECH = 0.5  # share of real sounds whose label is heard in them; where the labels name what sounds, it is chance
WARBLING = 100.0  # cents: a label whose real sounds waver less, in the median, does not warble

Measured = Mapping[str, Sequence[float]]  # figure: one value per sample


def measure(models: DirectionModels, generated: Generated) -> Measures:
    """The measures taken of every pair: attributes of generated pictures, or the class heard in generated sounds."""
    if models.target == "audio":
        return classify("class_consistency_heard", models.classifiers["audio"], generated.perceived)
    shown = zip(ENDS, (generated.kept, generated.tokenized), strict=True)
    return {f"{figure}{end}": np.array(of) for end, pictures in shown for figure, of in of_pictures(pictures).items()}


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


def heard(models: DirectionModels, measured: Measures, samples: Samples, vocoded: Tensor) -> dict[str, float]:
    """The vocoder's ceiling, and the classes of what was generated as it is heard.

    `vocoded`: the samples' real log-mels through a waveform and back, (n, 1, mels, frames).
    """
    audio, classifier = models.engine.models.audio, models.classifiers["audio"]
    distance = fidelity.log_spectral_distance(vocoded, samples.real, audio.max_db - audio.min_db).mean()
    ceiling = classify("vocoder_consistency", classifier, vocoded)
    return {
        "vocoder_log_spectral_distance": float(distance),
        **fraction("vocoder_consistency", samples.labels, classifier, ceiling),
        **consistency("class_consistency_heard", models.split.labels, classifier, measured),
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


def warbles(
    labels: Sequence[str],
    made: np.ndarray,
    recorded: np.ndarray,
    tokenized: np.ndarray,
    vocoded: np.ndarray,
    sample_rate: int,
) -> dict[str, float]:
    """Depth of the warble in generated waveforms (n, samples), over that in recordings, for labels that warble.

    The floor is the depth of what was made of any pair; the ceiling is that of real log-mels through tokenizer and
    vocoder, and `vocoder_warble_ratio` through the vocoder alone. Empty where no label warbles, or one pair alone.
    """

    def depths(waveforms: np.ndarray) -> np.ndarray:
        return np.nan_to_num([analysis.warble(wave, sample_rate).depth for wave in waveforms])

    names, real = np.array(labels), depths(recorded)
    warbling = [label for label in set(labels) if np.median(real[names == label]) >= WARBLING]
    rows = np.flatnonzero(np.isin(names, warbling))
    if len(rows) < 2:
        return {}
    found = depths(made)
    return {
        **named("warble_ratio", metrics.ratio(found[rows], real[rows])),
        "warble_ratio_floor": float(found.mean() / real[rows].mean()),
        "warble_ratio_ceiling": metrics.ratio(depths(tokenized[rows]), real[rows]).value,
        "vocoder_warble_ratio": metrics.ratio(depths(vocoded[rows]), real[rows]).value,
    }


def figures(models: DirectionModels, measured: Measures, some: Examples, recorded: Sounds) -> dict[str, float]:
    """The figures of shared attributes, and for sounds the vocoder's ceiling, the words that are heard and the warble.

    Of pictures all are measured, of sounds some. `recorded`: the split's own sounds.
    """
    if models.target == "image":
        made, tokenized = (
            {figure: measured[f"{figure}{end}"].tolist() for figure in SHARED if f"{figure}{end}" in measured}
            for end in ENDS
        )
        return correlations(made, tokenized, models.split.attributes)
    return sound_figures(models, measured, some, recorded)


def sound_figures(models: DirectionModels, measured: Measures, some: Examples, recorded: Sounds) -> dict[str, float]:
    """The figures of sounds."""
    engine, samples, rate = models.engine, some.samples, models.engine.models.audio.sample_rate
    made, real, tokenized = some.waveforms, engine.waveforms(samples.real), engine.waveforms(samples.tokenized)
    given, labels = [models.split.attributes[row] for row in some.rows], samples.labels
    warble: dict[str, float] = {}
    if all("pitch" in one for one in given):  # in noise, as of real recordings, there is none to be followed
        warble = warbles(labels, made, recorded.waveforms(some.rows).numpy(), tokenized, real, rate)
    return {
        **heard(models, measured, samples, engine.log_mels(real)),
        **correlations(of_waveforms(made, rate), of_waveforms(tokenized, rate), given),
        **words(labels, made, real, rate),
        **warble,
    }
