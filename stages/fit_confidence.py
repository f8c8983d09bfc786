"""Fit, on validation pairs, the probability that a sample of one direction matches its source.

python -m stages.fit_confidence audio_to_image

Processes that a launcher starts share the pairs.
"""

from cycle_sound import paths
from cycle_sound.evaluation import calibration, generation
from cycle_sound.inference import confidence
from cycle_sound.io import files, stage
from cycle_sound.nn import device, distributed
from cycle_sound.params import DIRECTIONS, Direction, Params


@distributed.process_group()
def main(direction: Direction, params: Params) -> None:
    """Write the regression, and what it was fitted to."""
    device.prepare(params.seed)
    models = generation.load(direction, "valid", params.sampling, params.vocoder)
    made_by = confidence.digests(paths.DATA)
    regression, figures = calibration.fitted(models, params.confidence, params.seed, made_by)
    if not distributed.is_first():
        return
    if regression is None:
        print("fewer than two labels to tell apart, or none of them on validation pairs: no confidence is fitted")
    confidence.save(paths.confidence(direction), regression)
    files.write_json(paths.metrics("fit_confidence", direction), figures)


if __name__ == "__main__":
    stage.run(main, DIRECTIONS)
