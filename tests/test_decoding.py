"""Products in the forms that decoding chooses among."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cycle_sound.decoding import Packed, Product, Strips, product


@pytest.mark.parametrize("form", [Product, Strips, Packed])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 5])
@torch.inference_mode()
def test_a_product_is_the_same_in_every_form(form: type[Product], bias: bool, rows: int) -> None:
    layer = nn.Linear(48, 96, bias=bias)
    x, beside = torch.randn(rows, 2, 48), torch.randn(rows, 2, 96)
    made = form(layer)
    assert torch.allclose(made(x), layer(x), atol=1e-5)
    assert torch.allclose(made.gelu(x), F.gelu(layer(x)), atol=1e-5)
    assert torch.allclose(made.onto(x, beside), beside + layer(x), atol=1e-5)


def test_a_row_is_the_same_to_the_bit_beside_any_others() -> None:
    made = product(nn.Linear(128, 384), 2)
    x = torch.randn(64, 128)
    whole = made(x)
    assert all(torch.equal(made(x[:rows]), whole[:rows]) for rows in (2, 3, 8, 32))


def test_what_no_strips_divide_is_multiplied_all_the_same() -> None:
    layer = nn.Linear(16, 24)
    assert torch.allclose(product(layer, 1)(torch.ones(1, 16)), layer(torch.ones(1, 16)), atol=1e-6)
