"""The transformer: causality, conditioning, cached generation, for one code per place and for several."""

import itertools
import json
import shutil
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from cycle_sound.inference import cached_transformer
from cycle_sound.inference.cached_transformer import CachedTransformer
from cycle_sound.inference.sampling import draw, exponentials, sample
from cycle_sound.models import contrastive, transformer
from cycle_sound.models.features import FeatureShape
from cycle_sound.models.source_encoder import Summary
from cycle_sound.models.tokenizer import CodeShape
from cycle_sound.models.transformer import (
    Shapes,
    Transformer,
    attended,
    attended_in_parts,
    joined,
    parted,
    rotated,
    rotations,
)
from cycle_sound.nn import checkpoint, device
from cycle_sound.nn.rng import BatchRng, seeded
from cycle_sound.params import Params, SamplingConfig

PICTURES = {"source_picture": (1, 32, 32), "target_picture": (3, 24, 32)}
FEATURES = FeatureShape(40, 3, 4)
PLACES, SIZE = 12, 24
GREEDY = SamplingConfig(temperature=0.0, top_k=0, top_p=1.0, guidance=1.0, candidates=1)


@pytest.fixture(
    params=[
        ("encoder", True, False, 1),
        ("tokens", False, True, 1),
        ("tokens", True, False, 2),
        ("encoder", False, True, 3),
        ("features", True, True, 2),
    ]
)
def model(request: pytest.FixtureRequest, params: Params) -> Transformer:
    tiny = {"width": 16, "depth": 2, "heads": 2, "source_width": 8, "source_downsamples": 3, "dropout": 0.0}
    condition, above, rotary, codebooks = request.param
    inputs = {"condition": condition, "above": above, "rotary": rotary}
    config = params.transformer.audio_to_image.model_copy(update=tiny | inputs)
    torch.manual_seed(0)
    source, target = CodeShape(codebooks, 4, 4, 20), CodeShape(codebooks, 3, 4, SIZE)
    shape = FEATURES if condition == "features" else None
    shapes = Shapes(source_codes=source, target_codes=target, source_features=shape, **PICTURES)
    model = Transformer(config, shapes).eval()
    torch.nn.init.normal_(model.summary_projection.weight, std=0.3)  # as if it had learned to use the summary
    for linear in model.head.linear:
        torch.nn.init.normal_(linear.weight, std=1.0)  # and to prefer some codes
    return model


def sources(model: Transformer, count: int) -> Tensor:
    if model.config.condition == "encoder":
        return torch.rand(count, *PICTURES["source_picture"], generator=seeded(5)) * 2 - 1
    if model.config.condition == "features":
        return torch.rand(count, *FEATURES, generator=seeded(5))
    codes = model.shapes.source_codes
    return torch.randint(20, (count, codes.codebooks, codes.rows, codes.columns), generator=seeded(5))


def targets(model: Transformer, count: int) -> Tensor:
    return torch.randint(SIZE, (count, model.shapes.target_codes.codebooks, PLACES), generator=seeded(6))


def generate(model: Transformer, source_inputs: Tensor, config: SamplingConfig, seed: int) -> Tensor:
    count = len(source_inputs)
    cached = CachedTransformer(model, count, guided=config.guidance != 1)
    return sample(cached, model.encode_source(source_inputs), config, [seeded(seed, row) for row in range(count)])


def test_a_code_depends_on_those_before_it_alone(model: Transformer) -> None:
    """By changing one code at a time: the logits of no code before it, nor its own, may change."""
    codes = targets(model, 1)
    prefix = model.encode_source(sources(model, 1))
    order = [(number, place) for place in range(PLACES) for number in range(codes.shape[1])]
    with torch.no_grad():
        known = model(prefix, codes)
        for place, (codebook, position) in enumerate(order):
            changed = codes.clone()
            changed[0, codebook, position] = (changed[0, codebook, position] + 1) % SIZE
            moved = (model(prefix, changed) - known).abs().amax(-1)[0]  # (k, t)
            assert all(moved[earlier] == 0 for earlier in order[: place + 1])
            assert place + 1 == len(order) or moved[order[place + 1]] > 0


