"""Try ways to draw on valid, to choose the defaults of `sampling` from.

python -m stages.choose audio_to_image
"""

from cycle_sound import command, device, evaluation, files, paths, trials
from cycle_sound.params import DIRECTIONS, Direction, Params


def main(direction: Direction, params: Params) -> None:
    """Write the table of settings."""
    device.prepare(params.seed)
    way = evaluation.load(direction, "valid", params.sampling)
    rows = trials.table(way, params.evaluate, params.seed)
    files.write_csv(paths.settings("choose", direction), rows)


if __name__ == "__main__":
    command.run(main, DIRECTIONS)
