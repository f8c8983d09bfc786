"""The figures that people compare."""

from itertools import permutations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import binomtest
from torch import Tensor

from cycle_sound.evaluation import direction_metrics, metrics
from cycle_sound.nn import fidelity


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
    assert fidelity.ssim(pictures, pictures).tolist() == pytest.approx([1, 1])
    assert (fidelity.psnr(pictures, pictures) >= 99).all()
    assert fidelity.log_spectral_distance(pictures[:, :1], pictures[:, :1], 90).tolist() == [0, 0]


def test_log_spectral_distance_is_in_decibels() -> None:
    real, louder = torch.zeros(2, 1, 8, 8), torch.tensor([0.1, 0.2]).view(2, 1, 1, 1)
    assert fidelity.log_spectral_distance(real + louder, real, db_range=90).tolist() == pytest.approx([4.5, 9])


def test_noise_of_a_known_size_has_its_signal_to_noise_ratio() -> None:
    real = torch.zeros(2, 3, 16, 16)
    assert fidelity.psnr(real + 0.2, real).tolist() == pytest.approx([20, 20])
    assert (fidelity.ssim(real + torch.rand(2, 3, 16, 16), real) < 0.5).all()


def gradient_ratio(made: Tensor, real: Tensor) -> float:
    return fidelity.sharpness_ratios(fidelity.sharpness(made, real))["gradient_ratio"]


def high_frequency_ratio(made: Tensor, real: Tensor) -> float:
    return fidelity.sharpness_ratios(fidelity.sharpness(made, real))["high_frequency_ratio"]


SHARPNESS = (gradient_ratio, high_frequency_ratio)


