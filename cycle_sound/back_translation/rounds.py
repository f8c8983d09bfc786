"""The rounds in which each direction learns from what the other draws for real targets without partners.

In a first round, of number 0, these targets stand without a source: they show what targets look like. In each later one
the other direction, as it is by then, draws a source for each of them (back-translation), of which those of the best
score are learned from. A round that ends no better on valid leaves its direction as it was.

Processes that a launcher starts share the drawing and the training. What an earlier run has finished is kept.
"""

import shutil
import zlib
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from cycle_sound import paths
from cycle_sound.back_translation import drawing
from cycle_sound.dataset import reader
from cycle_sound.dataset.drawn_cache import DrawnCache
from cycle_sound.dataset.reader import Index
from cycle_sound.inference import bundle
from cycle_sound.inference.engine import Drawing, Engine
from cycle_sound.io import code, files
from cycle_sound.models import transformer
from cycle_sound.models.loading import load_tokenizer
from cycle_sound.models.transformer import Transformer
from cycle_sound.nn import device, distributed
from cycle_sound.params import (
    DIRECTIONS,
    MODALITIES,
    AugmentConfig,
    CycleConfig,
    Direction,
    Parallel,
    Params,
    ValidationConfig,
    target_of,
)
from cycle_sound.training import transformer_data
from cycle_sound.training.loop import Curve, fit
from cycle_sound.training.objectives.transformer import AugmentedPairs, AugmentedTargets, TransformerObjective, mixed
from cycle_sound.training.resume import Snapshot

Checkpoints = Mapping[Direction, Path]  # of both directions, as they are by now


class Setup(NamedTuple):
    """What all rounds share."""

    config: CycleConfig
    augment: AugmentConfig
    validation: ValidationConfig
    seed: int
    workers: int
    parallel: Parallel
    shards: Index
    identity: str  # of the whole work


class Turn(NamedTuple):
    """A direction's part of a round."""

    number: int  # of the round
    direction: Direction

    @property
    def checkpoint(self) -> Path:
        """Where the direction lies after it; beside it its curve so far, which is written last."""
        return paths.unfinished("train_cycle") / f"{self.number}_{self.direction}.safetensors"

    @property
    def curve(self) -> Path:
        """The curve of all rounds so far."""
        return self.checkpoint.with_suffix(".csv")

    @property
    def drawn(self) -> Path:
        """The folder of the sources that were drawn for it, while it lasts."""
        return self.checkpoint.with_suffix("")


@distributed.process_group()
def teach(params: Params) -> None:
    """Write the generators that so many rounds, at least one, make of the transformers, their curves and figures."""
    work, rounds, setup = paths.unfinished("train_cycle"), params.cycle.rounds, _setup(params)
    latest = {direction: paths.transformer(direction) for direction in DIRECTIONS}
    device.prepare(params.seed)
    _forget_others(work, setup.identity)
    for turn in (Turn(*both) for both in product(range(rounds + 1), DIRECTIONS)):
        if not turn.curve.is_file():
            take(turn, latest, setup)
        latest[turn.direction] = turn.checkpoint
    if distributed.is_first():
        figures: dict[str, Any] = {"rounds": rounds}
        for direction in DIRECTIONS:
            files.write_bytes(paths.cycle(direction), latest[direction].read_bytes())
            files.write_bytes(paths.curve("train_cycle", direction), Turn(rounds, direction).curve.read_bytes())
            figures |= _figures(direction, files.read_csv(Turn(rounds, direction).curve))
        files.write_json(paths.metrics("train_cycle"), figures)
        shutil.rmtree(work, ignore_errors=True)


