"""The transformer: causality, conditioning, cached generation."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cycle_sound import batches, transformer
from cycle_sound.batches import Draws
from cycle_sound.decoding import Decoder
from cycle_sound.params import Params, Sampling
from cycle_sound.sampling import draw, generate, log_likelihood
from cycle_sound.transformer import Shapes, Transformer, prefix_mask

SHAPES = Shapes(
    source_grid=(4, 4),
    source_codebook=20,
    source_picture=(1, 32, 32),
    target_grid=(3, 4),
    target_picture=(3, 24, 32),
    target_codebook=24,
)
GREEDY = Sampling(temperature=0.0, top_k=0, top_p=1.0, guidance=1.0)


@pytest.fixture(params=[("encoder", True), ("tokens", False)])
def model(request: pytest.FixtureRequest, params: Params) -> Transformer:
    tiny = {"width": 16, "depth": 2, "heads": 2, "source_width": 8, "source_halvings": 3, "dropout": 0.0}
    condition, above = request.param
    config = params.transformer.audio_to_image.model_copy(update={**tiny, "condition": condition, "above": above})
    torch.manual_seed(0)
    model = Transformer(config, SHAPES).eval()
    torch.nn.init.normal_(model.lead.weight, std=0.3)  # as if it had learned to use the summary
    return model


def sources(model: Transformer, count: int) -> Tensor:
    generator = batches.seeded(5)
    if model.config.condition == "encoder":
        return torch.rand(count, *SHAPES.source_picture, generator=generator) * 2 - 1
    return torch.randint(SHAPES.source_codebook, (count, *SHAPES.source_grid), generator=generator)


def targets(count: int) -> Tensor:
    return torch.randint(SHAPES.target_codebook, (count, 12), generator=batches.seeded(6))


def test_a_token_depends_on_those_before_it_alone(model: Transformer) -> None:
    """By gradients: the logits at a place see the embeddings of earlier tokens, and of no others."""
    seen: list[Tensor] = []

    def keep(_module: torch.nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        output.retain_grad()
        seen.append(output)

    handles = [known.register_forward_hook(keep) for known in (model.before, model.above) if known is not None]
    logits = model(model.encode_source(sources(model, 2)), targets(2))
    for handle in handles:
        handle.remove()
    place = 5
    logits[:, place].sum().backward()
    assert len(seen) == len(handles)
    for inputs in seen:  # of all places, from an edge on
        reached = inputs.grad.abs().sum((0, 2)) > 0
        assert reached.tolist() == [True] * (place + 1) + [False] * (11 - place)


def test_every_target_token_sees_the_whole_source(model: Transformer) -> None:
    prefix = model.encode_source(sources(model, 2)).detach().requires_grad_()
    model(prefix, targets(2))[:, 0].sum().backward()
    assert (prefix.grad.abs().sum((0, 2)) > 0).all()


def test_the_prefix_sees_itself_in_both_directions_and_no_target() -> None:
    mask = prefix_mask(3, 2, torch.device("cpu"))
    assert mask.int().tolist() == [[1, 1, 1, 0, 0]] * 3 + [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


def test_cached_logits_equal_uncached_ones(model: Transformer) -> None:
    """Also beside a null prefix in one batch, as guidance has it."""
    tokens = targets(3)
    for prefix in (model.encode_source(sources(model, 3)), model.null_prefix(3)):
        both, twice = torch.cat([prefix, model.null_prefix(3)]), tokens.repeat(2, 1)
        known = F.pad(twice, (4, 0), value=model.edge)
        decoder = Decoder(model, both)
        steps = [decoder.step(known[:, place + 3], known[:, place], place) for place in range(12)]
        assert torch.allclose(torch.stack(steps, dim=1), model(both, twice), atol=1e-5)
        decoder, places = Decoder(model, both), torch.arange(12).split(1)
        fixed = [decoder.fixed(known[:, place + 3], known[:, place], places[place]) for place in range(12)]
        assert torch.allclose(torch.stack(fixed, dim=1), model(both, twice), atol=1e-5)


def test_greedy_generation_follows_the_uncached_argmax(model: Transformer) -> None:
    grid = sources(model, 2)
    tokens = generate(model, grid, GREEDY, batches.seeded(0)).flatten(1).clone()
    logits = model(model.encode_source(grid), tokens)
    assert torch.equal(logits.argmax(-1), tokens)


def test_guidance_one_is_plain_sampling_and_more_moves_away_from_null(model: Transformer) -> None:
    grid, tokens = sources(model, 4), targets(4)
    conditional = model(model.encode_source(grid), tokens)[:, 0]
    null = model(model.null_prefix(4), tokens)[:, 0]
    guided = generate(model, grid, GREEDY.model_copy(update={"guidance": 3.0}), batches.seeded(0)).flatten(1)[:, 0]
    assert torch.equal(guided, (null + 3 * (conditional - null)).argmax(-1))


def test_a_seed_gives_the_same_samples_and_another_does_not(model: Transformer) -> None:
    config = Sampling(temperature=1.0, top_k=10, top_p=1.0, guidance=2.0)
    first, again, other = (generate(model, sources(model, 4), config, batches.seeded(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_top_k_draws_only_from_the_k_most_likely() -> None:
    logits = torch.randn(500, 24, generator=batches.seeded(0))
    drawn = draw(logits, Sampling(temperature=2.0, top_k=3, top_p=1.0, guidance=1.0), batches.seeded(1))
    assert (logits.topk(3).indices == drawn[:, None]).any(1).all()


def test_probabilities_of_all_continuations_add_up_to_one(model: Transformer) -> None:
    tokens = targets(1).repeat(24, 1)
    tokens[:, -1] = torch.arange(24)
    prefix = model.encode_source(sources(model, 1)).expand(24, -1, -1)
    others = model(prefix, tokens)[0, :-1].log_softmax(-1).gather(-1, tokens[0, :-1, None]).sum()
    assert torch.isclose((log_likelihood(model, prefix, tokens) - others).exp().sum(), torch.tensor(1.0), atol=1e-4)


def test_dropping_every_condition_leaves_no_gradient_in_the_source_encoder(model: Transformer) -> None:
    model.config = model.config.model_copy(update={"condition_dropout": 1.0})
    grid, pictures = sources(model, 3), torch.rand(3, *SHAPES.target_picture)
    model.losses(grid, targets(3), pictures, Draws(batches.seeded(0), 3)).cross_entropy.backward()
    gradients = [parameter.grad for parameter in model.source_encoder.parameters()]
    assert all(gradient is None or gradient.abs().sum() == 0 for gradient in gradients)
    assert model.null.grad.abs().sum() > 0


def test_alignment_is_lowest_for_pairs_in_order(model: Transformer) -> None:
    vectors = torch.nn.functional.normalize(torch.randn(8, 16, generator=batches.seeded(0)), dim=1)
    scale = torch.tensor(20.0)
    assert transformer.alignment(vectors, vectors, scale) < transformer.alignment(vectors, vectors.roll(1, 0), scale)


def test_a_checkpoint_rebuilds_the_model_alone(model: Transformer, tmp_path) -> None:
    transformer.save(tmp_path / "t.safetensors", model, {"audio": "a", "image": "b"})
    again = transformer.load(tmp_path / "t.safetensors")
    grid = sources(model, 2)
    assert torch.equal(again(again.encode_source(grid), targets(2)), model(model.encode_source(grid), targets(2)))
