"""Try guidances on valid, to choose the defaults of `sampling` from.

python -m stages.sweep_sampling audio_to_image

Processes that a launcher starts share the pairs.
"""

from cycle_sound import paths
from cycle_sound.evaluation import generation, sweep
from cycle_sound.io import files, stage
from cycle_sound.nn import device, distributed
from cycle_sound.params import DIRECTIONS, Direction, Params


@distributed.process_group()
def main(direction: Direction, params: Params) -> None:
    """Write the table of settings."""
    device.prepare(params.seed)
    models = generation.load(direction, "valid", params.sampling, params.vocoder)
    rows = sweep.by_guidance(models, params.sweep, params.seed)
    if distributed.is_first():
        files.write_csv(paths.settings("sweep_sampling", direction), rows)


if __name__ == "__main__":
    stage.run(main, DIRECTIONS)