def take(turn: Turn, latest: Checkpoints, setup: Setup) -> None:
    """Train a direction from where it is, on pairs and on targets without partners."""
    direction, optimizer = turn.direction, setup.config.optimizer
    model, facts = transformer.load(latest[direction])
    model = model.to(device.best())
    drawn = _drawn(turn, latest, setup)
    objective = _objective(direction, model, facts, drawn, setup)
    before = objective.validate(model)["loss"]
    earlier = files.read_csv(Turn(turn.number - 1, direction).curve) if turn.number else []
    told = {"round": turn.number, "drawn_score": "" if drawn is None else float(drawn.scores.mean())}
    curve = Curve(paths.curve("train_cycle", direction), earlier, ["valid_shuffled"], **told, valid_before=before)
    snapshot = Snapshot(paths.snapshot("train_cycle", direction), f"{setup.identity} {turn.number}")
    seed, workers, parallel = seed_of(turn.number, setup.seed), setup.workers, setup.parallel
    figures = fit(model, objective, optimizer, seed, curve, snapshot, workers=workers, parallel=parallel)

    if distributed.is_first():
        if figures["valid_loss"] < before:
            transformer.save(turn.checkpoint, model, facts.tokenizers, facts.network_digest)
        else:
            files.write_bytes(turn.checkpoint, latest[direction].read_bytes())
        files.write_csv(turn.curve, curve.whole())
        shutil.rmtree(turn.drawn, ignore_errors=True)
    snapshot.discard()
    distributed.barrier()


def _objective(
    direction: Direction, model: Transformer, facts: transformer.Facts, drawn: DrawnCache | None, setup: Setup
) -> TransformerObjective:
    """Pairs, and targets without partners with what was drawn for them."""
    config, condition, shards = setup.config, model.config.condition, setup.shards.digest
    train, valid = (
        transformer_data.of_pairs(direction, split, facts.tokenizers, facts.network_digest, shards)
        for split in ("train", "valid")
    )
    lone = transformer_data.of_lone(direction, facts.tokenizers, shards, drawn, config.keep)
    pairs = AugmentedPairs(train, direction, condition, model.shapes.source_codes, setup.augment)
    targets = lone and AugmentedTargets(lone, pairs, direction, condition, setup.augment)
    decode = None
    if model.config.reconstruction_weight:
        decode = load_tokenizer(paths.vae(target_of(direction)), device.best()).model.decode_relaxed
    learned = mixed(pairs, targets, config.lone_share)
    return TransformerObjective(model, direction, learned, valid, setup.validation.pairs, decode)


def _drawn(turn: Turn, latest: Checkpoints, setup: Setup) -> DrawnCache | None:
    """The sources that the other direction draws for a turn's targets; None in the first round and without targets."""
    targets = reader.lone(paths.SHARDS, target_of(turn.direction))
    if targets is None or turn.number == 0 or setup.config.lone_share == 0:
        return None
    engine = Engine(bundle.generators(paths.DATA, latest, device.best()))
    how = Drawing(setup.config.sampling, seed_of(turn.number, setup.seed))
    identity = f"{setup.identity} {turn.number} {turn.direction}"
    return drawing.draw(turn.drawn, engine, turn.direction, targets, how, identity, setup.shards.files)


def seed_of(round_number: int, seed: int) -> int:
    """Another one for each round, none of them that of another training: a hash, of the 32 bits that torch takes."""
    return zlib.crc32(f"train_cycle {round_number} {seed}".encode())


def _setup(params: Params) -> Setup:
    config, augment, validation, seed = params.cycle, params.augment, params.validation, params.seed
    index = reader.read_index(paths.SHARDS)
    made = [paths.transformer(direction) for direction in DIRECTIONS]
    made += [file for modality in MODALITIES for file in sorted(code.lying_in(paths.decoder(modality)))]
    made += sorted(code.lying_in(paths.PAIRING))
    settings = [part.model_dump() for part in (config, augment, validation)]
    known = seed, index.digest, files.digest(*made), transformer_data.cached_by(params.tokens)
    identity = code.identity("stages.train_cycle", settings, *known)
    return Setup(config, augment, validation, seed, params.loader.workers, params.parallel, index, identity)


def _forget_others(work: Path, identity: str) -> None:
    """Remove what is left of other work."""
    name = work / "identity"
    if distributed.is_first() and not (name.is_file() and name.read_text() == identity):
        shutil.rmtree(work, ignore_errors=True)
        files.write_bytes(name, identity.encode())
    distributed.barrier()


def _figures(direction: Direction, curve: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """How a direction stood on valid before and after, and the mean score of what was last drawn for it."""
    before, score = float(curve[0]["valid_before"]), curve[-1]["drawn_score"]
    after = min(before, *(float(row["valid_loss"]) for row in curve))
    figures = {f"{direction}_cross_entropy_before": before, f"{direction}_cross_entropy": after}
    return figures | ({f"{direction}_drawn_score": float(score)} if score else {})
