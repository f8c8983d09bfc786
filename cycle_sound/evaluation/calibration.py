"""Confidence on a split: what it is fitted to on valid, and whether it is what it says on test.

Both times the judge says which samples are right. The classifiers cannot: they are part of the evidence.
"""

import numpy as np
from torch import Tensor

from cycle_sound.evaluation import confidence_fit, metrics
from cycle_sound.evaluation.generation import DirectionModels, Generated, Pairs
from cycle_sound.evaluation.label_metrics import classify, labelled, named
from cycle_sound.inference import confidence
from cycle_sound.inference.confidence import Confidence, Evidence, ModelDigests
from cycle_sound.inference.engine import Drawing, Engine
from cycle_sound.models.classifier import Classifier
from cycle_sound.nn import measures
from cycle_sound.nn.measures import Measures
from cycle_sound.params import ConfidenceConfig

SETTINGS = {"": "as sampling has it", "_unguided": "guidance 1"}  # what ends a figure: how samples were drawn
BINS = 10  # of equal width, of confidences
Row = dict[str, float | str | None]


def fitted(
    models: DirectionModels, config: ConfidenceConfig, seed: int, made_by: ModelDigests
) -> tuple[Confidence | None, dict[str, float]]:
    """The confidence fitted to samples of the first `config.pairs` sources, drawn once by each guidance, and figures.

    Good models draw hardly any wrong sample to learn from. So those of the last guidance are also held against the
    source of the pair before, which most of them do not match. Familiar are all sources.

    None where the judge of the target knows the labels of none, or a modality has no classifier.
    """
    judge, labels = models.judges[models.target], models.split.labels
    some = range(min(config.pairs, len(labels)))
    rows = labelled(labels, judge, some)
    if not rows or None in models.classifiers.values():
        return None, {"samples": 0}
    engine = Engine(models.engine.models, confidence.BATCH)

    def measure(batch: range) -> Measures:
        sources, before = models.sources(batch), models.sources(some[row - 1] for row in batch)
        pictures = [_drawn(models, sources, guidance, seed) for guidance in config.guidances]
        shown = [*((sources, own) for own in pictures), (before, pictures[-1])]
        found: Measures = {}
        for number, (source, target) in enumerate(shown):
            measured = _measured(models, engine, judge, source, target)
            found |= {f"{number}: {what}": values for what, values in measured.items()}
        return found

    measured = measures.of_rows(some, models.batch, measure)
    own = [(number, row, row) for number in range(len(config.guidances)) for row in rows]
    strange = [(len(config.guidances), row, some[row - 1]) for row in rows if some[row - 1] in rows]
    samples = [*own, *strange]

    def values(name: str) -> np.ndarray:
        return np.array([measured[f"{number}: {name}"][row] for number, row, _ in samples])

    right = values("label") == np.array([labels[source] for _, _, source in samples])
    drawn = np.arange(len(samples)) < len(own)
    evidence = Evidence(*map(values, Evidence._fields))
    familiarity = confidence_fit.fit_familiarity(measured["0: source_error"], config.unfamiliar)
    regression = confidence_fit.fit(evidence, right, drawn, familiarity, config.penalty, made_by)
    return regression, {
        "samples": len(own),
        "wrong": int((~right[drawn]).sum()),
        **{f"weight_{name}": term["weight"] for name, term in regression.terms.model_dump().items()},
    }


def measure(
    models: DirectionModels, fitted: Confidence | None, pairs: Pairs, generated: Generated, seed: int
) -> Measures:
    """The confidence in samples of some pairs, and what the judge says of them; of SETTINGS each."""
    judge = models.judges[models.target]
    if fitted is None or judge is None:
        return {}
    engine = Engine(models.engine.models, confidence.BATCH)
    shown = zip(SETTINGS, (generated.perceived, _drawn(models, pairs.source, 1.0, seed)), strict=True)
    found: Measures = {}
    for setting, pictures in shown:
        drawn = _measured(models, engine, judge, pairs.source, pictures)
        sure = fitted.of(Evidence(*(drawn[name] for name in Evidence._fields)))
        found |= {f"confidence{setting}": np.array(sure), f"confidence_label{setting}": drawn["label"]}
    return found


def figures(models: DirectionModels, measured: Measures) -> dict[str, float]:
    """How well confidence tells right from wrong, and how far it is from how often samples are right.

    Empty without a confidence, or where the judge knows no label.
    """
    found: dict[str, float] = {}
    for setting in SETTINGS:
        sure, right = _outcomes(models, measured, setting)
        if 0 < right.sum() < len(right):  # else there is nothing to tell apart
            found |= named(f"confidence_auc{setting}", metrics.roc_area(sure, right))
            found[f"confidence_auc{setting}_floor"] = 0.5  # of confidence that knows nothing
        if len(right) > 1:
            found |= named(f"confidence_ece{setting}", metrics.calibration_error(sure, right, BINS))
    return found


def table(models: DirectionModels, measured: Measures) -> list[Row]:
    """How often samples are right in each bin of confidence, of SETTINGS each; empty bins have no figures."""
    return [row for setting in SETTINGS for row in _bins(setting, *_outcomes(models, measured, setting))]


def _bins(setting: str, sure: np.ndarray, right: np.ndarray) -> list[Row]:
    places = metrics.bins(sure, BINS)
    rows: list[Row] = []
    for place in range(BINS):
        some = right[places == place]
        share = metrics.wilson(int(some.sum()), len(some)) if len(some) else None
        rows.append(
            {
                "setting": SETTINGS[setting],
                "bin": place,
                "samples": len(some),
                "confidence": float(sure[places == place].mean()) if len(some) else None,
                "right": share and share.value,
                "right_low": share and share.low,
                "right_high": share and share.high,
            }
        )
    return rows


def _outcomes(models: DirectionModels, measured: Measures, setting: str) -> tuple[np.ndarray, np.ndarray]:
    """Confidence in samples and whether the judge says they are right, of pairs whose label it knows: (n,), (n,)."""
    labels = models.split.labels
    rows = labelled(labels, models.judges[models.target])
    if not rows or f"confidence{setting}" not in measured:
        return np.zeros(0), np.zeros(0, bool)
    own = np.array([labels[row] for row in rows])
    return measured[f"confidence{setting}"][rows], measured[f"confidence_label{setting}"][rows] == own


def _drawn(models: DirectionModels, sources: Tensor, guidance: float, seed: int) -> Tensor:
    """Target pictures (b, c, h, w) as perceived, one drawn of each source by a guidance."""
    sampling = models.forward_sampling.model_copy(update={"guidance": guidance, "candidates": 1})
    pictures = models.engine.generate(models.direction, sources, Drawing(sampling, seed))
    return models.engine.as_perceived(models.target, pictures)


def _measured(
    models: DirectionModels, engine: Engine, judge: Classifier | None, sources: Tensor, perceived: Tensor
) -> Measures:
    """Evidence of some pairs, and the `label` that the judge gives the targets."""
    given = confidence.evidence(engine, models.direction, sources, perceived)
    return {**given._asdict(), **classify("label", judge, perceived)}
