"""Measure one direction on the test split, and show what it makes.

python -m stages.evaluate audio_to_image

Pairs come batch by batch, and processes that a launcher starts share the batches; the first of them writes.
"""

from collections.abc import Sequence

from cycle_sound import paths
from cycle_sound.acquisition import restoring
from cycle_sound.dataset import sounds
from cycle_sound.evaluation import (
    attributes,
    calibration,
    direction_metrics,
    examples,
    generation,
    judges,
    realism,
    samples,
    sweep,
)
from cycle_sound.evaluation.examples import Examples
from cycle_sound.evaluation.generation import DirectionModels
from cycle_sound.inference import confidence
from cycle_sound.io import figures, files, stage
from cycle_sound.nn import device, distributed, measures
from cycle_sound.nn.measures import Measures
from cycle_sound.params import DIRECTIONS, Direction, Params

# DVC does not know that packages were installed, and takes the evaluation for up to date.
JUDGED = "pip install -e '.[judges]', then `dvc repro --force --single-item evaluate`, then `dvc repro`"


@distributed.process_group()
def main(direction: Direction, params: Params) -> None:
    """Write the figures, the tables of them, of re-ranking and of confidence, the contact sheet and the samples."""
    device.prepare(params.seed)
    config, seed = params.evaluate, params.seed
    models = generation.load(direction, "test", params.sampling, params.vocoder)
    pairs, labels, moments = models.split, models.split.labels, direction_metrics.FeatureMoments()
    fitted = confidence.read(paths.confidence(direction))
    shown = direction_metrics.one_of_each(labels, config.shown)
    wanted = {*shown, *range(max(config.waveforms, config.kernel_pairs, config.kept))}
    heard = range(config.waveforms) if models.target == "audio" else range(0)
    if distributed.is_first():
        restoring.restore([pairs.originals[row] for row in {*shown, *heard} if row < len(pairs)], paths.RAW, params)

    def measure(rows: range) -> Measures:
        batch = models.pairs(rows)
        generated = generation.generate(models, batch, max(config.rerank_candidates), seed)
        return {
            **direction_metrics.measure(models, rows, batch, generated, moments),
            **realism.measure(batch, generated),
            **attributes.measure(models, generated),
            **calibration.measure(models, fitted, batch, generated, seed),
            **sweep.by_candidates(models, generated, config.rerank_candidates, seed),
            **examples.hold(rows, wanted, batch, generated),
        }

    measured = measures.of_rows(range(len(labels)), models.batch, measure)
    ranks, whole = direction_metrics.ranks(models, config), moments.whole()
    if not distributed.is_first():
        return
    some = examples.examples(models, wanted, measured)
    own = sounds.of(pairs, paths.RAW, models.engine.models.audio)
    found = direction_metrics.figures(models, measured, whole, ranks, config)
    found |= realism.figures(measured, some.samples.first(config.kernel_pairs), models.engine.models.device)
    found |= calibration.figures(models, measured)
    found |= attributes.figures(models, measured, some.first(config.waveforms), own)
    if models.classifiers[models.target] is None:
        print("fewer than two labels to tell apart: the class figures are skipped, likelihood and retrieval remain")
    if missing := judges.missing():
        print(f"without {', '.join(missing)} the figures of independent judges are skipped: {JUDGED}")
    _show(direction, models, some, shown)
    samples.save(paths.samples(direction) / samples.NAME, some.samples.first(config.kept))
    settings = [sweep.best_of(count) for count in config.rerank_candidates]
    files.write_csv(paths.settings("evaluate", direction), sweep.table(models, settings, measured))
    files.write_csv(paths.reliability(direction), calibration.table(models, measured))
    files.write_csv(paths.figures(direction), figures.table(found))
    files.write_json(paths.metrics("evaluate", direction), found)


def _show(direction: Direction, models: DirectionModels, some: Examples, rows: Sequence[int]) -> None:
    """Write the contact sheet of some rows of the split, and a folder to see and hear for each."""
    pairs, places = models.split, [some.rows.index(row) for row in rows]
    examples.contact_sheet(paths.contact_sheet(direction), some.samples, places)
    for row, place in zip(rows, places, strict=True):
        folder, clip = paths.samples(direction) / pairs.ids[row], pairs.originals[row]
        examples.sample(folder, some, place, models.engine.models.audio)
        examples.originals(folder, clip.picture(paths.RAW), clip.sound(paths.RAW), models.source)


if __name__ == "__main__":
    stage.run(main, DIRECTIONS)
