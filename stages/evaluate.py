"""Measure one direction on the test split, and show what it makes.

python -m stages.evaluate audio_to_image
"""

from cycle_sound import attributes, checkpoint, command, device, dvae, evaluation, files, paths, report, trials
from cycle_sound.params import DIRECTIONS, Audio, Direction, Params
from cycle_sound.shards import Split


def main(direction: Direction, params: Params) -> None:
    """Write the figures, the table of settings, the grid and the samples."""
    device.prepare(params.seed)
    way, pairs = evaluation.load(direction, "test"), Split(paths.SHARDS, "test")
    sound = Audio.model_validate(checkpoint.facts(paths.vae("audio"), dvae.KIND)["audio"])

    generated = evaluation.generated(way, params.sampling, params.evaluate.repeats, params.seed)
    made = generated.samples[0]
    figures = evaluation.figures(way, generated, params.evaluate)
    figures |= attributes.figures(way.target, made, pairs, sound, params.evaluate.waveforms)
    if way.target.judge is None:
        print("the data has no labels: the class figures are skipped, likelihood and retrieval remain")

    shown = evaluation.one_of_each(pairs.labels, params.evaluate.shown)
    rows = [
        report.Row("source", way.source.modality, way.source.pictures[shown]),
        report.Row("generated", way.target.modality, made[shown]),
        report.Row("real", way.target.modality, way.target.pictures[shown]),
    ]
    report.grid(paths.grid(direction), rows, [pairs.labels[row] for row in shown])
    for row in shown:
        folder = paths.samples(direction) / pairs.ids[row]
        report.sample(folder, made[row], way.target.modality, sound)
        report.originals(folder, paths.RAW / "test_data", pairs.ids[row], way.source.modality)
    table = trials.table(way, params.sampling, params.evaluate, params.seed)
    files.write_csv(paths.settings("evaluate", direction), table)
    files.write_json(paths.metrics("evaluate", direction), figures)


if __name__ == "__main__":
    command.run(main, DIRECTIONS)
