"""Each direction learns from what the other draws for real targets; the rounds can be killed, repeated and shared."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from pipelines import digests
from processes import TWO, run
from torch import Tensor

from cycle_sound import params as parameters
from cycle_sound import paths
from cycle_sound.back_translation import drawing, rounds
from cycle_sound.dataset import reader
from cycle_sound.dataset.drawn_cache import DrawnCache
from cycle_sound.dataset.reader import Split
from cycle_sound.inference import bundle
from cycle_sound.inference.engine import Drawing, Engine
from cycle_sound.io import files
from cycle_sound.media import pixels
from cycle_sound.models import transformer
from cycle_sound.nn import order
from cycle_sound.nn.rng import BatchRng, seeded
from cycle_sound.params import DIRECTIONS, MODALITIES, Direction, Params, SamplingConfig, opposite_of, target_of
from cycle_sound.training import transformer_data
from cycle_sound.training.loop import Curve, fit
from cycle_sound.training.objectives.transformer import (
    AugmentedPairs,
    AugmentedTargets,
    Batch,
    LoneInputs,
    TransformerObjective,
    mixed,
)
from cycle_sound.training.resume import Snapshot
from stages import cache_tokens, train_cycle

CLIPS = {"train": 6, "valid": 5, "test": 1, "lone_image": 7, "lone_audio": 5}
DRAWING = Drawing(SamplingConfig(temperature=1.0, top_k=0, top_p=1.0, guidance=1.5, candidates=3), 3)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards, models that nobody trained, and tokens. Not to be changed."""
    folder = tmp_path_factory.mktemp("prepared")
    tiny.write_shards(folder, CLIPS)
    tiny.untrained(folder, codebooks=2)
    (folder / "data/cycle").rename(folder / "data/transformer")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for modality in MODALITIES:
            cache_tokens.main(modality, made())
    return folder


