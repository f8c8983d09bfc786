"""Measure one direction on the test split, and show what it makes.

python -m stages.evaluate audio_to_image

Pairs come batch by batch, and processes that a launcher starts share the batches; the first of them writes.
"""

from cycle_sound import paths
from cycle_sound.evaluation import attributes, examples, generation, judges, realism, samples, scores, sweep
from cycle_sound.io import files, stage
from cycle_sound.nn import device, distributed, measures
from cycle_sound.nn.measures import Measures
from cycle_sound.params import DIRECTIONS, Direction, Params


@distributed.process_group()
def main(direction: Direction, params: Params) -> None:
    """Write the figures, the table of re-ranking, the contact sheet and the samples."""
    device.prepare(params.seed)
    config, seed = params.evaluate, params.seed
    models = generation.load(direction, "test", params.sampling, params.vocoder)
    labels, moments = models.split.labels, scores.FeatureMoments()
    shown = scores.one_of_each(labels, config.shown)
    wanted = {*shown, *range(max(config.waveforms, config.kernel_pairs, config.kept))}

    def measure(rows: range) -> Measures:
        pairs = models.pairs(rows)
        generated = generation.generate(models, pairs, max(config.rerank_candidates), seed)
        return {
            **scores.measure(models, rows, pairs, generated, moments),
            **realism.measure(pairs, generated),
            **attributes.measure(models, generated),
            **sweep.by_candidates(models, generated, config.rerank_candidates, seed),
            **examples.hold(rows, wanted, pairs, generated),
        }

    measured = measures.of_rows(range(len(labels)), models.batch, measure)
    ranks, whole = scores.ranks(models, config), moments.whole()
    if not distributed.is_first():
        return
    some = examples.examples(models, wanted, measured)
    figures = scores.figures(models, measured, whole, ranks, config)
    figures |= realism.figures(measured, some.samples.first(config.kernel_pairs), models.engine.models.device)
    figures |= attributes.figures(models, measured, some.first(config.waveforms), paths.RAW / "test_data")
    if models.classifiers[models.target] is None:
        print("the data has no labels: the class figures are skipped, likelihood and retrieval remain")
    if missing := judges.missing():
        print(f"without {', '.join(missing)} the figures of independent judges are skipped: pip install -e '.[judges]'")

    places = [some.rows.index(row) for row in shown]
    examples.contact_sheet(paths.contact_sheet(direction), some.samples, places)
    for place in places:
        clip = some.samples.ids[place]
        examples.sample(paths.samples(direction) / clip, some, place, models.engine.models.audio)
        examples.originals(paths.samples(direction) / clip, paths.RAW / "test_data", clip, models.source)
    samples.save(paths.samples(direction) / samples.NAME, some.samples.first(config.kept))
    settings = [sweep.best_of(count) for count in config.rerank_candidates]
    files.write_csv(paths.settings("evaluate", direction), sweep.table(models, settings, measured))
    files.write_json(paths.metrics("evaluate", direction), figures)


if __name__ == "__main__":
    stage.run(main, DIRECTIONS)
