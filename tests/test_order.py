"""Each training step sees pairs in an order that is exact, looks random, and is never written down."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from cycle_sound.nn import order

COUNTS = (1, 2, 3, 4, 5, 6, 7, 12, 97, 1000, 3600, 4096, 4097, 600_011)
HUGE = 10_000_000


def epochs(count: int, number: int, seed: int = 1) -> np.ndarray:
    """The first epochs of so many rows: (number, count)."""
    return order.rows(range(number * count), count, seed).view(number, count).numpy()


def unlikely(observed: np.ndarray, expected: float) -> bool:
    """Whether chance alone would scatter counts so unevenly, or so evenly, in one case of 100,000."""
    below = chi2.cdf(((observed - expected) ** 2 / expected).sum(), observed.size - 1)
    return not 5e-6 < below < 1 - 5e-6


@pytest.mark.parametrize("count", COUNTS)
def test_every_row_comes_once_an_epoch(count: int) -> None:
    for epoch in epochs(count, 3):
        assert np.array_equal(np.sort(epoch), np.arange(count))


@pytest.mark.parametrize("count", [97, 1000, HUGE])
def test_epochs_and_seeds_have_orders_of_their_own(count: int) -> None:
    first, next_epoch = order.rows(range(50), count, 1), order.rows(range(count, count + 50), count, 1)
    for other in (next_epoch, order.rows(range(50), count, 2)):
        assert (first == other).float().mean() < 0.2


@pytest.mark.parametrize("count", [1, 3, 10, 1000, HUGE])
def test_what_stands_at_a_place_depends_on_nothing_beside_it(count: int) -> None:
    whole = order.rows(range(64), count, seed=3)
    for size in (1, 7, 32):
        parts = [order.rows(range(start, min(start + size, 64)), count, seed=3) for start in range(0, 64, size)]
        assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize(("count", "orders"), [(2, 2), (3, 6), (4, 24), (5, 120)])
def test_of_few_rows_every_order_is_as_frequent_as_any_other(count: int, orders: int) -> None:
    _, seen = np.unique(epochs(count, 200 * orders), axis=0, return_counts=True)
    assert len(seen) == orders
    assert not unlikely(seen, 200)


@pytest.mark.parametrize("count", [16, 97, 100])
def test_each_row_stands_anywhere_equally_often(count: int) -> None:
    seen = np.zeros((count, count))
    for epoch in epochs(count, 50 * count):
        seen[epoch, np.arange(count)] += 1
    assert not unlikely(seen, 50)


@pytest.mark.parametrize("count", [1000, 4096, 65_537, HUGE])
def test_neighbours_and_epochs_have_nothing_to_do_with_one_another(count: int) -> None:
    size = min(count, 100_000)
    first, other = (order.rows(range(start, start + size), count, 1).double() for start in (0, count))
    pairs = {
        "neighbours": (first[:-1], first[1:]),
        "epochs": (first, other),
        "seeds": (first, order.rows(range(size), count, 2).double()),
        "rows and places": (first, torch.arange(size).double()),
    }
    for name, pair in pairs.items():
        assert abs(float(torch.corrcoef(torch.stack(pair))[0, 1])) < 4.5 / size**0.5, name
    steps = (first.diff() % count).div(count / 16).long().bincount(minlength=16).numpy()
    assert not unlikely(steps, (size - 1) / 16)


def test_a_part_of_ten_million_rows_is_spread_over_all_of_them() -> None:
    drawn = order.rows(range(100_000), HUGE, 1).numpy()
    assert not unlikely(np.bincount(drawn // (HUGE // 100), minlength=100), 1000)
    assert not unlikely(np.bincount(drawn % 100, minlength=100), 1000)


@pytest.mark.parametrize("count", [1000, 600_000, HUGE])
def test_rows_cost_the_same_of_any_number(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    enciphered = []

    def counted(numbers: np.ndarray, keys: np.ndarray, among: int) -> np.ndarray:
        enciphered.append(len(numbers))
        return whole(numbers, keys, among)

    whole = order._enciphered
    monkeypatch.setattr(order, "_enciphered", counted)
    order.rows(range(5_000_000, 5_001_024), count, 1)
    assert sum(enciphered) < 1.1 * 1024
