"""Try guidances on valid, to choose the defaults of `sampling` from.

python -m stages.sweep_sampling audio_to_image
"""

from cycle_sound import paths
from cycle_sound.evaluation import scores, sweep
from cycle_sound.io import files, stage
from cycle_sound.nn import device
from cycle_sound.params import DIRECTIONS, Direction, Params


def main(direction: Direction, params: Params) -> None:
    """Write the table of settings."""
    device.prepare(params.seed)
    models = scores.load(direction, "valid", params.sampling, params.vocoder)
    rows = sweep.by_guidance(models, params.sweep, params.seed)
    files.write_csv(paths.settings("sweep_sampling", direction), rows)


if __name__ == "__main__":
    stage.run(main, DIRECTIONS)
