"""The figures that people compare."""

from itertools import permutations

import numpy as np
import pytest
import torch

from cycle_sound.evaluation import metrics, scores
from cycle_sound.training import fidelity


def test_codebook_use_of_even_and_single_codes() -> None:
    even = torch.arange(8).repeat(5).view(10, 1, 2, 2)
    assert fidelity.codebook_use(even, 16) == pytest.approx((0.5, 0.5, 8))
    assert fidelity.codebook_use(torch.zeros_like(even), 16) == pytest.approx((1 / 16, 1 / 16, 1))


def test_one_collapsed_codebook_among_others_is_seen() -> None:
    even = torch.arange(16).repeat(2).view(8, 1, 2, 2)
    use = fidelity.codebook_use(torch.cat([even, torch.zeros_like(even), even], dim=1), 16)
    assert use == pytest.approx(((1 + 1 / 16 + 1) / 3, 1 / 16, 11))


def test_a_perfect_reconstruction_has_no_distance() -> None:
    pictures = torch.rand(2, 3, 16, 16) * 2 - 1
    assert fidelity.ssim(pictures, pictures) == pytest.approx(1)
    assert fidelity.psnr(pictures, pictures) >= 99
    assert fidelity.log_spectral_distance(pictures, pictures, 90) == 0


def test_log_spectral_distance_is_in_decibels() -> None:
    real = torch.zeros(2, 1, 8, 8)
    assert fidelity.log_spectral_distance(real + 0.1, real, db_range=90) == pytest.approx(4.5)


def test_noise_of_a_known_size_has_its_signal_to_noise_ratio() -> None:
    real = torch.zeros(2, 3, 16, 16)
    assert fidelity.psnr(real + 0.2, real) == pytest.approx(20)
    assert fidelity.ssim(real + torch.rand(2, 3, 16, 16), real) < 0.5


def test_wilson_interval_of_a_known_case_and_at_the_ends() -> None:
    assert metrics.wilson(8, 10) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert metrics.wilson(0, 10) == pytest.approx((0, 0, 0.2775), abs=1e-4)
    assert metrics.wilson(10, 10) == pytest.approx((1, 0.7225, 1), abs=1e-4)


@pytest.mark.parametrize("count", [1, 7, 50, 401])
def test_a_share_lies_inside_its_interval_and_that_inside_0_to_1(count: int) -> None:
    for hits in range(count + 1):
        share, low, high = metrics.wilson(hits, count)
        assert 0 <= low <= share <= high <= 1
        assert high > low


@pytest.mark.parametrize(("found", "wanted"), [("aabbcd", "abbbcc"), ("aaaaaa", "aabbcd"), ("xxyyzz", "aabbcc")])
def test_the_agreement_by_chance_is_the_mean_over_all_permutations(found: str, wanted: str) -> None:
    each = [np.mean([a == b for a, b in zip(found, other, strict=True)]) for other in permutations(wanted)]
    assert metrics.chance_agreement(found, wanted) == pytest.approx(np.mean(each))


def test_the_agreement_by_chance_depends_on_no_order() -> None:
    wanted = [*"abcde" * 12, *"abcd"]  # 64 pairs of five classes
    assert metrics.chance_agreement(wanted, wanted) == metrics.chance_agreement(sorted(wanted), wanted[::-1])
    assert metrics.chance_agreement(wanted, wanted) == pytest.approx(0.2, abs=0.001)


def test_the_floor_of_a_correlation_is_its_mean_over_all_permutations() -> None:
    values = [1.0, 2.0, 2.0, 5.0, 4.0]
    each = [metrics.rank_correlation(values, order) for order in permutations([3.0, 1.0, 4.0, 1.0, 5.0])]
    assert np.mean(each) == pytest.approx(0.0, abs=1e-12)
    assert metrics.correlation_interval("r", values, values)["r_floor"] == 0.0
    assert metrics.correlation_interval("r", [1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == {}


def test_frechet_distance_of_shifted_gaussians_is_the_squared_shift() -> None:
    features = np.random.default_rng(0).normal(size=(500, 4))
    assert metrics.frechet_distance(features, features) == pytest.approx(0, abs=1e-3)
    assert metrics.frechet_distance(features + 2, features) == pytest.approx(16, rel=1e-3)


def test_rank_correlation_ignores_what_is_not_measured_and_constants() -> None:
    assert metrics.rank_correlation([1, 2, 3, float("nan")], [2, 4, 9, 0]) == pytest.approx(1)
    assert metrics.rank_correlation([1, 1, 1], [1, 2, 3]) is None
    interval = metrics.correlation_interval("r", list(range(50)), [x + (x % 5) * 4 for x in range(50)])
    assert interval["r_low"] < interval["r"] < interval["r_high"]


def test_the_grid_shows_each_label_before_any_twice() -> None:
    labels = ["a", "a", "b", "a", "c", "b"]
    assert scores.one_of_each(labels, 4) == [0, 2, 4, 1]
