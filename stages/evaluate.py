"""Measure one direction on the test split, and show what it makes.

python -m stages.evaluate audio_to_image
"""

from cycle_sound import paths
from cycle_sound.acquisition import restoring
from cycle_sound.dataset import sounds
from cycle_sound.dataset.reader import Split
from cycle_sound.evaluation import attributes, examples, judges, realism, samples, scores, sweep
from cycle_sound.evaluation.samples import Samples
from cycle_sound.evaluation.scores import DirectionModels, Generated
from cycle_sound.io import files, stage
from cycle_sound.nn import device
from cycle_sound.params import DIRECTIONS, Direction, Params


def main(direction: Direction, params: Params) -> None:
    """Write the figures, the table of re-ranking, the contact sheet and the samples."""
    device.prepare(params.seed)
    config = params.evaluate
    models = scores.load(direction, "test", params.sampling, params.vocoder)
    pairs, shown = Split(paths.SHARDS, "test"), scores.one_of_each(models.labels, config.shown)
    own = sounds.of(pairs, paths.RAW, models.engine.models.audio)
    heard = range(config.waveforms) if models.target.modality == "audio" else range(0)
    restoring.restore([pairs.originals[row] for row in {*shown, *heard} if row < len(pairs)], paths.RAW, params)

    generated = scores.generate(models, max(config.rerank_candidates), params.seed)
    figures = scores.figures(models, generated, config)
    figures |= realism.figures(models, generated, config.kernel_pairs)
    figures |= attributes.figures(models, generated, config.waveforms, own)
    if models.engine.models.classifiers[models.target.modality] is None:
        print("the data has no labels: the class figures are skipped, likelihood and retrieval remain")
    if missing := judges.missing():
        print(f"without {', '.join(missing)} the figures of independent judges are skipped: pip install -e '.[judges]'")

    examples.contact_sheet(paths.contact_sheet(direction), models, generated, shown)
    for row in shown:
        folder = paths.samples(direction) / models.ids[row]
        examples.sample(folder, models, generated, row)
        clip = pairs.originals[row]
        examples.originals(folder, clip.picture(paths.RAW), clip.sound(paths.RAW), models.source.modality)
    samples.save(paths.samples(direction) / samples.NAME, kept(models, generated, config.kept))
    rows = sweep.by_candidates(models, generated, config.rerank_candidates, params.seed)
    files.write_csv(paths.settings("evaluate", direction), rows)
    files.write_json(paths.metrics("evaluate", direction), figures)


def kept(models: DirectionModels, generated: Generated, count: int) -> Samples:
    """Of the first `count` pairs, which stand in shuffled order, what the report shows."""
    some = models.first(count)
    return Samples(
        some.direction,
        source=some.source.pictures,
        generated=generated.first[:count],
        returned=generated.returned[:count],
        real=some.target.pictures,
        tokenized=generated.tokenized[:count],
        pointwise_mutual_information=generated.pointwise_mutual_information[:count, 0],
        ids=some.ids,
        labels=some.labels,
    )


if __name__ == "__main__":
    stage.run(main, DIRECTIONS)
