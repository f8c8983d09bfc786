"""A row's random numbers follow from seed, step and place: neither batch, process nor micro-batch changes them."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from cycle_sound.io.params_file import load
from cycle_sound.nn import distributed, rng
from cycle_sound.nn.blocks import dropped
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import OptimizerConfig
from cycle_sound.training.prefetch import Prefetcher

WAYS: dict[str, Callable[[BatchRng], Tensor]] = {
    "uniform": lambda draws: draws.uniform(3, 5),
    "uniform, one each": lambda draws: draws.uniform(),
    "normal": lambda draws: draws.normal(2, 20),
    "integers": lambda draws: draws.integers(1000),
}


class Batch(NamedTuple):
    """What was drawn for a micro-batch."""

    rows: Tensor
    drawn: Tensor


class Drawing:
    """A source of nothing but rows and random numbers."""

    pairs = 10

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        return Batch(rows, torch.cat([rng.uniform(3), rng.normal(20), rng.integers(99)[:, None]], 1))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """What generators were made of."""
    numbers_of_each: list[tuple[int, ...]] = []

    def counted(*numbers: int, device: torch.device | str = "cpu") -> torch.Generator:
        numbers_of_each.append(numbers)
        return seeded(*numbers, device=device)

    seeded = rng.seeded
    monkeypatch.setattr(rng, "seeded", counted)
    return numbers_of_each


@pytest.mark.parametrize("way", WAYS)
def test_a_row_draws_the_same_whatever_is_drawn_beside_it(way: str) -> None:
    whole = BatchRng(7, 3, places=range(64))
    parts = [BatchRng(7, 3, places=places) for places in (range(5), range(5, 6), range(6, 64))]
    for _ in range(2):  # what is drawn later, too
        assert torch.equal(torch.cat([WAYS[way](part) for part in parts]), WAYS[way](whole))


@pytest.mark.parametrize("way", WAYS)
def test_other_seeds_steps_places_and_draws_have_numbers_of_their_own(way: str) -> None:
    draws = BatchRng(7, 3, places=range(100))
    drawn = WAYS[way](draws).flatten(1) if WAYS[way](draws).dim() > 1 else WAYS[way](draws)[:, None]
    others = [BatchRng(*numbers, places=range(100)) for numbers in ((8, 3), (7, 4), (7, 3, 0), (3, 7))]
    for other in [WAYS[way](draws), *map(WAYS[way], others)]:
        assert (drawn == other.view_as(drawn)).all(1).sum() < 3
    assert len(drawn.unique(dim=0)) > 90


@pytest.mark.parametrize(("way", "cdf"), [("uniform", "uniform"), ("normal", "norm")])
def test_numbers_are_distributed_as_they_should_be_over_rows_and_steps(way: str, cdf: str) -> None:
    drawn = torch.stack([getattr(BatchRng(0, step, places=range(64)), way)(8) for step in range(200)])  # (200, 64, 8)
    assert kstest(drawn.flatten().numpy(), cdf).pvalue > 1e-5
    assert kstest(drawn[..., 0].flatten().numpy(), cdf).pvalue > 1e-5  # what seeds alone decide
    for axis in range(3):
        pair = torch.stack([drawn.narrow(axis, start, drawn.shape[axis] - 1).flatten() for start in (0, 1)])
        assert abs(float(torch.corrcoef(pair)[0, 1])) < 4.5 / pair.shape[1] ** 0.5


def test_integers_are_all_equally_likely() -> None:
    drawn = torch.cat([BatchRng(0, step, places=range(64)).integers(7) for step in range(200)])
    assert ((drawn.bincount(minlength=7) - len(drawn) / 7).abs() < 4.5 * (len(drawn) / 7) ** 0.5).all()


def test_what_is_folded_in_draws_the_same_each_time_and_nothing_that_others_draw() -> None:
    draws = BatchRng(7, 3, places=range(20))
    first = draws.fold_in(1).uniform(9)
    alone = draws.uniform(9)
    assert torch.equal(draws.fold_in(1).uniform(9), first)
    assert torch.equal(BatchRng(7, 3, places=range(5, 20)).fold_in(1).uniform(9), first[5:])
    assert len(torch.cat([first, alone, draws.uniform(9), draws.fold_in(2).uniform(9)]).unique(dim=0)) == 80


# --- in a training


def micro_batches(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, processes: int, accumulation: int, steps: range
) -> list[list[tuple[Tensor, ...]]]:
    """What each process sees in each backward pass: rows, what a batch is made with, and what the loss draws."""
    config = optimizer(batch_size, accumulation)
    monkeypatch.setattr(distributed, "world_size", lambda: processes)
    seen = []
    for rank in range(processes):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        passes = Prefetcher(Drawing(), config, 5, torch.device("cpu")).micro_batches(steps)
        seen.append([(*one.batch, one.rng.uniform(4)) for one in passes])
    return seen


def optimizer(batch_size: int, accumulation: int) -> OptimizerConfig:
    sizes = {"batch_size": batch_size, "accumulation": accumulation}
    return load().vae.image.optimizer.model_copy(update=sizes)


def in_order(seen: list[list[tuple[Tensor, ...]]]) -> list[bytes]:
    """All steps' rows as one process would see them, in bytes."""
    passes = [one for together in zip(*seen, strict=True) for one in together]
    return [torch.cat(parts).numpy().tobytes() for parts in zip(*passes, strict=True)]


