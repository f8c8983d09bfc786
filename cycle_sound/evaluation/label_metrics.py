"""Figures of labels: what classifiers recognise in pictures, and how often it is the label of the pair."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from cycle_sound.evaluation import metrics
from cycle_sound.evaluation.metrics import Interval
from cycle_sound.inference.engine import classified
from cycle_sound.models.classifier import Classifier
from cycle_sound.nn.measures import Measures


def named(name: str, interval: Interval) -> dict[str, float]:
    """A figure with its 95 % interval, flat."""
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def agreement(found: Sequence[str], wanted: Sequence[str]) -> Interval:
    """Fraction of equal labels."""
    return metrics.wilson(sum(a == b for a, b in zip(found, wanted, strict=True)), len(found))


def classify(name: str, model: Classifier | None, pictures: Tensor) -> Measures:
    """The labels that a classifier gives pictures (b, c, h, w), by the name of a measure; none without one."""
    return {} if model is None else {name: np.array(classified(model, pictures).labels)}


def labelled(labels: Sequence[str], model: Classifier | None, rows: range | None = None) -> list[int]:
    """The pairs, among all or some `rows`, whose label a classifier knows; none without one."""
    chosen = range(len(labels)) if rows is None else rows
    return [row for row in chosen if model and labels[row] in model.labels]


def consistency(name: str, labels: Sequence[str], model: Classifier | None, found: Measures) -> dict[str, float]:
    """Fraction of pairs to which a classifier's labels, found under the name, give their own, with its floor.

    Empty where it knows none of the labels.
    """
    rows = labelled(labels, model)
    if not rows:
        return {}
    given, own = found[name][rows].tolist(), [labels[row] for row in rows]
    return {**named(name, agreement(given, own)), f"{name}_floor": metrics.chance_agreement(given, own)}


def fraction(name: str, labels: Sequence[str], model: Classifier | None, found: Measures) -> dict[str, float]:
    """Fraction of pairs to which a classifier's labels give their own, alone: a ceiling, or how often it is right."""
    whole = consistency(name, labels, model, found)
    return {name: whole[name]} if whole else {}
