"""Measure one direction on the test split, and show what it makes.

python -m stages.evaluate audio_to_image
"""

import torch

from cycle_sound import (
    attributes,
    checkpoint,
    classifier,
    command,
    device,
    dvae,
    evaluation,
    files,
    paths,
    report,
    transformer,
)
from cycle_sound.params import DIRECTIONS, Audio, Direction, Modality, Params, opposite_of, source_of, target_of
from cycle_sound.shards import Split
from cycle_sound.tokens import TokenCache


def side(modality: Modality, pairs: Split) -> evaluation.Side:
    """One modality of the test split with its models. Raises `StaleTokens` where they do not belong together."""
    path = paths.vae(modality)
    cache = TokenCache(paths.tokens(modality), "test", files.digest(path), checkpoint.facts(path, dvae.KIND)["shards"])
    rows = torch.arange(len(pairs))
    tokens = cache.most_likely(rows).unflatten(1, cache.header.grid)
    judge = classifier.load(paths.classifier(modality))
    vae, judge = dvae.load(path).to(device.best()), judge and judge.to(device.best())
    return evaluation.Side(modality, pairs.pictures(modality, rows.tolist()), tokens, vae, judge)


def main(direction: Direction, params: Params) -> None:
    """Write the figures, the grid and the samples."""
    device.prepare(params.seed)
    pairs = Split(paths.SHARDS, "test")
    source, target = side(source_of(direction), pairs), side(target_of(direction), pairs)
    sound = Audio.model_validate(checkpoint.facts(paths.vae("audio"), dvae.KIND)["audio"])
    forward, back = (
        transformer.load(paths.transformer(way)).to(device.best()) for way in (direction, opposite_of(direction))
    )

    repeats = params.evaluate.repeats
    generated = evaluation.generated(forward, back, source, target, params.sampling, repeats, params.seed)
    figures = evaluation.figures(forward, source, target, generated, pairs.labels, params.evaluate)
    figures |= attributes.figures(target, generated.samples[0], pairs, sound, params.evaluate.waveforms)
    if target.classifier is None:
        print("the data has no labels: the class figures are skipped, likelihood and retrieval remain")

    shown = evaluation.one_of_each(pairs.labels, params.evaluate.shown)
    rows = [
        report.Row("source", source.modality, source.pictures[shown]),
        report.Row("generated", target.modality, generated.samples[0][shown]),
        report.Row("real", target.modality, target.pictures[shown]),
    ]
    report.grid(paths.grid(direction), rows, [pairs.labels[row] for row in shown])
    for row in shown:
        folder = paths.samples(direction) / pairs.ids[row]
        report.sample(folder, generated.samples[0][row], target.modality, sound)
        report.originals(folder, paths.RAW / "test_data", pairs.ids[row], source.modality)
    files.write_json(paths.metrics("evaluate", direction), figures)


if __name__ == "__main__":
    command.run(main, DIRECTIONS)
