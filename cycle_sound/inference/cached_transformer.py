"""A transformer for inference, one target token at a time, with a static key-value cache; the prefix is run once."""

from collections.abc import Callable
from functools import cache, partial
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.models.transformer import Block, Transformer, rotated
from cycle_sound.nn import device

BLOCK_COLUMNS = 32  # columns of a product that one core computes at a time
STRIDE = 64  # positions by which a GPU's attention grows: a CUDA graph for each so many, which reads no cache beyond


class InferenceLinear:
    """A linear layer for inference in a given precision, (…, n) → (…, m), with what may follow it."""

    def __init__(self, layer: nn.Linear, dtype: torch.dtype = torch.float32) -> None:
        self.weight = layer.weight.detach().to(dtype)
        self.bias = None if layer.bias is None else layer.bias.detach().to(dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """The product alone."""
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias)

    def gelu(self, x: Tensor) -> Tensor:
        """The GELU of the product."""
        return F.gelu(self(x))

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """The product added to a residual."""
        return residual + self(x)


class BlockedLinear(InferenceLinear):
    """On a CPU the fastest for one row: each core takes blocks of columns, which it reads from end to end.

    There it takes half of the time of `PackedLinear`, and a fifth to a half of a plain product's.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer)
        bias = self.weight.new_zeros(len(self.weight)) if self.bias is None else self.bias
        self.offset = bias.view(-1, 1, BLOCK_COLUMNS)  # (m / block, 1, block)
        self.weight = self.weight.unflatten(0, (-1, BLOCK_COLUMNS)).mT.contiguous()  # (m / block, n, block)

    def __call__(self, x: Tensor) -> Tensor:
        """The product alone."""
        rows = x.reshape(1, -1, x.shape[-1]).expand(len(self.weight), -1, -1)
        product = torch.baddbmm(self.offset, rows, self.weight)  # (m / block, rows, block)
        return product.transpose(0, 1).reshape(*x.shape[:-1], -1)


class PackedLinear(InferenceLinear):
    """On a CPU the fastest for more rows: oneDNN reads the weights in the order in which it laid them out.

    Its operators are private to torch; `packing_works` says whether this torch has them.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight)

    def __call__(self, x: Tensor) -> Tensor:
        """The product alone."""
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")

    def gelu(self, x: Tensor) -> Tensor:
        """The GELU of the product, in one pass."""
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "gelu", [], "none")

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """The product added to a residual, in one pass."""
        return torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.weight, self.bias, "add")


@cache
@torch.inference_mode()
def packing_works() -> bool:
    """Whether `PackedLinear` computes here what a plain layer does: its operators may change with any torch."""
    layer, x = nn.Linear(32, 32), torch.linspace(-1, 1, 64).view(2, 32)
    try:
        packed, plain = PackedLinear(layer), InferenceLinear(layer)
        pairs = [(packed(x), plain(x)), (packed.gelu(x), plain.gelu(x)), (packed.add(x, x), plain.add(x, x))]
    except (AttributeError, RuntimeError, TypeError):
        return False
    return all(torch.allclose(one, other, atol=1e-5) for one, other in pairs)


def inference_linear(layer: nn.Linear, rows: int, dtype: torch.dtype = torch.float32) -> InferenceLinear:
    """A linear layer in the form that is fastest for so many rows at a time."""
    if layer.weight.device.type != "cpu" or dtype != torch.float32:
        return InferenceLinear(layer, dtype)
    if rows == 1 and layer.out_features % BLOCK_COLUMNS == 0:
        return BlockedLinear(layer)
    return PackedLinear(layer) if packing_works() else InferenceLinear(layer)


def cache_bytes(model: Transformer, guided: bool) -> int:
    """What the keys and values of one target take, and where `guided` those of the row that sees no source."""
    length, width = len(model.null) + model.shapes.target_codes.places, model.config.width
    return (1 + guided) * 2 * model.config.depth * length * width * device.fast_dtype(device.of(model)).itemsize