@pytest.mark.parametrize(("processes", "accumulation"), [(2, 1), (4, 1), (1, 4), (2, 3), (4, 6)])
def test_batches_are_the_same_to_the_byte_for_any_number_of_processes_and_micro_batches(
    processes: int, accumulation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = in_order(micro_batches(monkeypatch, 24, 1, 1, range(3)))
    assert in_order(micro_batches(monkeypatch, 24, processes, accumulation, range(3))) == alone


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_batches_after_a_kill_are_those_that_would_have_come(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed, resumed = (micro_batches(monkeypatch, 8, processes, 2, steps) for steps in (range(2, 6), range(4, 6)))
    assert in_order([process[4:] for process in undisturbed]) == in_order(resumed)


@pytest.mark.parametrize(("batch_size", "processes"), [(32, 1), (256, 8), (1024, 32)])
def test_a_process_draws_for_its_own_rows_alone(
    batch_size: int, processes: int, made: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what its share of a batch costs does not grow with the number of processes."""
    monkeypatch.setattr(distributed, "world_size", lambda: processes)
    monkeypatch.setattr(distributed, "rank", lambda: processes - 1)
    (one,) = Prefetcher(Drawing(), optimizer(batch_size, 1), 5, torch.device("cpu")).micro_batches(range(1))
    assert one.rng.uniform(4).untyped_storage().nbytes() == 32 * 4 * 4
    assert len(made) == 2 * 32  # to make the batch, and for the loss


# --- dropout


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_dropout_leaves_the_mean_and_drops_in_each_row_what_it_drops_alone(share: float) -> None:
    whole = dropped(torch.ones(20, 100, 50), share, BatchRng(3, places=range(20)))
    assert abs(float((whole == 0).float().mean()) - share) < 0.01
    assert abs(float(whole.mean()) - 1) < 0.02
    for places in (range(7), range(7, 20)):
        part = dropped(torch.ones(len(places), 100, 50), share, BatchRng(3, places=places))
        assert torch.equal(part, whole[places.start : places.stop])


def test_nothing_is_dropped_without_random_numbers_or_by_a_share_of_none() -> None:
    x = torch.randn(4, 5, generator=rng.seeded(0))
    assert torch.equal(dropped(x, 0.5, None), x)
    assert torch.equal(dropped(x, 0.0, BatchRng(0, places=range(4))), x)