def test_every_target_token_sees_the_whole_source(model: Transformer) -> None:
    prefix = model.encode_source(sources(model, 2)).detach().requires_grad_()
    model(prefix, targets(model, 2))[:, :, 0].sum().backward()
    assert (prefix.grad.abs().sum((0, 2)) > 0).all()


def in_parts(q: Tensor, k: Tensor, v: Tensor, prefix: int) -> Tensor:
    """As a GPU has it."""
    return joined(*attended_in_parts(parted(q, k, v, prefix)))


@given(prefix=st.integers(1, 70), target=st.integers(1, 70), width=st.sampled_from([4, 8, 20, 32]))
@settings(max_examples=25, deadline=None, derandomize=True)
@example(prefix=1, target=1, width=8)
@example(prefix=17, target=64, width=32)  # the default sizes
@example(prefix=265, target=256, width=64)
def test_attention_without_a_mask_equals_attention_under_one(prefix: int, target: int, width: int) -> None:
    """Forward and gradient."""
    inputs = torch.randn(3, 2, 2, prefix + target, width, generator=seeded(0)).requires_grad_()
    towards = torch.randn(2, prefix + target, 2 * width, generator=seeded(1))
    results = in_parts(*inputs, prefix), attended(*inputs, prefix)
    for one, other in (results, [torch.autograd.grad(result, inputs, towards)[0] for result in results]):
        assert torch.allclose(one, other, rtol=0, atol=1e-5)


def test_attention_in_bfloat16_is_near_that_in_float32() -> None:
    """Forward and gradient, on a CPU by products of its own."""
    inputs = torch.randn(3, 2, 4, 81, 32, generator=seeded(0)).requires_grad_()
    towards = torch.randn(2, 81, 128, generator=seeded(1))
    results = attended(*inputs.bfloat16(), 17), attended(*inputs, 17)
    for one, other in (results, [torch.autograd.grad(result, inputs, towards)[0] for result in results]):
        assert (one.float() - other).norm() < 0.01 * other.norm()


def in_bfloat16(q: Tensor, k: Tensor, v: Tensor, prefix: int) -> Tensor:
    return attended(q.bfloat16(), k.bfloat16(), v.bfloat16(), prefix).float()