class CachedBlock:
    """A transformer block that keeps the keys and values of what it has seen.

    `rotations` (2, positions, d / 4): of rotary positions, by which the prefix does not turn.
    """

    def __init__(self, block: Block, rows: int, length: int, rotations: Tensor | None) -> None:
        attention, weight = block.attention, block.attention.project_in.weight
        self.heads, self.norm1, self.norm2 = attention.heads, block.norm1, block.norm2
        self.rotations = rotations
        widen, narrow = (layer for layer in block.feed_forward if isinstance(layer, nn.Linear))
        dtype = device.fast_dtype(weight.device)
        self.project_in = inference_linear(attention.project_in, rows, dtype)
        self.project_out = inference_linear(attention.project_out, rows, dtype)
        self.widen, self.narrow = inference_linear(widen, rows, dtype), inference_linear(narrow, rows, dtype)
        self.cache = weight.new_zeros(2, rows, self.heads, length, weight.shape[1] // self.heads, dtype=dtype)

    def start(self, x: Tensor, rows: slice) -> Tensor:
        """A prefix, which sees itself alone, for some rows of the cache, or one for all: (b, n, width) → as given."""
        queries, new = self._qkv(x, None)
        self.cache[:, rows, :, : x.shape[1]] = new
        keys, values = new.unbind()
        return self._mlp(x, F.scaled_dot_product_attention(queries, keys, values))

    def step(self, x: Tensor, place: int) -> Tensor:
        """One position, which sees itself and all before it: (b, 1, width) → (b, 1, width)."""
        queries, new = self._qkv(x, None if self.rotations is None else self.rotations[:, place : place + 1])
        self.cache[:, :, :, place : place + 1] = new
        keys, values = self.cache[:, :, :, : place + 1].unbind()
        return self._mlp(x, F.scaled_dot_product_attention(queries, keys, values))

    def static_step(self, x: Tensor, place: Tensor, bias: Tensor) -> Tensor:
        """One position, whose number (1,) lies on the device; `bias` (1, n) is 0 where it sees, else -infinity.

        No shape depends on the position, so that a CUDA graph can repeat it: (b, 1, width) → (b, 1, width).
        """
        queries, new = self._qkv(x, None if self.rotations is None else self.rotations.index_select(1, place))
        self.cache.index_copy_(3, place, new)
        keys, values = self.cache[:, :, :, : bias.shape[1]].unbind()
        return self._mlp(x, F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias))

    def _qkv(self, x: Tensor, rotations: Tensor | None) -> tuple[Tensor, Tensor]:
        """Queries (b, heads, n, d), and keys and values (2, b, heads, n, d)."""
        mixed = self.project_in(self.norm1(x)).view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if rotations is not None:
            mixed[:2] = rotated(mixed[:2], rotations)
        return mixed[0], mixed[1:]

    def _mlp(self, x: Tensor, attended: Tensor) -> Tensor:
        """What follows attention: its projection and the feed-forward layer, each added to its input."""
        x = self.project_out.add(attended.transpose(1, 2).flatten(2), x)
        return self.narrow.add(self.widen.gelu(self.norm2(x)), x)


class CudaGraph:
    """Work on tensors of fixed shapes as a CUDA graph: one call instead of hundreds."""

    def __init__(self, work: Callable[..., Tensor], *inputs: Tensor) -> None:
        self.inputs = [one.clone() for one in inputs]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with device.any_order():  # of a single row that is written: to sort it takes a third of a step
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