def textures(kind: str, channels: int) -> Tensor:
    """Pictures in [-1, 1] that have edges or a texture, and no noise of one pixel."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(4, channels, 8, 8, generator=generator) * 1.6 - 0.8
    if kind == "blobs":
        return F.interpolate(coarse, size=32, mode="bicubic").clamp(-1, 1)
    return F.interpolate(coarse.sign() if kind == "black and white" else coarse, size=32)


@pytest.mark.parametrize("ratio", SHARPNESS)
@pytest.mark.parametrize("kind", ["blobs", "squares", "black and white"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_real_picture_has_a_ratio_of_one_a_blurred_one_less_and_a_noisy_one_more(ratio, kind: str, channels: int):
    real = textures(kind, channels)
    noise = 0.1 * torch.randn(real.shape, generator=torch.Generator().manual_seed(1))
    assert ratio(real, real) == 1.0
    assert ratio(F.avg_pool2d(F.pad(real, (1, 1, 1, 1), mode="replicate"), 3, 1), real) < 0.98
    assert ratio(real + noise, real) > 1.02
    assert ratio(torch.zeros_like(real), real) == 0.0


def test_sharpness_of_pictures_known_by_hand() -> None:
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    board = ((-1) ** (rows + columns)).expand(1, 3, 16, 16)  # means over 3 × 3 are a ninth: ± 8/9 remain
    ramp = (0.03 * rows + 0.04 * columns).expand(2, 1, 16, 16) - 0.5  # a gradient of 0.05, and no high frequency
    tall = (0.1 * rows).expand(2, 1, 16, 16) - 0.8
    assert gradient_ratio(ramp, tall) == pytest.approx(0.5)
    assert gradient_ratio(board, 0.5 * board) == pytest.approx(2)
    assert high_frequency_ratio(0.5 * board, board) == pytest.approx(0.25)
    assert high_frequency_ratio(ramp, board) == pytest.approx(0, abs=1e-12)
    line = torch.zeros(1, 1, 5, 5)
    line[..., 2] = 0.9  # over it a mean of 0.3, beside it, too: squares of 0.6, 0.3 and 0.3
    assert high_frequency_ratio(line, board) == pytest.approx((0.36 + 0.09 + 0.09) / 3 / (64 / 81))


@pytest.mark.parametrize("ratio", SHARPNESS)
def test_flat_pictures_have_a_finite_ratio(ratio) -> None:
    flat = torch.full((2, 3, 8, 8), 0.25)
    assert ratio(flat, flat) == 0.0
    assert np.isfinite(ratio(torch.rand(2, 3, 8, 8), flat))


def pairs_of_features(seed: int, shift: float, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Features of what was made and of its real targets, each made one like its own target."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(count, 8))
    return 0.8 * common + 0.6 * rng.normal(size=(count, 8)) + shift, common


def test_kernel_distance_is_what_its_definition_says() -> None:
    made, real = pairs_of_features(0, 0.3, 7)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (a @ b / 8 + 1) ** 3

    each = [
        kernel(made[i], made[j]) + kernel(real[i], real[j]) - kernel(made[i], real[j]) - kernel(made[j], real[i])
        for i, j in permutations(range(7), 2)
    ]
    assert metrics.kernel_distance(made, real).value == pytest.approx(np.mean(each))
    without = [metrics.kernel_distance(np.delete(made, i, 0), np.delete(real, i, 0)).value for i in range(7)]
    half = 1.959964 * np.sqrt(6 * np.var(without))
    assert metrics.kernel_distance(made, real).high == pytest.approx(np.mean(each) + half)


def test_kernel_distance_is_zero_without_a_difference_and_grows_with_it() -> None:
    real = pairs_of_features(0, 0.0)[1]
    assert metrics.kernel_distance(real, real) == pytest.approx((0, 0, 0), abs=1e-12)
    none = [metrics.kernel_distance(*pairs_of_features(seed, 0.0)) for seed in range(100)]
    values = np.array([found.value for found in none])
    assert abs(values.mean()) < 3 * values.std() / 10  # unbiased, though each is like its own target
    small, large = (metrics.kernel_distance(*pairs_of_features(0, shift)) for shift in (0.5, 1.0))
    assert 0 < small.low < small.value < small.high < large.low


def test_the_interval_of_a_kernel_distance_holds_the_true_one_nineteen_times_of_twenty() -> None:
    found = [metrics.kernel_distance(*pairs_of_features(seed, 0.5)) for seed in range(200)]
    truth = metrics.kernel_distance(*pairs_of_features(1000, 0.5, 2500)).value
    assert np.mean([low <= truth <= high for _, low, high in found]) > 0.9


def test_wilson_interval_of_a_known_case_and_at_the_ends() -> None:
    assert metrics.wilson(8, 10) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert metrics.wilson(0, 10) == pytest.approx((0, 0, 0.2775), abs=1e-4)
    assert metrics.wilson(10, 10) == pytest.approx((1, 0.7225, 1), abs=1e-4)
    halves = [metrics.wilson(hits, 10) for hits in (7, 7.5, 8)]  # a hit in part
    assert halves == sorted(halves)
    assert halves[1].value == 0.75


@pytest.mark.parametrize("count", [1, 7, 50, 401])
def test_a_share_lies_inside_its_interval_and_that_inside_0_to_1(count: int) -> None:
    for hits in range(count + 1):
        share, low, high = metrics.wilson(hits, count)
        ends = binomtest(hits, count).proportion_ci(0.95, method="wilson")
        assert (low, high) == pytest.approx(ends, abs=1e-8)
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


@pytest.mark.parametrize("order", [range(96), range(95, -1, -1)])
def test_a_correlation_lies_in_its_interval_even_where_it_is_perfect(order: range) -> None:
    found = metrics.correlation_interval("r", range(96), order)
    assert found["r_low"] <= found["r"] <= found["r_high"]


def test_frechet_distance_of_shifted_gaussians_is_the_squared_shift() -> None:
    features = np.random.default_rng(0).normal(size=(500, 4))
    moments = metrics.moments(features)
    assert metrics.frechet_distance(moments, moments) == pytest.approx(0, abs=1e-3)
    assert metrics.frechet_distance(metrics.moments(features + 2), moments) == pytest.approx(16, rel=1e-3)


def test_the_interval_of_a_frechet_distance_covers_other_samples() -> None:
    """Of two Gaussians whose distance is 4; a sample of 300 adds 0.05 to it, a sixth of the interval's width."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(100):
        made, real = rng.normal(1, 1, (20, 15, 4)), rng.normal(0, 1, (20, 15, 4))
        moments = (np.stack([metrics.moments(group) for group in groups]) for groups in (made, real))
        found = metrics.frechet_interval(*moments)
        assert found.low < found.value < found.high
        covered += found.low <= 4 <= found.high
    assert 90 <= covered <= 99


