"""Measure one direction on the test split, and show what it makes.

python -m stages.evaluate audio_to_image
"""

from cycle_sound import (
    attributes,
    checkpoint,
    command,
    device,
    dvae,
    evaluation,
    examples,
    files,
    paths,
    samples,
    trials,
)
from cycle_sound.evaluation import Generated, Way
from cycle_sound.params import DIRECTIONS, Audio, Direction, Params
from cycle_sound.samples import Samples
from cycle_sound.shards import Split


def main(direction: Direction, params: Params) -> None:
    """Write the figures, the table of settings, the grid and the samples."""
    device.prepare(params.seed)
    way, pairs = evaluation.load(direction, "test", params.sampling), Split(paths.SHARDS, "test")
    sound = Audio.model_validate(checkpoint.facts(paths.vae("audio"), dvae.KIND)["audio"])

    generated = evaluation.generated(way, params.evaluate.repeats, params.seed)
    made = generated.samples[0]
    figures = evaluation.figures(way, generated, params.evaluate)
    figures |= attributes.figures(way.target, made, pairs, sound, params.evaluate.waveforms)
    if way.target.judge is None:
        print("the data has no labels: the class figures are skipped, likelihood and retrieval remain")

    shown = evaluation.one_of_each(pairs.labels, params.evaluate.shown)
    rows = [
        examples.Row("source", way.source.modality, way.source.pictures[shown]),
        examples.Row("generated", way.target.modality, made[shown]),
        examples.Row("real", way.target.modality, way.target.pictures[shown]),
    ]
    examples.grid(paths.grid(direction), rows, [pairs.labels[row] for row in shown])
    for row in shown:
        folder = paths.samples(direction) / pairs.ids[row]
        examples.sample(folder, made[row], way.target.modality, sound)
        examples.originals(folder, paths.RAW / "test_data", pairs.ids[row], way.source.modality)
    samples.save(
        paths.samples(direction) / samples.NAME, kept(direction, way, generated, pairs.ids, params.evaluate.kept)
    )
    table = trials.table(way, params.evaluate, params.seed)
    files.write_csv(paths.settings("evaluate", direction), table)
    files.write_json(paths.metrics("evaluate", direction), figures)


def kept(direction: Direction, way: Way, made: Generated, ids: list[str], count: int) -> Samples:
    """Of the first `count` pairs, which stand in shuffled order, what the report shows."""
    some, tokens = way.first(count), made.tokens[:count]
    return Samples(
        direction,
        source=some.source.pictures,
        generated=made.samples[0][:count],
        returned=made.returned[:count],
        real=some.target.pictures,
        tokenized=some.target.decoded(some.target.tokens),
        explained=trials.explained(some, tokens, trials.unexplained(some)),
        ids=ids[:count],
        labels=some.labels,
    )


if __name__ == "__main__":
    command.run(main, DIRECTIONS)