class CachedTransformer:
    """A transformer made ready to generate `batch` targets at a time, one batch after another.

    Weights are packed, the cache is allocated, the null prefix is run and CUDA graphs are captured once. The weights
    must not change afterwards. `guided`: as many rows again follow those of the targets, which see no source, or the
    one that `guide_from` gives.
    """

    @torch.inference_mode()
    def __init__(self, model: Transformer, batch: int, guided: bool) -> None:
        self.model, self.batch, self.copies = model, batch, 1 + guided
        self.prefix = len(model.null)  # positions before the first target token
        places, width = model.positions().shape
        length, rows = self._within(places), batch * self.copies
        self.blocks = [
            CachedBlock(block, rows, length, model.rotations) for block in model.blocks if isinstance(block, Block)
        ]
        self.linear = [inference_linear(layer, rows) for layer in model.head.linear if isinstance(layer, nn.Linear)]
        self.offsets = model.null.new_zeros(places, rows, width)  # what is added to the embedding of each place
        self.numbers = torch.arange(length, device=model.null.device)
        self.graphs: dict[tuple[str, int], CudaGraph] = {}
        self.negative: Tensor | None = None
        if guided:
            self.guide_from(model.null)

    @torch.inference_mode()
    def guide_from(self, prefix: Tensor) -> None:
        """Use this prefix (1 + s, width) as the negative in guidance, run only if it differs from the last one."""
        if self.negative is None or not torch.equal(prefix, self.negative):
            self._run(prefix[None], slice(self.batch, self.batch * self.copies))
            self.negative = prefix.detach().clone()

    @torch.inference_mode()
    def start(self, prefix: Tensor) -> None:
        """Begin a batch: run its prefix (batch, 1 + s, width). What was cached of another batch is forgotten."""
        self._run(prefix, slice(0, self.batch))

    @torch.inference_mode()
    def step(self, before: Tensor, above: Tensor, place: int) -> Tensor:
        """The state from which the codes at `place` are predicted: (batch, k), (batch, k) → (rows, width).

        `before` and `above` are the codes of its neighbours; all places before it came first.
        """
        before, above = before.repeat(self.copies, 1), above.repeat(self.copies, 1)
        if before.device.type == "cuda":
            inputs, seen = (before, above, self.numbers[place : place + 1]), self._within(place + 1)
            return self._replayed(("step", seen), partial(self._static_step, seen), *inputs)
        x = self.model.neighbours(before[..., None], above[..., None]) + self.offsets[place][:, None]
        for block in self.blocks:
            x = block.step(x, self.prefix + place)
        return x[:, 0]

    @torch.inference_mode()
    def logits(self, state: Tensor, codes: Tensor) -> Tensor:
        """Logits of a place's next code, given its state and first codes: (rows, width), (batch, j) → (rows, v)."""
        if state.device.type == "cuda":
            return self._replayed(("logits", codes.shape[1]), self._logits, state, codes)
        return self._logits(state, codes)

    def _logits(self, state: Tensor, codes: Tensor) -> Tensor:
        codes = codes.repeat(self.copies, 1)
        last = self.model.head.last_state(state[:, None], codes[..., None])[:, 0]  # (rows, width)
        return self.linear[codes.shape[1]](self.model.head.norm(last))

    def _replayed(self, key: tuple[str, int], work: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """`work` by its CUDA graph, which is captured the first time."""
        if key not in self.graphs:
            self.graphs[key] = CudaGraph(work, *inputs)
        return self.graphs[key](*inputs)

    def _within(self, places: int) -> int:
        """Positions that hold the prefix and so many places, on a GPU a multiple of STRIDE."""
        positions = self.prefix + places
        return positions if self.model.null.device.type == "cpu" else STRIDE * ceil(positions / STRIDE)

    def _run(self, prefix: Tensor, rows: slice) -> None:
        """Cache a prefix (b, 1 + s, width) for as many rows, or one (1, 1 + s, width) for each of them."""
        self.offsets[:, rows] = self.model.positions()[:, None] + prefix[:, 0]
        x = prefix
        for block in self.blocks:
            x = block.start(x, rows)

    def _static_step(self, seen: int, before: Tensor, above: Tensor, place: Tensor) -> Tensor:
        """`step` with the place (1,) on the device, any of whose position is below `seen`: no shape depends on it."""
        offset = self.offsets.index_select(0, place)[0]
        x = self.model.neighbours(before[..., None], above[..., None]) + offset[:, None]
        position = place + self.prefix
        bias = torch.where(self.numbers[None, :seen] <= position, 0.0, -torch.inf).to(device.fast_dtype(x.device))
        for block in self.blocks:
            x = block.static_step(x, position, bias)
        return x[:, 0]