def test_rank_correlation_ignores_what_is_not_measured_and_constants() -> None:
    assert metrics.rank_correlation([1, 2, 3, float("nan")], [2, 4, 9, 0]) == pytest.approx(1)
    assert metrics.rank_correlation([1, 1, 1], [1, 2, 3]) is None
    interval = metrics.correlation_interval("r", list(range(50)), [x + (x % 5) * 4 for x in range(50)])
    assert interval["r_low"] < interval["r"] < interval["r_high"]


def test_the_grid_shows_each_label_before_any_twice() -> None:
    labels = ["a", "a", "b", "a", "c", "b"]
    assert direction_metrics.one_of_each(labels, 4) == [0, 2, 4, 1]


def test_a_ratio_is_that_of_the_means_with_an_interval_as_wide_as_its_pairs_differ() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(100, 5, 40)
    exact = metrics.ratio(0.5 * real, real)
    assert exact.value == pytest.approx(0.5)
    assert exact.high - exact.low == pytest.approx(0)
    made = rng.normal(50, 10, 40)  # of a mean, the standard error is 10 / √40
    found = metrics.ratio(made, real)
    assert found.value == pytest.approx(made.mean() / real.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * 10 / 40**0.5 / 100, rel=0.25)


# --- confidence


@pytest.mark.parametrize("seed", range(3))
def test_the_area_under_the_roc_curve_is_how_often_a_positive_scores_higher(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.random(40) < 0.7
    scores = np.round(rng.normal(size=40) + positive, 1)  # with ties
    above = scores[positive][:, None] - scores[~positive]
    found = metrics.roc_area(scores, positive)
    assert found.value == pytest.approx(((above > 0) + (above == 0) / 2).mean())
    assert 0 < found.low < found.value < found.high < 1
    other_way = metrics.roc_area(-scores, positive)
    assert other_way == pytest.approx((1 - found.value, 1 - found.high, 1 - found.low))


def test_the_interval_of_an_area_narrows_with_the_pairs_and_is_not_empty_where_all_are_told_apart() -> None:
    def separated(count: int) -> metrics.Interval:
        return metrics.roc_area(np.arange(2.0 * count), np.arange(2 * count) >= count)

    few, many = separated(5), separated(500)
    assert (few.value, few.high, many.value) == (1.0, 1.0, 1.0)
    assert few.low < 0.8 < many.low < 1
    upside_down = metrics.roc_area(-np.arange(10.0), np.arange(10) >= 5)
    assert (upside_down.value, upside_down.low) == (0.0, 0.0)
    assert upside_down.high == pytest.approx(1 - few.low)


def test_the_interval_of_an_area_covers_the_true_one() -> None:
    rng = np.random.default_rng(0)
    true, covered = 0.7602, 0  # of normal scores a standard deviation apart
    for _ in range(300):
        positive = np.arange(80) < 25
        found = metrics.roc_area(rng.normal(size=80) + positive, positive)
        covered += found.low <= true <= found.high
    assert 0.92 <= covered / 300 <= 0.99


def test_the_calibration_error_of_what_happens_as_often_as_was_said_is_none() -> None:
    said = np.repeat([0.25, 0.75], 4)
    happened = np.array([1, 0, 0, 0, 1, 1, 1, 0], bool)
    assert metrics.calibration_error(said, happened, 10).value == 0
    assert metrics.calibration_error(said, ~happened, 10).value == pytest.approx(0.5)
    assert metrics.calibration_error(np.ones(4), np.zeros(4, bool), 10).value == 1


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_of_a_calibration_error_is_the_jackknifes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    said = rng.random(60)
    happened = rng.random(60) < said**2

    def error(rows: np.ndarray) -> float:
        return metrics.calibration_error(said[rows], happened[rows], 10).value

    every = np.arange(60)
    without = np.array([error(every[every != row]) for row in every])
    found = metrics.calibration_error(said, happened, 10)
    assert found.high - found.value == pytest.approx(1.959964 * np.sqrt(59 * without.var()))
    places = metrics.bins(said, 10)
    parts = [np.abs((said - happened)[places == place].sum()) for place in range(10)]
    assert found.value == pytest.approx(sum(parts) / 60)


def test_a_probability_lies_in_the_bin_that_holds_it() -> None:
    assert metrics.bins(np.array([0.0, 0.0999, 0.1, 0.95, 1.0]), 10).tolist() == [0, 0, 1, 9, 9]
