"""Drawing tokens: truncation, and chance that does not depend on the batch."""

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from cycle_sound.inference.sampling import draw, exponentials, nucleus
from cycle_sound.nn import rng
from cycle_sound.params import SamplingConfig

PLAIN = SamplingConfig(temperature=1.0, top_k=0, top_p=1.0, guidance=1.0, candidates=1)


def logits(count: int) -> Tensor:
    return 3 * torch.randn(count, 24, generator=rng.seeded(0))


def noise(count: int, size: int = 24) -> Tensor:
    return exponentials([rng.seeded(2)] * count, size)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_as_often_as_they_are_likely(temperature: float) -> None:
    likely = torch.tensor([0.5, 0.3, 0.15, 0.05])
    config = PLAIN.model_copy(update={"temperature": temperature})
    drawn = draw(likely.log().expand(20_000, -1), config, noise(20_000, 4))
    wanted = likely ** (1 / temperature)
    assert torch.allclose(drawn.bincount(minlength=4) / 20_000, wanted / wanted.sum(), atol=0.015)


def test_draws_are_the_same_whatever_float_is_the_default() -> None:
    rows = logits(100)
    wanted = draw(rows, PLAIN, noise(100))
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(draw(rows, PLAIN, noise(100)), wanted)
    finally:
        torch.set_default_dtype(torch.float32)


def test_draws_pass_a_chi_square_test_for_each_row() -> None:
    """Of 24 tokens, 100,000 draws a row: as `torch.multinomial` would, without its chance."""
    rows, count = logits(8), 100_000
    likely = (rows.double() / 0.7).softmax(-1)
    config, generator = PLAIN.model_copy(update={"temperature": 0.7}), rng.seeded(4)
    for row, wanted in zip(rows, likely, strict=True):
        found = draw(row.expand(count, -1), config, exponentials([generator] * count, 24)).bincount(minlength=24)
        often = wanted * count >= 5  # where the test holds; the others count as one
        seen = torch.cat([found[often], found[~often].sum()[None]]).double()
        hoped = torch.cat([wanted[often], wanted[~often].sum()[None]]) * count
        statistic = float(((seen - hoped) ** 2 / hoped.clamp(min=1.0)).sum())
        assert chi2.sf(statistic, len(seen) - 1) > 1e-4


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_the_nucleus_is_the_smallest_set_of_the_most_likely_that_holds_its_share(share: float) -> None:
    likely = logits(50).softmax(-1)
    kept = nucleus(likely, share)
    for before, after in zip(likely, kept, strict=True):
        held = after > 0
        assert torch.equal(after[held], before[held])
        assert before[held].min() > before[~held].max()
        assert before[held].sum() >= share - 1e-6
        assert before[held].sum() - before[held].min() < share


def test_top_p_draws_only_from_the_nucleus() -> None:
    config = PLAIN.model_copy(update={"top_p": 0.6})
    drawn = draw(logits(500), config, noise(500))
    assert (nucleus(logits(500).softmax(-1), 0.6).gather(1, drawn[:, None]) > 0).all()
    assert drawn.unique().numel() > 5


def test_top_p_of_equally_likely_tokens_keeps_no_more_than_it_needs() -> None:
    assert (nucleus(torch.full((1, 8), 1 / 8), 0.5) > 0).sum() == 4


def test_a_sample_with_its_own_generator_does_not_depend_on_its_batch() -> None:
    whole = draw(logits(6), PLAIN, exponentials([rng.seeded(7, row) for row in range(6)], 24))
    for row in range(6):
        assert draw(logits(6)[row : row + 1], PLAIN, exponentials([rng.seeded(7, row)], 24)) == whole[row]


def test_noise_for_several_places_at_a_time_is_that_of_one_after_another() -> None:
    generator = rng.seeded(1)
    one_by_one = torch.stack([exponentials([generator], 24)[0] for _ in range(15)])
    assert torch.equal(exponentials([rng.seeded(1)], 5, 3, 24)[0].flatten(0, 1), one_by_one)


def test_no_number_that_a_generator_gives_lets_an_excluded_code_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A float32 in [0, 1) is exactly 0 once in some ten million times."""
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.zeros(*shape))
    noise = exponentials([rng.seeded(0)], 4)
    assert noise.isfinite().all()
    config = PLAIN.model_copy(update={"top_k": 1})
    assert draw(torch.tensor([[0.0, 1.0, 9.0, 2.0]]), config, noise).tolist() == [2]
