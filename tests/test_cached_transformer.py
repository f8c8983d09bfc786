"""InferenceLinears in the forms that decoding chooses among."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cycle_sound.inference.cached_transformer import (
    BlockedLinear,
    InferenceLinear,
    PackedLinear,
    inference_linear,
    packing_works,
)


@pytest.mark.parametrize("form", [InferenceLinear, BlockedLinear, PackedLinear])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 5])
@torch.inference_mode()
def test_a_product_is_the_same_in_every_form(form: type[InferenceLinear], bias: bool, rows: int) -> None:
    layer = nn.Linear(48, 96, bias=bias)
    x, residual = torch.randn(rows, 2, 48), torch.randn(rows, 2, 96)
    linear = form(layer)
    assert torch.allclose(linear(x), layer(x), atol=1e-5)
    assert torch.allclose(linear.gelu(x), F.gelu(layer(x)), atol=1e-5)
    assert torch.allclose(linear.add(x, residual), residual + layer(x), atol=1e-5)


def test_a_row_is_the_same_to_the_bit_beside_any_others() -> None:
    linear = inference_linear(nn.Linear(128, 384), 2)
    x = torch.randn(64, 128)
    whole = linear(x)
    assert all(torch.equal(linear(x[:rows]), whole[:rows]) for rows in (2, 3, 8, 32))


def test_what_no_blocks_divide_is_multiplied_all_the_same() -> None:
    layer = nn.Linear(16, 24)
    assert torch.allclose(inference_linear(layer, 1)(torch.ones(1, 16)), layer(torch.ones(1, 16)), atol=1e-6)


def test_without_packed_operators_the_plain_product_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_layer: nn.Linear) -> None:
        raise AttributeError("no such operator in this torch")

    monkeypatch.setattr(PackedLinear, "__init__", lambda _self, layer: missing(layer))
    packing_works.cache_clear()
    try:
        assert type(inference_linear(nn.Linear(16, 24), 4)) is InferenceLinear
    finally:
        packing_works.cache_clear()