@pytest.mark.parametrize("work", [attended, in_parts, in_bfloat16])
def test_the_prefix_sees_itself_in_both_directions_and_no_target(work: Callable[..., Tensor]) -> None:
    """By the share that each value has in each output."""
    shares = work(torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 5, 5), torch.eye(5)[None, None], 3)[0]
    assert (shares > 0).int().tolist() == [[1, 1, 1, 0, 0]] * 3 + [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


def test_rotary_positions_tell_how_far_apart_two_places_are() -> None:
    """The product of a query and a key is the same wherever both lie, in a grid, and changes with their distance."""
    turning = rotations(CodeShape(4, 5, 6, SIZE), 2, 16)
    query, key = torch.randn(2, 1, 1, 1, 16, generator=seeded(0)).expand(-1, -1, -1, 32, -1)
    products = (rotated(query, turning) @ rotated(key, turning).mT)[0, 0]
    assert torch.allclose(products[:2, :2], query[0, 0, 0] @ key[0, 0, 0])  # those of the prefix have no place
    grid = products[2:, 2:].view(5, 6, 5, 6)
    for rows, columns in itertools.product(range(3), range(4)):
        between = grid[rows:, columns:, : 5 - rows, : 6 - columns]
        same = between.diagonal(dim1=0, dim2=2).diagonal(dim1=0, dim2=1)
        assert torch.allclose(same, same[0, 0], atol=1e-4)
        assert (not rows and not columns) or (same[0, 0] - grid[0, 0, 0, 0]).abs() > 1e-3


@torch.inference_mode()
def test_cached_logits_equal_uncached_ones(model: Transformer) -> None:
    """Also beside the null prefix in one batch, as guidance has it; and one batch after another."""
    codes, columns = targets(model, 3), model.shapes.target_codes.columns
    cached, static = CachedTransformer(model, 3, guided=True), CachedTransformer(model, 3, guided=True)
    for prefix in (model.encode_source(sources(model, 3)), model.null_prefix(3)):
        both, twice = torch.cat([prefix, model.null_prefix(3)]), codes.repeat(2, 1, 1)
        known = F.pad(codes, (columns, 0), value=model.bos)
        wanted = model(both, twice)  # (6, k, t, v)
        cached.start(prefix)
        static.start(prefix)
        for place in range(PLACES):
            before, above = known[..., place + columns - 1], known[..., place]
            seen = min(static.prefix + place + 3, static.prefix + PLACES)  # more than there is to see
            repeated = seen, before.repeat(2, 1), above.repeat(2, 1), torch.tensor([place])
            for state in (cached.step(before, above, place), static._static_step(*repeated)):
                for number in range(codes.shape[1]):
                    logits = cached.logits(state, codes[:, :number, place])
                    assert torch.allclose(logits, wanted[:, number, place], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_guidance_leads_away_from_any_source_and_leaves_no_trace_of_it(model: Transformer) -> None:
    prefix, other, far = model.encode_source(sources(model, 5)).split([3, 1, 1])
    guided = SamplingConfig(temperature=1.0, top_k=0, top_p=1.0, guidance=3.0, candidates=1)
    cached = CachedTransformer(model, 3, guided=True)

    def drawn(negative: Tensor, behind: CachedTransformer) -> Tensor:
        behind.guide_from(negative)
        return sample(behind, prefix, guided, [seeded(0, row) for row in range(3)])

    codes = [drawn(negative, cached) for negative in (model.null, other[0], far[0], model.null)]
    assert torch.equal(codes[0], codes[3])
    assert not torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[1], codes[2])
    assert torch.equal(codes[1], drawn(other[0], CachedTransformer(model, 3, guided=True)))
    cached.guide_from(other[0])
    cached.start(prefix)
    before = torch.full((3, codes[0].shape[1]), model.bos)
    logits = cached.logits(cached.step(before, before, 0), before[:, :0])
    wanted = model(torch.cat([prefix, other.expand(3, -1, -1)]), codes[0].repeat(2, 1, 1))[:, 0, 0]
    assert torch.allclose(logits, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("guided", [False, True])
@torch.inference_mode()
def test_a_gpu_caches_in_bfloat16_half_of_the_bytes(
    model: Transformer, guided: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As near as bfloat16 is to the logits in float32; each row takes what is reckoned with."""
    prefix, codes = model.encode_source(sources(model, 3)), targets(model, 3)
    found, size = [], []
    for dtype in (torch.float32, torch.bfloat16):
        monkeypatch.setattr(device, "fast_dtype", lambda _, dtype=dtype: dtype)
        cached = CachedTransformer(model, 3, guided)
        cached.start(prefix)
        states = [cached.step(codes[..., place], codes[..., place], place) for place in range(PLACES)]
        found.append(cached.logits(states[-1], codes[:, :0, 0]))
        size.append(cached_transformer.cache_bytes(model, guided))
        assert sum(block.cache.nbytes for block in cached.blocks) == 3 * size[-1]
    assert size[0] == 2 * size[1]
    assert found[0].dtype == found[1].dtype == torch.float32
    assert 0 < (found[0] - found[1]).abs().max() < 0.02 * found[0].abs().max()


def test_greedy_generation_follows_the_uncached_argmax(model: Transformer) -> None:
    given = sources(model, 2)
    codes = generate(model, given, GREEDY, 0).clone()
    logits = model(model.encode_source(given), codes)
    assert torch.equal(logits.argmax(-1), codes)


def test_guidance_moves_away_from_null(model: Transformer) -> None:
    given, codes = sources(model, 4), targets(model, 4)
    conditional = model(model.encode_source(given), codes)[:, 0, 0]
    null = model(model.null_prefix(4), codes)[:, 0, 0]
    guided = generate(model, given, GREEDY.model_copy(update={"guidance": 3.0}), 0)[:, 0, 0]
    assert torch.equal(guided, (null + 3 * (conditional - null)).argmax(-1))


def test_a_seed_gives_the_same_samples_and_another_does_not(model: Transformer) -> None:
    config = SamplingConfig(temperature=1.0, top_k=10, top_p=1.0, guidance=2.0, candidates=1)
    first, again, other = (generate(model, sources(model, 4), config, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@torch.no_grad()
def test_samples_come_as_often_as_the_likelihood_says(model: Transformer) -> None:
    """The codes of the first place, up to two of them, drawn 3,000 times, against p(c_1) p(c_2 | c_1)."""
    config = GREEDY.model_copy(update={"temperature": 1.0})
    given = sources(model, 1).expand(3000, *[-1] * (3))
    first = generate(model, given, config, 3)[:, :, 0]  # (3000, k)
    codes = targets(model, 1).expand(len(first), -1, -1).clone()
    codes[:, :, 0] = first
    log_p = model(model.encode_source(given), codes)[:, :2, 0].log_softmax(-1)
    first = first[:, :2]
    joint = log_p.gather(-1, first[..., None])[..., 0].sum(1).exp()
    _, places, counts = first.unique(dim=0, return_inverse=True, return_counts=True)
    common = counts[places] >= 100
    found = counts[places][common] / len(first)
    assert torch.allclose(found, joint[common], rtol=0.3)
    assert common.any()


def test_top_k_draws_only_from_the_k_most_likely() -> None:
    logits = torch.randn(500, 24, generator=seeded(0))
    noise = exponentials([seeded(1)] * 500, 24)
    drawn = draw(logits, SamplingConfig(temperature=2.0, top_k=3, top_p=1.0, guidance=1.0, candidates=1), noise)
    assert (logits.topk(3).indices == drawn[:, None]).any(1).all()


@torch.no_grad()
def test_probabilities_of_all_continuations_add_up_to_one(model: Transformer) -> None:
    """Over all codes of the last place: with several codebooks, over all their combinations."""
    codebooks = min(model.shapes.target_codes.codebooks, 2)
    last = torch.cartesian_prod(*[torch.arange(SIZE)] * codebooks).view(-1, codebooks)
    codes = targets(model, 1).repeat(len(last), 1, 1)
    codes[:, -codebooks:, -1] = last
    prefix = model.encode_source(sources(model, 1)).expand(len(last), -1, -1)
    log_p = model(prefix[:1], codes[:1]).log_softmax(-1).gather(-1, codes[:1, ..., None])[0, ..., 0]
    others = log_p.sum() - log_p[-codebooks:, -1].sum()
    assert torch.isclose((model.log_likelihood(prefix, codes) - others).exp().sum(), torch.tensor(1.0), atol=1e-4)


def test_dropping_every_condition_leaves_no_gradient_in_the_source_encoder(model: Transformer) -> None:
    model.config = model.config.model_copy(update={"condition_dropout": 1.0})
    given, pictures = sources(model, 3), torch.rand(3, *PICTURES["target_picture"])
    model.losses(given, targets(model, 3), pictures, BatchRng(0, places=range(3))).cross_entropy.backward()
    gradients = [parameter.grad for parameter in model.source_encoder.parameters()]
    assert all(gradient is None or gradient.abs().sum() == 0 for gradient in gradients)
    assert model.null.grad.abs().sum() > 0


def gradients(model: Transformer, config: dict[str, object], step: int) -> list[Tensor]:
    """Of a training step, with other settings."""
    model.config = model.config.model_copy(update=config)
    for block in model.blocks:
        block.dropout = model.config.dropout
    model.train().zero_grad()
    pictures = torch.rand(3, *PICTURES["target_picture"], generator=seeded(7))
    losses = model.losses(sources(model, 3), targets(model, 3), pictures, BatchRng(step, places=range(3)))
    (losses.cross_entropy + losses.alignment).backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_layers_that_are_computed_again_have_the_same_gradients(model: Transformer, dropout: float) -> None:
    """To the byte, also where something is dropped: each time the same."""
    kept, again, other = (
        gradients(model, {"dropout": dropout, "checkpointing": checkpointing}, step)
        for checkpointing, step in ((False, 0), (True, 0), (True, 1))
    )
    assert all(torch.equal(one, two) for one, two in zip(kept, again, strict=True))
    assert not all(torch.equal(one, two) for one, two in zip(kept, other, strict=True))


def kept_bytes(params: Params, depth: int, checkpointing: bool, precision: torch.dtype) -> int:
    """What a sample of 17 + 48 positions keeps for the backward pass in layers of width 1,024, beside the weights."""
    sizes = {"width": 1024, "depth": depth, "heads": 16, "dropout": 0.1, "checkpointing": checkpointing}
    config = params.transformer.audio_to_image.model_copy(update={**sizes, "source_width": 8})
    codes = CodeShape(1, 6, 8, SIZE)
    model = Transformer(config, Shapes(codes, (1, 64, 64), codes, (3, 64, 64))).train()
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    held: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    prefix, drawn = torch.zeros(1, 17, 1024, requires_grad=True), torch.zeros(1, 1, 48, dtype=torch.long)
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", precision, enabled=precision != torch.float32),
    ):
        loss = model(prefix, drawn, rng=BatchRng(0, places=range(1))).sum()  # holds what it needs
    assert loss.requires_grad
    return sum(size for place, size in held.items() if place not in weights)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_layers_that_are_computed_again_keep_their_input_alone(params: Params, precision: torch.dtype) -> None:
    """4 kB for each position and layer, instead of 40 kB or more."""
    for checkpointing in (False, True):
        one, two = (kept_bytes(params, depth, checkpointing, precision) for depth in (1, 2))
        assert (two - one <= 10_000 * 65) if checkpointing else (two - one >= 40_000 * 65)


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler on this machine")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_compiled_blocks_learn_what_plain_ones_learn(
    model: Transformer, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a training on a GPU compiles, compiled for a CPU."""
    model.config = model.config.model_copy(update={"checkpointing": checkpointing})
    for block in model.blocks:
        block.dropout = 0.1
    found = []
    for compiles in (False, True):
        monkeypatch.setattr(device, "compiles", lambda _, compiles=compiles: compiles)
        model.train().zero_grad()
        logits = model(model.encode_source(sources(model, 3)), targets(model, 3), rng=BatchRng(0, places=range(3)))
        logits.square().mean().backward()
        found.append([weight.grad for weight in model.parameters() if weight.grad is not None])
    for plain, compiled in zip(*found, strict=True):
        assert torch.allclose(plain, compiled, rtol=1e-4, atol=1e-6)


def test_of_the_codes_before_a_share_is_random_in_training(model: Transformer) -> None:
    codes = targets(model, 400)
    for share in (0.0, 0.1, 0.4):
        model.config = model.config.model_copy(update={"corruption": share})
        seen = model.corrupted(codes, BatchRng(0, places=range(400)))
        assert set(seen.unique().tolist()) <= set(range(SIZE))
        changed = (seen != codes).float().mean()
        assert abs(float(changed) - share * (1 - 1 / SIZE)) < 0.02


@torch.no_grad()
def test_only_the_neighbours_are_read_from_the_context(model: Transformer) -> None:
    """The codes before one at its own place are true, whatever the context says of that place and of later ones."""
    codes, prefix = targets(model, 1), model.encode_source(sources(model, 1))
    wrong = codes.clone()
    wrong[..., 5] = (codes[..., 5] + 1) % SIZE
    right, misled = model(prefix, codes), model(prefix, codes, wrong)
    assert torch.equal(right[..., :6, :], misled[..., :6, :])
    assert not torch.equal(right[..., 6, :], misled[..., 6, :])


def test_alignment_is_lowest_for_pairs_in_order(model: Transformer) -> None:
    vectors = torch.nn.functional.normalize(torch.randn(8, 16, generator=seeded(0)), dim=1)
    scale = torch.tensor(20.0)
    assert contrastive.alignment(vectors, vectors, scale) < contrastive.alignment(vectors, vectors.roll(1, 0), scale)


def test_a_clip_is_not_contrasted_with_itself_where_it_stands_in_a_batch_twice() -> None:
    """And where none does, loss and gradient are those of pairs of which nothing is told, to the byte."""
    vectors = F.normalize(torch.randn(2, 5, 16, generator=seeded(0)), dim=2).requires_grad_()
    scale = torch.tensor(20.0)

    def found(clips: list[int] | None, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
        given = None if clips is None else torch.tensor(clips)
        loss = contrastive.alignment(*vectors, scale, known, given)
        return loss, torch.autograd.grad(loss, vectors)[0]

    logits = vectors[0] @ vectors[1].T * scale
    others = torch.tensor([[clip != other for other in (3, 0, 3, 1, 3)] for clip in (3, 0, 3, 1, 3)])
    negatives = (logits.exp() * others, logits.T.exp() * others)
    own = logits.diagonal()
    wanted = sum(((own.exp() + one.sum(1)).log() - own).mean() / 2 for one in negatives)
    loss, gradient = found([3, 0, 3, 1, 3])
    assert torch.allclose(loss, wanted)
    assert torch.allclose(gradient, torch.autograd.grad(wanted, vectors)[0], atol=1e-6)
    assert found([7] * 5)[0] == 0
    assert all(torch.equal(one, other) for one, other in zip(found([4, 3, -1, 0, 9]), found(None), strict=True))
    known = torch.tensor([True, True, False, True, True])
    assert found([3, 0, 3, 1, 2], known)[0] == found(None, known)[0]


def test_a_step_in_bfloat16_aligns_in_float32() -> None:
    """Loss, gradients and lengths; cosines of bfloat16, times a scale of 50, would be off by tenths of a nat."""
    vectors = F.normalize(torch.randn(2, 8, 16, generator=seeded(0)), dim=2).requires_grad_()
    summary, losses, lengths = Summary(8, 16), [], []
    for precision in (torch.bfloat16, torch.float32):
        with torch.autocast("cpu", precision, enabled=precision == torch.bfloat16):
            losses.append(contrastive.alignment(*vectors, torch.tensor(50.0)))
            lengths.append(summary(torch.randn(6, 4, 8, generator=seeded(1))).norm(dim=1))
    assert torch.equal(*losses)
    assert torch.equal(*(torch.autograd.grad(loss, vectors)[0] for loss in losses))
    assert torch.allclose(lengths[0], torch.ones(6), rtol=0, atol=1e-6)


def test_a_checkpoint_rebuilds_the_model_alone(model: Transformer, tmp_path) -> None:
    network = "c" if model.shapes.source_features else ""
    transformer.save(tmp_path / "t.safetensors", model, {"audio": "a", "image": "b"}, network)
    again, facts = transformer.load(tmp_path / "t.safetensors")
    assert (facts.shapes, facts.tokenizers, facts.network_digest) == (
        model.shapes,
        {"audio": "a", "image": "b"},
        network,
    )
    given, codes = sources(model, 2), targets(model, 2)
    assert torch.equal(again(again.encode_source(given), codes), model(model.encode_source(given), codes))


def test_a_file_from_before_rotary_positions_is_read_without(model: Transformer, tmp_path) -> None:
    """Its configuration does not name them."""
    path, older = tmp_path / "t.safetensors", tmp_path / "older.safetensors"
    transformer.save(path, model, {}, "c" if model.shapes.source_features else "")
    tree = json.loads(checkpoint.text(path, transformer.KIND))
    had = tree["config"].pop("rotary")
    checkpoint.write(older, load_file(path), json.dumps(tree))
    assert transformer.load(path)[1].config.rotary is had
    again, facts = transformer.load(older)
    assert not facts.config.rotary
    assert again.rotations is None
    given, codes = sources(model, 2), targets(model, 2)
    logits = model(model.encode_source(given), codes)
    assert torch.equal(again(again.encode_source(given), codes), logits) is not had
