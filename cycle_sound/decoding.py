"""One target token at a time: a transformer with a static cache of keys and values behind a prefix that is run once."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.transformer import Block, Transformer

STRIP = 32  # columns of a product that one core computes at a time


class Product:
    """What a linear layer does, (…, n) → (…, m), and what follows it."""

    def __init__(self, layer: nn.Linear) -> None:
        self.weight, self.bias = layer.weight.detach(), layer.bias

    def __call__(self, x: Tensor) -> Tensor:
        """The product alone."""
        return F.linear(x, self.weight, self.bias)

    def gelu(self, x: Tensor) -> Tensor:
        """Its GELU."""
        return F.gelu(self(x))

    def onto(self, x: Tensor, beside: Tensor) -> Tensor:
        """The product added to what goes by it."""
        return beside + self(x)


class Strips(Product):
    """The same on a CPU, at its best for one row: each core takes strips of columns, which it reads from end to end.

    There it takes half of the time of `Packed`, and a fifth to a half of a plain product's.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer)
        bias = self.weight.new_zeros(len(self.weight)) if self.bias is None else self.bias
        self.offset = bias.view(-1, 1, STRIP)  # (m / strip, 1, strip)
        self.weight = self.weight.unflatten(0, (-1, STRIP)).mT.contiguous()  # (m / strip, n, strip)

    def __call__(self, x: Tensor) -> Tensor:
        """The product alone."""
        rows = x.reshape(1, -1, x.shape[-1]).expand(len(self.weight), -1, -1)
        made = torch.baddbmm(self.offset, rows, self.weight)  # (m / strip, rows, strip)
        return made.transpose(0, 1).reshape(*x.shape[:-1], -1)


class Packed(Product):
    """The same on a CPU for more rows, in one pass: oneDNN reads the weights in the order in which it laid them out.

    From two rows on its results do not depend on their number: a sample is the same to the bit in any batch.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight)

    def __call__(self, x: Tensor) -> Tensor:
        """The product alone."""
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")

    def gelu(self, x: Tensor) -> Tensor:
        """Its GELU."""
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "gelu", [], "none")

    def onto(self, x: Tensor, beside: Tensor) -> Tensor:
        """The product added to what goes by it."""
        return torch.ops.mkldnn._linear_pointwise.binary(x, beside, self.weight, self.bias, "add")


def product(layer: nn.Linear, rows: int) -> Product:
    """A linear layer in the form that is fastest for so many rows at a time."""
    if layer.weight.device.type != "cpu" or layer.weight.dtype != torch.float32:
        return Product(layer)
    if rows == 1 and layer.out_features % STRIP == 0:
        return Strips(layer)
    return Packed(layer) if torch.backends.mkldnn.is_available() else Product(layer)


class Layer:
    """One block in decoding: its products in their fastest form, its keys and values kept."""

    def __init__(self, block: Block, batch: int, length: int) -> None:
        attention, weight = block.attention, block.attention.project_in.weight
        self.heads, self.norm1, self.norm2 = attention.heads, block.norm1, block.norm2
        widen, narrow = (layer for layer in block.feed_forward if isinstance(layer, nn.Linear))
        self.project_in, self.project_out = product(attention.project_in, batch), product(attention.project_out, batch)
        self.widen, self.narrow = product(widen, batch), product(narrow, batch)
        self.cache = weight.new_zeros(2, batch, self.heads, length, weight.shape[1] // self.heads)

    def __call__(self, x: Tensor, first: int) -> Tensor:
        """Positions `first` … of a sequence, which see each other and all before them: (b, n, width) → the same."""
        last = first + x.shape[1]
        queries, new = self._mixed(x)
        self.cache[:, :, :, first:last] = new
        keys, values = self.cache[:, :, :, :last].unbind()
        return self._out(x, F.scaled_dot_product_attention(queries, keys, values))

    def one(self, x: Tensor, place: Tensor, seen: Tensor) -> Tensor:
        """The same for one position with a number (1,) on the device, which sees where `seen` (length,) holds True.

        The shapes are those of every step: a CUDA graph can repeat it.
        """
        queries, new = self._mixed(x)
        self.cache.index_copy_(3, place, new)
        keys, values = self.cache.unbind()
        return self._out(x, F.scaled_dot_product_attention(queries, keys, values, attn_mask=seen[None]))

    def _mixed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (b, heads, n, d), and keys and values (2, b, heads, n, d)."""
        mixed = self.project_in(self.norm1(x)).view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return mixed[0], mixed[1:]

    def _out(self, x: Tensor, attended: Tensor) -> Tensor:
        x = self.project_out.onto(attended.transpose(1, 2).flatten(2), x)
        return self.narrow.onto(self.widen.gelu(self.norm2(x)), x)


class Recorded:
    """Work on tensors of fixed shapes as a CUDA graph: one call instead of hundreds."""

    def __init__(self, work: Callable[..., Tensor], *inputs: Tensor) -> None:
        self.inputs = [one.clone() for one in inputs]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            work(*self.inputs)  # what allocates or tunes on its first run must not do so in the recording
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.output = work(*self.inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The work on other inputs; what is returned is overwritten by the next call."""
        for held, given in zip(self.inputs, inputs, strict=True):
            held.copy_(given)
        self.graph.replay()
        return self.output


class Decoder:
    """A generation under way. The model's weights must not change meanwhile."""

    @torch.inference_mode()
    def __init__(self, model: Transformer, prefix: Tensor) -> None:
        """Run a prefix (b, 1 + s, width)."""
        self.model, self.prefix = model, prefix.shape[1]
        length = self.prefix + model.tokens
        self.layers = [Layer(block, len(prefix), length) for block in model.blocks if isinstance(block, Block)]
        self.head = product(model.head, len(prefix))
        self.here = model.places()[:, None] + prefix[:, 0]  # (t, b, width)
        self.positions = torch.arange(length, device=prefix.device)
        self.recorded: Recorded | None = None
        x = prefix
        for layer in self.layers:
            x = layer(x, 0)

    @torch.inference_mode()
    def step(self, before: Tensor, above: Tensor, place: int) -> Tensor:
        """Logits of the token at `place`, given its neighbours (b,), (b,); all places before it came first: (b, v)."""
        if before.device.type == "cuda":
            inputs = (before, above, self.positions[place : place + 1])
            self.recorded = self.recorded or Recorded(self.fixed, *inputs)
            return self.recorded(*inputs)
        x = self._embedded(before, above, self.here[place])
        for layer in self.layers:
            x = layer(x, self.prefix + place)
        return self._logits(x)

    @torch.inference_mode()
    def fixed(self, before: Tensor, above: Tensor, place: Tensor) -> Tensor:
        """The same with the place (1,) on the device: no shape and no kernel depends on it."""
        x = self._embedded(before, above, self.here.index_select(0, place)[0])
        position = place + self.prefix
        for layer in self.layers:
            x = layer.one(x, position, self.positions <= position)
        return self._logits(x)

    def _embedded(self, before: Tensor, above: Tensor, here: Tensor) -> Tensor:
        return (self.model.neighbours(before, above) + here)[:, None]  # (b, 1, width)

    def _logits(self, x: Tensor) -> Tensor:
        return self.head(self.model.norm(x[:, 0]))