@pytest.fixture
def project(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is also the current folder."""
    monkeypatch.chdir(shutil.copytree(prepared, tmp_path / "project"))
    return Path.cwd()


def made(**cycle: Any) -> Params:
    """Tiny parameters with one round of drawing, or others."""
    return parameters.parse(tiny.tree(cycle={"rounds": 1, **cycle}))


def cycled(**cycle: Any) -> dict[str, str]:
    """Run the stage; the digests of what it has made."""
    train_cycle.main(made(**cycle))
    return {name: sha for name, sha in digests(Path.cwd()).items() if "cycle" in name}


def engine() -> Engine:
    return Engine(bundle.generators(paths.DATA, {one: paths.transformer(one) for one in DIRECTIONS}, CPU))


def lone(direction: Direction) -> Split:
    found = reader.lone(paths.SHARDS, target_of(direction))
    assert found is not None
    return found


def draw(direction: Direction) -> DrawnCache:
    """What is drawn for the lone targets of a direction."""
    shards = reader.read_index(paths.SHARDS).files
    return drawing.draw(Path("drawn"), engine(), direction, lone(direction), DRAWING, "work", shards)


# --- the stage


def test_every_round_draws_other_random_numbers_and_none_those_of_another_training() -> None:
    given = (0, 1, (1 << 32) - 1)
    seeds = [*given, *(rounds.seed_of(number, seed) for seed in given for number in range(20))]
    drawn = [tuple(torch.rand(4, generator=seeded(seed, 5, 0, 3)).tolist()) for seed in seeds]
    assert len(set(drawn)) == len(drawn)


def test_without_rounds_the_generators_are_the_transformers_and_no_shard_is_read(project: Path) -> None:
    for folder in ("data/shards", "data/tokens", "data/vae"):
        shutil.rmtree(project / folder)
    cycled(rounds=0)
    for direction in DIRECTIONS:
        assert paths.cycle(direction).read_bytes() == paths.transformer(direction).read_bytes()
        assert len(paths.curve("train_cycle", direction).read_text().splitlines()) == 1
    assert json.loads(paths.metrics("train_cycle").read_text()) == {"rounds": 0}


def test_without_rounds_the_first_of_several_processes_alone_writes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*")}
    cycled(rounds=0)
    assert {path: path.stat().st_mtime_ns for path in project.rglob("*")} == before


@pytest.mark.parametrize(
    ("where", "call"),
    [*((TransformerObjective.loss, call) for call in (2, 7, 12)), *((Engine.candidates, call) for call in (2, 3))],
)
def test_a_killed_cycle_goes_on_to_the_same_bytes(
    project: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, call: int
) -> None:
    whole = cycled()
    monkeypatch.chdir(shutil.copytree(prepared, tmp_path / "killed"))
    monkeypatch.setattr("cycle_sound.training.resume.SECONDS", 0.0)
    owner, calls = (TransformerObjective if where is TransformerObjective.loss else Engine), []

    def killed(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == call:
            raise KeyboardInterrupt
        return where(*given)

    with monkeypatch.context() as patch:
        patch.setattr(owner, where.__name__, killed)
        with pytest.raises(KeyboardInterrupt):
            cycled()
        assert not paths.cycle("audio_to_image").exists()
        before, calls[:] = len(calls), []
        patch.setattr(owner, where.__name__, lambda *given: calls.append(given) or where(*given))
        assert cycled() == whole
    done = (before - 1) // 3 * 3 if owner is TransformerObjective else before - 1  # turns, and shards of drawn sources
    assert len(calls) <= (12 if owner is TransformerObjective else 4) - done
    assert not paths.unfinished("train_cycle").exists()
    assert not list(paths.WORK.glob("*.safetensors"))


def test_what_is_kept_of_other_rounds_is_not_gone_on_with(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cycled(lone_share=0.5)
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", None)  # fails when all is done
        with pytest.raises(TypeError):
            cycled(lone_share=1.0)
    assert cycled(lone_share=0.5) == whole


def test_what_is_kept_of_other_tokens_is_not_gone_on_with(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cycled(views: int) -> list[bytes]:
        params = parameters.parse(tiny.tree(cycle={"rounds": 1}, tokens={"views": views}))
        for modality in MODALITIES:
            cache_tokens.main(modality, params)
        train_cycle.main(params)
        return [paths.cycle(direction).read_bytes() for direction in DIRECTIONS]

    whole = cycled(views=3)
    with monkeypatch.context() as patch:
        patch.setattr(paths, "cycle", None)  # fails when all is done
        with pytest.raises(TypeError):
            cycled(views=2)
    assert cycled(views=3) == whole


def test_pairs_alone_are_trained_on_as_they_were(project: Path) -> None:
    params, direction = made(lone_share=0.0), DIRECTIONS[0]
    model, facts = transformer.load(paths.transformer(direction))
    shards = reader.read_index(paths.SHARDS).digest
    train, valid = (
        transformer_data.of_pairs(direction, one, facts.tokenizers, "", shards) for one in ("train", "valid")
    )
    pairs = AugmentedPairs(train, direction, "encoder", model.shapes.source_codes, params.augment)
    objective = TransformerObjective(model, direction, pairs, valid, params.validation.pairs)
    snapshot, config = Snapshot(Path("alone.safetensors"), ""), params.cycle.optimizer
    fit(model, objective, config, rounds.seed_of(0, params.seed), Curve(Path("alone.csv")), snapshot)
    train_cycle.main(params)
    alone, rows = (files.read_csv(path) for path in (Path("alone.csv"), paths.curve("train_cycle", direction)))
    assert [row | {"round": "0"} for row in alone] == [
        {name: value for name, value in row.items() if name not in ("drawn_score", "valid_before")}
        for row in rows
        if row["round"] == "0"
    ]


def test_a_round_that_ends_no_better_on_valid_leaves_its_direction_as_it_was(project: Path) -> None:
    optimizer = tiny.tree()["cycle"]["optimizer"]
    cycled(optimizer={**optimizer, "learning_rate": 30.0, "warmup": 0})
    figures = json.loads(paths.metrics("train_cycle").read_text())
    for direction in DIRECTIONS:
        assert paths.cycle(direction).read_bytes() == paths.transformer(direction).read_bytes()
        assert figures[f"{direction}_cross_entropy"] == figures[f"{direction}_cross_entropy_before"]


def test_the_curve_tells_rounds_and_scores_and_counts_steps_on(project: Path) -> None:
    cycled()
    rows = files.read_csv(paths.curve("train_cycle", "image_to_audio"))
    assert [(row["round"], float(row["step"])) for row in rows] == [("0", 2), ("0", 3), ("1", 5), ("1", 6)]
    assert [bool(row["drawn_score"]) for row in rows] == [False, False, True, True]


def test_without_lone_targets_pairs_are_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.write_shards(tmp_path, {name: count for name, count in CLIPS.items() if "lone" not in name})
    tiny.untrained(tmp_path, codebooks=2)
    Path("data/cycle").rename("data/transformer")
    for modality in MODALITIES:
        cache_tokens.main(modality, made())
    taught = cycled(lone_share=0.9)
    assert taught == cycled(lone_share=0.0)


# --- what is drawn


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_source_is_the_candidate_that_makes_its_real_target_likeliest(project: Path, direction: Direction) -> None:
    drawn, models, back = draw(direction), engine(), opposite_of(direction)
    targets = lone(direction).pictures(target_of(direction), range(len(drawn)))
    codes = models.draw(back, targets, DRAWING)
    pictures = models.decode(target_of(back), codes.flatten(0, 1))
    scores = models.pointwise_mutual_information(back, targets, pictures).unflatten(
        0, (-1, DRAWING.sampling.candidates)
    )
    assert torch.equal(torch.from_numpy(drawn.scores.copy()), scores.amax(1).double())
    wanted = pictures.unflatten(0, (-1, DRAWING.sampling.candidates))[torch.arange(len(drawn)), scores.argmax(1)]
    stored = pixels.to_float(pixels.to_bytes(wanted)) if direction == "image_to_audio" else wanted.half().float()
    assert torch.equal(drawn.sources(torch.arange(len(drawn))), stored)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_best_share_is_believed(project: Path, share: float) -> None:
    drawn = draw("audio_to_image")
    best = drawn.best(share)
    assert int(best.sum()) == round(share * len(drawn))
    scores = torch.from_numpy(drawn.scores.copy())
    if 0 < share < 1:
        assert scores[best].min() >= scores[~best].max()


SHARE = """
import json
from test_back_translation import draw
from cycle_sound.inference.engine import Engine
from cycle_sound.nn import distributed

calls, candidates = [], Engine.candidates
Engine.candidates = lambda *given: calls.append(len(given[2])) or candidates(*given)
with distributed.process_group():
    draw("audio_to_image")
    open(f"{distributed.rank()}.json", "w").write(json.dumps(calls))
"""


def test_two_processes_share_the_drawing_to_the_same_bytes(project: Path) -> None:
    draw("audio_to_image")
    alone = {path.name: path.read_bytes() for path in Path("drawn").iterdir()}
    shutil.rmtree("drawn")
    run(project, SHARE, TWO)
    assert [json.loads((project / f"{rank}.json").read_text()) for rank in range(2)] == [[4], [3]]
    assert {path.name: path.read_bytes() for path in Path("drawn").iterdir()} == alone


TEACH = """
import torch
from test_back_translation import made
from cycle_sound.nn import device
from stages import train_cycle

device.dtype = lambda where: torch.float32  # in bfloat16, which some CPUs train in, sums of other parts differ by more
train_cycle.main(made())
"""


@pytest.mark.slow
def test_two_processes_are_taught_what_one_is(project: Path, prepared: Path, tmp_path: Path) -> None:
    alone = shutil.copytree(prepared, tmp_path / "alone")
    run(alone, TEACH)
    run(project, TEACH, TWO)
    for direction in DIRECTIONS:
        one, two = (files.read_csv(folder / paths.curve("train_cycle", direction)) for folder in (alone, project))
        losses = [[float(row["train_loss"]) for row in rows if row["round"] == "0"] for rows in (one, two)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        assert len(one) == len(two) == 4


# --- what is learned from


def targets(direction: Direction, drawn: DrawnCache | None, keep: float = 0.5) -> tuple[LoneInputs, AugmentedTargets]:
    model, facts = transformer.load(paths.transformer(direction))
    shards = reader.read_index(paths.SHARDS).digest
    found = transformer_data.of_lone(direction, facts.tokenizers, shards, drawn, keep)
    assert found is not None
    train = transformer_data.of_pairs(direction, "train", facts.tokenizers, facts.network_digest, shards)
    pairs = AugmentedPairs(train, direction, "encoder", model.shapes.source_codes, made().augment)
    return found, AugmentedTargets(found, pairs, direction, "encoder", made().augment)


def test_the_targets_are_real_whatever_was_drawn(project: Path) -> None:
    direction: Direction = "audio_to_image"
    rows = torch.arange(CLIPS["lone_image"])
    drawn, rng = draw(direction), lambda: BatchRng(0, places=range(len(rows)))
    (_, plain), (found, taught) = targets(direction, None), targets(direction, drawn)
    without, batch = plain.batch(rows, rng()), taught.batch(rows, rng())
    assert torch.equal(batch.codes, without.codes)
    assert torch.equal(batch.pictures, without.pictures)
    assert torch.equal(batch.codes, found.target.draw(rows, rng()))
    assert torch.equal(batch.known, drawn.best(0.5))
    assert not without.known.any()


@pytest.mark.parametrize("is_drawn", [False, True])
def test_where_no_source_is_believed_that_of_a_pair_stands_in(project: Path, is_drawn: bool) -> None:
    direction: Direction = "audio_to_image"
    rows = torch.arange(CLIPS["lone_image"])
    drawn = draw(direction) if is_drawn else None
    _, taught = targets(direction, drawn)
    batch = taught.batch(rows, BatchRng(0, places=range(len(rows))))
    missing = (~batch.known).nonzero()[:, 0]
    assert 0 < len(missing) == (len(rows) - int(batch.known.sum()))
    apart = BatchRng(0, places=missing.tolist()).fold_in(0)
    own = taught._pairs.source_inputs(rows[missing] % taught._pairs.pairs, apart)
    assert torch.equal(batch.source_inputs[missing], own)
    if drawn:
        assert not torch.equal(batch.source_inputs[batch.known], own[: int(batch.known.sum())])
        one = taught.batch(rows[2:], BatchRng(0, places=range(2, len(rows))))
        assert torch.equal(one.source_inputs, batch.source_inputs[2:])


def test_a_drawn_source_is_augmented_by_other_amounts_than_its_target(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what is drawn of their shifts, blur and noise: alike, it would tell which target belongs to which source."""
    _, taught = targets("audio_to_image", draw("audio_to_image"), keep=1.0)
    drawn: list[Tensor] = []
    draw_numbers = BatchRng._drawn

    def noted(*given: Any) -> Tensor:
        found = draw_numbers(*given)
        drawn.append(found.float().reshape(len(found), -1))
        return found

    monkeypatch.setattr(BatchRng, "_drawn", noted)
    rows = torch.arange(CLIPS["lone_image"]).repeat(50)
    batch = taught.batch(rows, BatchRng(0, places=range(len(rows))))
    assert batch.known.all()
    few = [one for one in drawn if one.shape[1] <= 2 and one.any()]  # not the noise itself, nor shifts by at most 0
    amounts = torch.cat(few, dim=1)  # the target's view, shifts, blur and noise; the source's shift, blur and noise
    assert amounts.shape == (len(rows), 5 + 3)
    assert torch.corrcoef(amounts.T).fill_diagonal_(0).abs().max() < 0.3


def terms(batch: Batch) -> list[Tensor]:
    """The losses of a batch and their gradients."""
    model, _ = transformer.load(paths.transformer("audio_to_image"))
    inputs, codes, pictures, *which = batch
    losses = model.losses(inputs, codes, pictures, BatchRng(1, places=range(7)), *which)
    (losses.cross_entropy + losses.alignment).backward()
    found = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return [losses.cross_entropy.detach(), losses.alignment.detach(), *found]


def test_a_source_that_is_not_believed_changes_nothing_but_batch_statistics(project: Path) -> None:
    """Loaded models use those that they have learned."""
    _, taught = targets("audio_to_image", draw("audio_to_image"))
    batch = taught.batch(torch.arange(7), BatchRng(0, places=range(7)))
    other = batch.source_inputs.clone()
    other[~batch.known] = torch.randn_like(other[~batch.known])
    for one, two in zip(terms(batch), terms(batch._replace(source_inputs=other)), strict=True):
        assert torch.allclose(one, two, rtol=1e-5, atol=1e-7)
    other[batch.known] = torch.randn_like(other[batch.known])
    assert not torch.allclose(terms(batch)[0], terms(batch._replace(source_inputs=other))[0])


def test_without_any_source_there_is_a_loss_and_nothing_is_aligned(project: Path) -> None:
    _, plain = targets("audio_to_image", None)
    cross_entropy, alignment, *gradients = terms(plain.batch(torch.arange(7), BatchRng(0, places=range(7))))
    assert cross_entropy > 0
    assert alignment == 0
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_clip_that_stands_in_a_batch_twice_is_told_by_its_number(project: Path) -> None:
    """As those of a few pairs do, beside many targets; and it is not contrasted with itself."""
    _, taught = targets("audio_to_image", draw("audio_to_image"), keep=1.0)
    mixture = mixed(taught._pairs, taught, 0.5)
    places = range(mixture.pairs + 1)  # of the next epoch, too
    batch = mixture.batch(order.rows(places, mixture.pairs, 0), BatchRng(0, places=places))
    assert len(batch.clips) > len(batch.clips.unique()) == CLIPS["train"] + CLIPS["lone_image"]
    model, _ = transformer.load(paths.transformer("audio_to_image"))
    objective = TransformerObjective(model, "audio_to_image", mixture, taught._pairs._inputs, 1)
    as_one = batch._replace(clips=torch.zeros_like(batch.clips))
    aligned = [objective.loss(one, 0, BatchRng(0, places=places))["alignment"] for one in (batch, as_one)]
    assert aligned[0] > aligned[1] == 0


class Numbers:
    """A source of examples that are their numbers, and noise of their places in the batch."""

    def __init__(self, first: int, pairs: int) -> None:
        self.first, self.pairs = first, pairs

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        return Batch(rows + self.first, rng.uniform(), rows, rows < 0, rows)


@pytest.mark.parametrize(("pairs", "others", "share"), [(3, 50, 0.5), (50, 3, 0.5), (7, 9, 0.75), (1, 1, 0.1)])
def test_a_mixture_shows_all_of_both_by_their_share(pairs: int, others: int, share: float) -> None:
    mixture = mixed(Numbers(0, pairs), Numbers(1000, others), share)
    places = range(mixture.pairs)
    rows = order.rows(places, mixture.pairs, 0)
    seen, noise, *_ = mixture.batch(rows, BatchRng(0, places=places))
    assert torch.equal(noise, BatchRng(0, places=places).uniform())
    counts = seen.bincount(minlength=1000 + others)
    assert (counts[:pairs] > 0).all()
    assert (counts[1000:] > 0).all()
    assert abs(int((seen >= 1000).sum()) - share * len(rows)) <= 1
    for of_one in (counts[:pairs], counts[1000:]):
        assert of_one.max() - of_one.min() <= 1
    half = mixture.batch(rows[1:], BatchRng(0, places=places[1:]))
    assert torch.equal(half.source_inputs, seen[1:])


def test_no_share_and_no_others_leave_the_pairs_themselves() -> None:
    pairs = Numbers(0, 3)
    assert mixed(pairs, None, 0.5) is pairs
    assert mixed(pairs, Numbers(0, 4), 0.0) is pairs
