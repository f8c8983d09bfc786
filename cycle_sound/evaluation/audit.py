"""How well the sound and the picture of each training pair explain each other, by models that did not learn from it."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from cycle_sound.dataset import dropping
from cycle_sound.dataset.dropping import Audited
from cycle_sound.dataset.halves import HALVES
from cycle_sound.dataset.reader import Split
from cycle_sound.models.dual_encoder import DualEncoder, pointwise_mutual_information
from cycle_sound.nn import device, measures, order
from cycle_sound.params import MODALITIES, Modality

BATCH = 128  # pairs at a time


def cross_fitted(
    trained: Callable[[int], DualEncoder], pairs: Split, halves: np.ndarray, partners: int, seed: int
) -> np.ndarray:
    """The score of every pair of a split, by the model that was `trained` on the other half: float64 (n,), in nats.

    `halves`: of each row; `partners`: see `scores`.
    """
    found = np.zeros(len(pairs), np.float64)
    for half in HALVES:
        judged = np.flatnonzero(halves == half)
        found[judged] = scores(trained(1 - half), pairs, judged, partners, seed)
    return found


@torch.inference_mode()
def scores(model: DualEncoder, pairs: Split, rows: np.ndarray, partners: int, seed: int) -> np.ndarray:
    """Pointwise mutual information of pairs, int64 (n,) rows of a split, in nats: float64 (n,).

    By how much the sound makes its own picture likelier than those of up to `partners` other pairs among the rows, and
    the picture its own sound: the mean of both. A few pairs are in memory at a time; processes share them.
    """
    count = min(partners, len(rows))
    others = rows[order.rows(range(count), len(rows), seed).numpy()]
    known = _embedded_in_parts(model, pairs, others)

    def measure(places: range) -> Mapping[str, np.ndarray]:
        chosen = rows[places.start : places.stop]
        own = _embedded(model, pairs, chosen)
        itself = torch.from_numpy(chosen[:, None] == others).to(device.of(model))
        matched = (own["image"] * own["audio"]).sum(1) * model.scale
        given_image = model.logits(own["image"], known["audio"]).masked_fill(itself, -torch.inf)
        given_audio = model.logits(known["image"], own["audio"]).T.masked_fill(itself, -torch.inf)
        both = torch.stack([pointwise_mutual_information(matched, one) for one in (given_image, given_audio)])
        return {"score": both.mean(0).cpu().double().numpy()}

    return measures.of_rows(range(len(rows)), BATCH, measure)["score"]


def table(pairs: Split, scores: np.ndarray, halves: np.ndarray) -> Iterator[Audited]:
    """Every pair of a split, the worst first, by its score, float64 (n,), and the half of its row, (n,)."""
    for rank, row in enumerate(dropping.worst_first(scores).tolist(), start=1):
        yield Audited(rank, pairs.ids[row], pairs.labels[row], int(halves[row]), float(scores[row]))


def _embedded(model: DualEncoder, pairs: Split, rows: np.ndarray) -> dict[Modality, Tensor]:
    where = device.of(model)
    with device.autocast(where):
        return {one: model.embed(one, pairs.pictures(one, rows.tolist()).to(where)).float() for one in MODALITIES}


def _embedded_in_parts(model: DualEncoder, pairs: Split, rows: np.ndarray) -> dict[Modality, Tensor]:
    parts = [_embedded(model, pairs, rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]
    return {one: torch.cat([part[one] for part in parts]) for one in MODALITIES}
