"""What a confidence is fitted by: the weights of its regression, and how familiar sources are reconstructed."""

import numpy as np
from scipy.special import expit, logit

from cycle_sound.inference.confidence import BEST, LIMIT, Confidence, Evidence, Familiarity, ModelDigests, Term, Terms

STEPS = 100  # of Newton's method, which takes ten
TOLERANCE = 1e-9  # of the gradient, for each sample
LEAST_SPREAD = 0.1  # of the logs of errors: few sources that happen to be alike do not make all others unfamiliar


def fit(
    evidence: Evidence,
    right: np.ndarray,
    drawn: np.ndarray,
    familiarity: Familiarity,
    penalty: float,
    models: ModelDigests,
) -> Confidence:
    """The regression of whether targets are right, bool (n,), on their evidence.

    `drawn`, bool (n,) and somewhere true: which targets were drawn for the source that they are held against. Weights
    are fitted to all. The intercept is fitted to these alone: in the mean, the regression gives the fraction that is
    right.

    By maximum likelihood with an L2 `penalty` on the weights of evidence of unit variance. The outcomes are smoothed as
    Platt (1999) has it, as if one more sample of each kind had been seen: where all are right or wrong, or evidence
    parts them, the odds stay at what so many samples can tell.
    """
    values = np.stack([getattr(evidence, name) for name in Terms.model_fields], axis=1).astype(np.float64)
    mean, scale = values.mean(0), values.std(0).clip(1 / LIMIT)
    design = np.insert((values - mean) / scale, 0, 1.0, axis=1)
    weights = _newton(design, _smoothed(right), penalty)[1:]
    among = (design[:, 1:] @ weights)[drawn]
    (intercept,) = _newton(np.ones((len(among), 1)), _smoothed(right[drawn]), penalty, among)
    terms = zip(Terms.model_fields, mean.tolist(), scale.tolist(), weights.tolist(), strict=True)
    return Confidence(
        kind="confidence",
        models=models,
        intercept=float(intercept),
        terms=Terms(**{name: Term(mean=at, scale=by, weight=weight) for name, at, by, weight in terms}),
        familiarity=familiarity,
    )


def fit_familiarity(errors: np.ndarray, unfamiliar: float) -> Familiarity:
    """The familiarity fitted to the reconstruction errors of n familiar sources, (n,) with n ≥ 1.

    `unfamiliar`: the expected fraction of unfamiliar sources among those that will be judged.
    """
    logs, count = np.log(errors.astype(np.float64).clip(BEST)), len(errors)
    spread = max(logs.std(ddof=1) if count > 1 else 0.0, LEAST_SPREAD)
    mean, scale = min(float(logs.mean()), 0.0), float(spread * np.sqrt(1 + 1 / count))
    return Familiarity(mean=mean, scale=scale, freedom=max(count - 1, 1), unfamiliar=unfamiliar)


def _smoothed(right: np.ndarray) -> np.ndarray:
    """Platt's smoothed target probability for each outcome: bool (n,) → (n,) in (0, 1)."""
    count, hits = len(right), int(right.sum())
    return np.where(right, (hits + 1) / (hits + 2), 1 / (count - hits + 2))


def _newton(design: np.ndarray, outcomes: np.ndarray, penalty: float, offset: np.ndarray | float = 0.0) -> np.ndarray:
    """Weights (d,) of the columns of a design (n, d), by Newton's method; the first, the intercept, is not penalised.

    `offset` is added to the log-odds.
    """
    ridge = np.full(design.shape[1], penalty)
    ridge[0] = 0.0

    def loss(weights: np.ndarray) -> float:
        log_odds = offset + design @ weights
        return float(np.logaddexp(0, log_odds).sum() - outcomes @ log_odds + ridge @ weights**2 / 2)

    weights = np.zeros(design.shape[1])
    weights[0] = logit(outcomes.mean())
    for _ in range(STEPS):
        likely = expit(offset + design @ weights)
        gradient = design.T @ (likely - outcomes) + ridge * weights
        if np.abs(gradient).max() <= TOLERANCE * len(design):
            break
        curvature = (design.T * (likely * (1 - likely))) @ design + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        while loss(weights - step) > loss(weights) and np.abs(step).max() > TOLERANCE:
            step /= 2
        weights -= step
    return weights
