"""What trained models do with pictures in [-1, 1]: draw, re-rank, score, label. All of it row by row the same.

One seed gives one result, to the byte, in a batch of any size on one machine. For that every sample has a generator of
its own, and the models always see LANES rows at once: a matrix product rounds differently in a batch of another size,
but at one size a row's result depends neither on its place nor on its neighbours.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from cycle_sound import batches, reranking
from cycle_sound.models import Models
from cycle_sound.params import Direction, Modality, Sampling, opposite_of, source_of, target_of
from cycle_sound.sampling import generate
from cycle_sound.transformer import Transformer

T = TypeVar("T")

LANES = 8  # on two CPU cores eight rows take twice as long as one


@torch.inference_mode()
def in_lanes(work: Callable[..., Tensor], device: torch.device, *rows: Tensor) -> Tensor:
    """`work` on equally many rows of each tensor, LANES at a time, the last one repeated to fill up: (n, …) → (n, …).

    `work` gets its rows on `device`; what is returned is on the CPU.
    """
    count = len(rows[0])
    done = []
    for start in range(0, count, LANES):
        places = torch.arange(start, start + LANES).clamp(max=count - 1)
        done.append(work(*(values[places].to(device) for values in rows))[: count - start].cpu())
    return torch.cat(done)


def batched(things: Iterable[T]) -> Iterator[list[T]]:
    """Things in lists of LANES, the last perhaps shorter; no more is taken than is asked for."""
    rest = iter(things)
    while part := list(islice(rest, LANES)):
        yield part


def encoded(models: Models, modality: Modality, pictures: Tensor) -> Tensor:
    """Tokens of pictures: (n, c, h, w) → (n, rows, columns)."""
    return in_lanes(models.vaes[modality].encode, models.device, pictures)


def decoded(models: Models, modality: Modality, tokens: Tensor) -> Tensor:
    """Pictures of tokens: (n, rows, columns) → (n, c, h, w)."""
    return in_lanes(models.vaes[modality].decode, models.device, tokens)


def grids(models: Models, model: Transformer, modality: Modality, pictures: Tensor) -> Tensor:
    """What a transformer reads of pictures (n, c, h, w): themselves or their tokens, by its condition."""
    return pictures if model.config.condition == "encoder" else encoded(models, modality, pictures)


def made(
    models: Models, direction: Direction, sources: Tensor, seed: int, candidates: int, sampling: Sampling
) -> Tensor:
    """A target picture for each source picture: (n, c, h, w) → (n, c, h, w).

    Of several candidates the one that explains its source best is kept.
    """
    parts = sources.split(LANES)  # so that no more than LANES × candidates pictures lie in memory
    return torch.cat([_made(models, direction, part, seed, candidates, sampling) for part in parts])


def _made(
    models: Models, direction: Direction, sources: Tensor, seed: int, candidates: int, sampling: Sampling
) -> Tensor:
    model, target = models.transformers[direction], target_of(direction)

    def drawn(grid: Tensor, numbers: Tensor) -> Tensor:
        return generate(model, grid, sampling, [batches.seeded(seed, number) for number in numbers.tolist()])

    read = grids(models, model, source_of(direction), sources).repeat_interleave(candidates, dim=0)
    numbers = torch.arange(candidates).repeat(len(sources))  # of a source's own draws: its batch does not matter
    pictures = decoded(models, target, in_lanes(drawn, models.device, read, numbers))
    if candidates == 1:
        return pictures
    scores = explained(models, direction, sources.repeat_interleave(candidates, dim=0), pictures)
    return reranking.best(pictures.unflatten(0, (-1, candidates)), scores.unflatten(0, (-1, candidates)))


def explained(models: Models, direction: Direction, sources: Tensor, targets: Tensor) -> Tensor:
    """How much likelier each target of a direction makes its source, by the direction back: (n, …), (n, …) → (n,) nats.

    log p(source tokens | target) − log p(source tokens | null).
    """
    back = models.transformers[opposite_of(direction)]
    tokens = encoded(models, source_of(direction), sources)
    read = grids(models, back, target_of(direction), targets)
    return in_lanes(lambda *rows: reranking.explained(back, *rows), models.device, tokens, read)


def summaries(models: Models, direction: Direction, modality: Modality, pictures: Tensor) -> Tensor:
    """What a picture of either modality shares with its pair, in the space that a direction's alignment made.

    (n, c, h, w) → (n, width), of unit length.
    """
    model = models.transformers[direction]
    if modality == target_of(direction):
        return in_lanes(model.target_encoder, models.device, pictures)
    read = grids(models, model, modality, pictures)
    return in_lanes(lambda rows: model.source_encoder(rows).summary, models.device, read)


class Label(NamedTuple):
    """What a classifier calls a picture."""

    name: str
    share: float  # its probability of that


def labels(models: Models, modality: Modality, pictures: Tensor) -> list[Label] | None:
    """What pictures (n, c, h, w) are called; None without a classifier."""
    judge = models.classifiers[modality]
    if judge is None:
        return None
    shares, places = F.softmax(in_lanes(judge, models.device, pictures), dim=-1).max(-1)
    return [Label(judge.labels[place], share) for share, place in zip(shares.tolist(), places.tolist(), strict=True)]
